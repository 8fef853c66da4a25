package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/backoff"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	fetchMax = 64
	// noteEvery is how often it is noted how far a partition was judged.
	noteEvery = time.Second
	// agentsEvery is how often it is noted what is known of the agents.
	agentsEvery = 5 * time.Second
	tidyEvery   = 10 * time.Minute
	// remember is for how long changes are kept in memory, to be written again where the
	// broker loses its store.
	remember = 10 * time.Minute
	// keepOver is how long the last change of an incident that is over stays in the stream.
	keepOver = 72 * time.Hour
)

// errLost ends a session whose partition has another owner, or had one meanwhile: what
// is in memory is worth nothing any more.
var errLost = errors.New("the partition has another owner")

// partition is one partition's engine and how far it is. One session uses it at a time.
type partition struct {
	w *Worker

	engine  *alerting.Engine
	rules   *alerting.RuleSet          // that the engine has
	fleet   uint64                     // version of the directory that the engine has
	members map[sentinel.AgentID]int64 // of that version, and their rows
	online  map[sentinel.AgentID]presence
	layouts map[layoutKey]sentinel.Layout

	journal

	store    string // of the broker, to which next belongs
	next     uint64 // first message of the stream that was not judged
	noted    uint64 // what next was when it was noted last
	revision uint64 // of that note
	agentsAt time.Time

	stats atomic.Pointer[alerting.Stats] // of the engine, a while ago; nil: not owned
}

type presence struct{ connected, backlog bool }

// run judges the partition until ctx ends. Interruptions are waited for.
func (p *partition) run(ctx context.Context, l *lease) {
	log := p.w.deps.Log.With("partition", p.id)
	wait := backoff.Backoff{Base: 200 * time.Millisecond, Max: 3 * time.Second}
	for ctx.Err() == nil {
		began := time.Now()
		err := p.session(ctx, l)
		if ctx.Err() != nil || err == nil {
			return
		}
		if errors.Is(err, errLost) || sentinel.CodeOf(err) == sentinel.Conflict {
			p.w.metrics.conflicts.Inc()
			log.Warn("another has judged this partition, taking it over anew", "error", err)
			p.engine = nil
		} else {
			p.w.metrics.interrupted.Inc()
			log.Warn("judging is interrupted", "error", err)
		}
		if time.Since(began) > time.Minute {
			wait.Reset()
		}
		if wait.Wait(ctx) != nil {
			return
		}
	}
}

// session takes the partition over, or up again, and judges until something fails.
func (p *partition) session(ctx context.Context, l *lease) error {
	began := time.Now()
	resumed, err := p.resume(ctx)
	if err != nil {
		return err
	}
	if !resumed {
		p.engine = nil
		if err := p.takeOver(ctx, l); err != nil {
			p.engine = nil
			return err
		}
	}
	p.w.metrics.takeover.Observe(time.Since(began).Seconds())
	p.w.deps.Log.Info("judging a partition", "partition", p.id, "resumed", resumed, "next", p.next, "incidents", len(p.known), "took", time.Since(began).Round(time.Millisecond))
	reader := p.w.deps.Broker.Batches(p.id, p.next)
	defer reader.Drop(ctx)
	defer p.stats.Store(nil)
	var ticked, notedAt time.Time
	for ctx.Err() == nil {
		list, err := reader.Fetch(ctx, fetchMax, max(20*time.Millisecond, time.Until(ticked.Add(tick))))
		if err != nil {
			return err
		}
		if p.w.deps.Broker.Store() != p.store {
			return sentinel.Errorf(sentinel.Unavailable, "the broker's store is another one")
		}
		if err := p.followRules(ctx, l); err != nil {
			return err
		}
		for _, rec := range list {
			if err := p.judge(ctx, l, rec); err != nil {
				return err
			}
		}
		now := time.Now()
		if now.Sub(ticked) < tick {
			continue
		}
		ticked = now
		if err := p.followFleet(ctx, l, now); err != nil {
			return err
		}
		if err := p.say(ctx, l.valid, p.engine.Advance(now)); err != nil {
			return err
		}
		if now.Sub(notedAt) >= noteEvery {
			notedAt = now
			if err := p.note(ctx, now); err != nil {
				return err
			}
		}
		p.tidy(ctx, now)
	}
	// In order: the next owner has nothing to judge again.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if l.valid() {
		p.agentsAt = time.Time{}
		_ = p.note(end, time.Now()) // else it judges a second again
	}
	return nil
}

