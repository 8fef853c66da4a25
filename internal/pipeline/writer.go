// Package pipeline takes batches from the broker to the database: it verifies
// each signature again, decodes, transforms and stores many batches in one
// transaction with the ledger, and acknowledges only after the commit.
//
// What cannot be used goes to a dead letter with its reason and exact bytes. An
// outage never does: the writer holds what it has, and waits.
package pipeline

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/backoff"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/delivery"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// Config says how the writer works.
type Config struct {
	// Writers is how many commits may be under way at one time.
	Writers int `yaml:"writers"`
	// GroupMessages is how many messages go into one commit at most.
	GroupMessages int `yaml:"group_messages"`
}

// DefaultConfig returns the settings for a host with a few cores.
func DefaultConfig() Config { return Config{Writers: 2, GroupMessages: 128} }

// Validate says which key is wrong and what is allowed.
func (c Config) Validate() error {
	switch {
	case c.Writers < 1 || c.Writers > 64:
		return sentinel.Errorf(sentinel.Invalid, "writers: %d, want 1 to 64", c.Writers)
	case c.GroupMessages < 1 || c.GroupMessages > 1024:
		return sentinel.Errorf(sentinel.Invalid, "group_messages: %d, want 1 to 1024", c.GroupMessages)
	}
	return nil
}

// Broker is where batches come from and marks go to.
type Broker interface {
	Consumer(durable string) *broker.Consumer
	Layout(ctx context.Context, agent sentinel.AgentID, h sentinel.LayoutHash) ([]byte, error)
	PublishMarks(data []byte) error
}

// Deps are the parts that a writer works with.
type Deps struct {
	Broker  Broker
	DB      *postgres.DB
	Keys    delivery.Keys
	Limits  sentinel.Limits
	Metrics *telemetry.Registry
	Log     *slog.Logger
	Now     func() time.Time
}

const (
	// Durable is the name of the writer's consumer.
	Durable = "writer"

	fetchWait   = 2 * time.Second
	keepEvery   = 5 * time.Second // well under the broker's patience
	retryBase   = 200 * time.Millisecond
	retryMax    = 5 * time.Second
	commitLimit = 20 * time.Second
)

// Writer stores batches. Make it with New.
type Writer struct {
	cfg     Config
	deps    Deps
	layouts *layouts
	metrics *writerMetrics
}

// New returns a writer; Run makes it work.
func New(cfg Config, deps Deps) *Writer {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Writer{cfg: cfg, deps: deps, layouts: newLayouts(deps.DB, deps.Broker, deps.Limits), metrics: newMetrics(deps.Metrics)}
}

// Run stores batches until ctx ends, and then returns nil. Several writers, in
// one process or many, share the work.
func (w *Writer) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range w.cfg.Writers {
		group.Go(func() error { return w.loop(ctx) })
	}
	return group.Wait()
}

func (w *Writer) loop(ctx context.Context) error {
	consumer := w.deps.Broker.Consumer(Durable)
	wait := backoff.Backoff{Base: retryBase, Max: retryMax}
	for ctx.Err() == nil {
		msgs, err := consumer.Fetch(ctx, w.cfg.GroupMessages, fetchWait)
		if err != nil {
			if ctx.Err() == nil {
				w.metrics.fetchErrors.Inc()
				w.deps.Log.Warn("batches cannot be fetched, waiting for the broker", "error", err)
			}
			if wait.Wait(ctx) != nil {
				return nil
			}
			continue
		}
		wait.Reset()
		if len(msgs) > 0 {
			w.settle(ctx, msgs)
		}
	}
	return nil
}

// settle stores the content of the messages and acknowledges them. While the
// database is out it keeps trying, and tells the broker that work goes on; when
// ctx ends first, the messages go back.
func (w *Writer) settle(ctx context.Context, msgs []broker.Message) {
	wait := backoff.Backoff{Base: retryBase, Max: retryMax}
	kept := w.deps.Now()
	for {
		err := w.store(ctx, msgs)
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			w.metrics.outages.Inc()
			if wait.Tries()%20 == 0 {
				w.deps.Log.Warn("batches cannot be stored, holding them", "messages", len(msgs), "error", err)
			}
		}
		if wait.Wait(ctx) != nil {
			for _, m := range msgs {
				_ = m.Nak(0) // else it comes again by itself, a minute later
			}
			return
		}
		if now := w.deps.Now(); now.Sub(kept) > keepEvery {
			kept = now
			for _, m := range msgs {
				_ = m.Keep() // a broker that is out forgets it, and the ledger knows the copy
			}
		}
	}
	for _, m := range msgs {
		if err := m.Ack(); err != nil {
			w.metrics.ackErrors.Inc() // it comes again, and the ledger knows it
		}
	}
	w.metrics.messages.Add(len(msgs))
}