// followRules takes up rules that have changed.
func (p *partition) followRules(ctx context.Context, l *lease) error {
	set := p.w.deps.Rules.Set()
	if set == p.rules {
		return nil
	}
	p.rules = set
	return p.say(ctx, l.valid, p.engine.SetRules(set, time.Now()))
}

// followFleet takes up who has come and gone, and who is connected.
func (p *partition) followFleet(ctx context.Context, l *lease, now time.Time) error {
	if version := p.w.deps.Fleet.Version(); version != p.fleet {
		p.fleet, p.members = version, p.w.deps.Fleet.of(p.id, p.w.deps.Broker.Partitions())
		for _, a := range p.engine.Agents() {
			if _, there := p.members[a.Agent.ID]; there {
				continue
			}
			delete(p.online, a.Agent.ID)
			if err := p.say(ctx, l.valid, p.engine.SetPresence(alerting.Presence{Agent: a.Agent, Removed: true}, now)); err != nil {
				return err
			}
		}
	}
	for id := range p.members {
		is, known := p.w.deps.Sessions.of(id, now)
		agent, _, there := p.w.deps.Fleet.Agent(id)
		if is == p.online[id] || !there || !known {
			continue
		}
		p.online[id] = is
		if err := p.say(ctx, l.valid, p.engine.SetPresence(alerting.Presence{Agent: agent, Connected: is.connected, Backlog: is.backlog}, now)); err != nil {
			return err
		}
	}
	return nil
}

// judge feeds the engine with one message. What cannot be judged now is tried again;
// what can never be judged is counted.
func (p *partition) judge(ctx context.Context, l *lease, rec broker.Record) error {
	cycles, err := p.openPatiently(ctx, rec.Data)
	if err != nil {
		return err
	}
	now := time.Now()
	var said []alerting.Transition
	for _, c := range cycles {
		said = append(said, p.engine.Feed(c.Cycle, now)...)
		p.w.metrics.seconds.Observe(now.Sub(c.received).Seconds())
	}
	p.w.metrics.cycles.Add(len(cycles))
	if err := p.say(ctx, l.valid, said); err != nil {
		return err
	}
	p.next = rec.Seq + 1
	return nil
}

func agentsKey(partition int) string { return fmt.Sprint("agents.", partition) }

// note writes down how far the partition was judged. A Conflict means that another has.
func (p *partition) note(ctx context.Context, now time.Time) error {
	if now.Sub(p.agentsAt) >= agentsEvery {
		raw, err := json.Marshal(p.engine.Agents())
		if err != nil {
			return fmt.Errorf("encode agents: %w", err)
		}
		if raw, err = squeeze(raw); err != nil {
			return err
		}
		if _, err := p.w.judged.Put(ctx, agentsKey(p.id), raw); err != nil {
			return err
		}
		p.agentsAt = now
		stats := p.engine.Stats()
		p.stats.Store(&stats)
	}
	if p.next == p.noted {
		return nil
	}
	raw, err := json.Marshal(broker.Judged{Store: p.store, Next: p.next})
	if err != nil {
		return fmt.Errorf("encode a position: %w", err)
	}
	revision, err := p.w.judged.Swap(ctx, broker.JudgedKey(p.id), raw, p.revision)
	if err != nil {
		return noted(ctx, p.w.judged, broker.JudgedKey(p.id), err)
	}
	p.noted, p.revision = p.next, revision
	return nil
}

// HistoryDurable is the name of the consumer that takes changes to the database.
const HistoryDurable = "history"