// store decodes the messages and commits what they hold. An error is an outage.
func (w *Writer) store(ctx context.Context, msgs []broker.Message) error {
	ctx, cancel := context.WithTimeout(ctx, commitLimit)
	defer cancel()
	g := &group{names: map[int64]sentinel.AgentID{}}
	for _, m := range msgs {
		if err := w.open(ctx, g, m.Data); err != nil {
			return err
		}
	}
	start := time.Now()
	outcomes, err := w.commit(ctx, g.batches, g.orphans)
	if err != nil {
		return err
	}
	w.metrics.commitSeconds.Observe(time.Since(start).Seconds())
	w.count(g, outcomes)
	w.publishMarks(g, outcomes)
	return nil
}

// commit stores the batches. Where the database refuses the data itself, it
// halves the group until the bad batch stands alone, and quarantines that one.
func (w *Writer) commit(ctx context.Context, batches []postgres.Batch, orphans []postgres.Orphan) ([]postgres.Outcome, error) {
	if len(batches) == 0 && len(orphans) == 0 {
		return nil, nil
	}
	outcomes, err := w.deps.DB.Commit(ctx, batches, orphans)
	if err == nil || postgres.Classify(err) != postgres.Poison {
		return outcomes, err
	}
	switch {
	case len(batches) > 1:
		half := len(batches) / 2
		first, err := w.commit(ctx, batches[:half], orphans)
		if err != nil {
			return nil, err
		}
		second, err := w.commit(ctx, batches[half:], nil)
		return append(first, second...), err
	case len(batches) == 1 && batches[0].Quarantine == nil:
		w.deps.Log.Warn("the database refuses a batch", "agent", batches[0].AgentName, "epoch", batches[0].Epoch, "seq", batches[0].First, "error", err)
		b := &batches[0] // in place, so that it is counted as what it became
		b.Cycles, b.Losses, b.LayoutID = nil, nil, 0
		b.Quarantine = &postgres.Quarantine{Reason: "refused_by_database", Detail: err.Error()}
		return w.commit(ctx, batches, orphans)
	case len(batches) == 1:
		b := batches[0]
		return w.commit(ctx, nil, append(orphans, postgres.Orphan{AgentName: string(b.AgentName), Epoch: uint64(b.Epoch), Seq: b.First,
			Count: b.Count, Reason: b.Quarantine.Reason, Detail: err.Error(), Envelope: b.Envelope, Received: b.Received}))
	case len(orphans) > 1:
		half := len(orphans) / 2
		if _, err := w.commit(ctx, nil, orphans[:half]); err != nil {
			return nil, err
		}
		return w.commit(ctx, nil, orphans[half:])
	}
	// One orphan that the database cannot even keep as bytes: it belongs to nobody.
	w.metrics.rejected("unkeepable").Inc()
	w.deps.Log.Warn("a dead letter cannot be kept", "reason", orphans[0].Reason, "error", err)
	return nil, nil
}

func (w *Writer) publishMarks(g *group, outcomes []postgres.Outcome) {
	var m sentinelpb.AgentMarks
	for _, o := range outcomes {
		mark := &sentinelpb.Mark{Epoch: uint64(o.Mark.Epoch), Forked: o.Forked}
		for _, r := range o.Mark.Settled[:min(len(o.Mark.Settled), maxMarkedRanges)] {
			mark.Settled = append(mark.Settled, &sentinelpb.SeqRange{First: r.First, Last: r.Last})
		}
		m.Marks = append(m.Marks, &sentinelpb.AgentMark{AgentId: string(g.names[o.Agent]), Mark: mark})
	}
	if len(m.Marks) == 0 {
		return
	}
	raw, err := proto.Marshal(&m)
	if err == nil {
		err = w.deps.Broker.PublishMarks(raw)
	}
	if err != nil {
		w.metrics.markErrors.Inc() // agents ask again with their next heartbeat
	}
}

const maxMarkedRanges = 32

func (w *Writer) count(g *group, outcomes []postgres.Outcome) {
	for _, o := range outcomes {
		w.metrics.storedCycles.Add(o.StoredCycles)
		w.metrics.storedSamples.Add(o.StoredSamples)
		w.metrics.duplicates.Add(o.Duplicates)
		w.metrics.lost.Add(o.Lost)
		if o.Forked {
			w.metrics.rejected("forked").Inc()
		}
	}
	for _, b := range g.batches {
		if b.Quarantine != nil {
			w.metrics.rejected(b.Quarantine.Reason).Inc()
		}
	}
	for _, o := range g.orphans {
		w.metrics.rejected(o.Reason).Inc()
	}
	w.metrics.rejected("layout_unknown").Add(g.abandoned)
	now := w.deps.Now()
	for _, b := range g.batches {
		if len(b.Cycles) > 0 {
			w.metrics.lagSeconds.Observe(now.Sub(b.Cycles[len(b.Cycles)-1].Time).Seconds())
		}
	}
}
