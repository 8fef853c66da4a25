package live

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// warmPatience bounds how long the database is asked for the past at a takeover.
const warmPatience = 6 * time.Second

// resume goes on with the engine in memory, where nobody else has owned the partition
// meanwhile. Where the broker has lost what it had, it is written again.
func (p *partition) resume(ctx context.Context) (bool, error) {
	if p.engine == nil {
		return false, nil
	}
	store := p.w.deps.Broker.Store()
	note, err := p.w.judged.Get(ctx, broker.JudgedKey(p.id))
	switch {
	case err != nil && sentinel.CodeOf(err) != sentinel.NotFound:
		return false, err
	case err == nil && note.Revision != p.revision:
		return false, nil
	case err != nil:
		p.revision, p.noted = 0, 0
	}
	if store != p.store {
		p.store, p.next, p.noted = store, 0, 0
	}
	return p.again(ctx)
}

// takeOver makes the engine as the owner before had it: with the samples of the longest
// window up to where that one had judged, and with its incidents.
func (p *partition) takeOver(ctx context.Context, l *lease) error {
	p.known, p.recent, p.layouts, p.online = map[string]*known{}, nil, map[layoutKey]sentinel.Layout{}, map[sentinel.AgentID]presence{}
	p.store, p.rules, p.fleet = p.w.deps.Broker.Store(), p.w.deps.Rules.Set(), p.w.deps.Fleet.Version()
	if err := p.readNote(ctx); err != nil {
		return err
	}
	agents, err := p.readAgents(ctx)
	if err != nil {
		return err
	}
	members := p.w.deps.Fleet.of(p.id, p.w.deps.Broker.Partitions())
	p.members = members
	incidents, err := p.read(ctx, p.w.deps.History, slices.Collect(maps.Keys(members)), p.w.deps.Log)
	if err != nil {
		return err
	}
	past, err := p.past(ctx, members)
	if err != nil {
		return err
	}
	first, err := p.pending(ctx)
	if err != nil {
		return err
	}
	p.engine = alerting.New(p.rules, p.w.deps.Options)
	for _, id := range slices.Sorted(maps.Keys(past)) {
		agent, _, there := p.w.deps.Fleet.Agent(id)
		if !there {
			continue
		}
		for _, c := range past[id] {
			if limit, ok := first[layoutKey{id, c.Layout}]; !ok || c.Time.Before(limit) {
				p.engine.Warm(alerting.Cycle{Agent: agent, Layout: c.Layout, Series: c.Series, Time: c.Time, Values: c.Values}, c.Time)
			}
		}
	}
	now := time.Now()
	if err := p.say(ctx, l.valid, p.engine.Import(agents, incidents, now)); err != nil {
		return err
	}
	// Who was removed while nobody looked.
	p.fleet = 0
	return nil
}

func (p *partition) readNote(ctx context.Context) error {
	p.next, p.noted, p.revision = 0, 0, 0
	note, err := p.w.judged.Get(ctx, broker.JudgedKey(p.id))
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	var j broker.Judged
	p.revision = note.Revision
	if json.Unmarshal(note.Value, &j) == nil && j.Store == p.store {
		p.next, p.noted = j.Next, j.Next
	}
	return nil
}

// readAgents returns what the owner before knew of the agents that are still there.
func (p *partition) readAgents(ctx context.Context) (list []alerting.AgentState, err error) {
	e, err := p.w.judged.Get(ctx, agentsKey(p.id))
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	raw, err := stretch(e.Value)
	if err != nil || json.Unmarshal(raw, &list) != nil {
		p.w.deps.Log.Error("what was known of agents cannot be read", "partition", p.id, "error", err)
		return nil, nil //nolint:nilerr // silence is counted from now on
	}
	list = slices.DeleteFunc(list, func(a alerting.AgentState) bool {
		_, _, there := p.w.deps.Fleet.Agent(a.Agent.ID)
		return !there
	})
	for i := range list {
		list[i].Agent, _, _ = p.w.deps.Fleet.Agent(list[i].Agent.ID)
		p.online[list[i].Agent.ID] = presence{list[i].Connected, list[i].Backlog}
	}
	return list, nil
}

// past returns what the windows of the rules need, of each agent in the order of time:
// from the stream what the database may not have yet, and the rest from the database.
// The stream is asked first, since it forgets only what the database has.
func (p *partition) past(ctx context.Context, members map[sentinel.AgentID]int64) (map[sentinel.AgentID][]StoredCycle, error) {
	since := time.Now().Add(-p.rules.Longest() - time.Minute)
	out, err := p.retained(ctx, since)
	if err != nil {
		return nil, err
	}
	ask, cancel := context.WithTimeout(ctx, warmPatience)
	defer cancel()
	for i, id := range slices.Sorted(maps.Keys(members)) {
		list, err := p.w.deps.History.Cycles(ask, members[id], since, p.rules.Wants)
		if err != nil {
			p.w.deps.Log.Warn("windows begin with what the stream has, the database does not tell more", "partition", p.id, "agents", len(members), "told", i, "error", err)
			break
		}
		out[id] = append(out[id], list...)
	}
	for _, list := range out { // a cycle that both have is passed over the second time
		slices.SortStableFunc(list, func(a, b StoredCycle) int { return a.Time.Compare(b.Time) })
	}
	return out, nil
}

// retained returns the cycles of the stream that were judged already.
func (p *partition) retained(ctx context.Context, since time.Time) (map[sentinel.AgentID][]StoredCycle, error) {
	out := map[sentinel.AgentID][]StoredCycle{}
	reader, end := p.w.deps.Broker.BatchesSince(p.id, since), time.Now().Add(warmPatience)
	defer func() { reader.Drop(ctx) }()
	for p.next > 0 {
		list, err := reader.Fetch(ctx, 256, 0)
		if err != nil {
			return nil, err
		}
		for _, rec := range list {
			if rec.Seq >= p.next {
				return out, nil
			}
			cycles, err := p.open(ctx, rec.Data, false)
			if err != nil {
				return nil, err
			}
			for _, c := range cycles {
				out[c.Agent.ID] = append(out[c.Agent.ID], StoredCycle{c.Layout, c.Series, c.Time, c.Values})
			}
		}
		if reader.Left() == 0 || ctx.Err() != nil || time.Now().After(end) {
			break
		}
	}
	return out, nil
}

// pending returns, for every agent and layout with cycles that are still to be judged,
// the time of the first of them. The database may have them already: windows must not.
func (p *partition) pending(ctx context.Context) (map[layoutKey]time.Time, error) {
	first := map[layoutKey]time.Time{}
	reader := p.w.deps.Broker.Batches(p.id, p.next)
	defer reader.Drop(ctx)
	for {
		list, err := reader.Fetch(ctx, 256, 0)
		if err != nil {
			return nil, err
		}
		for _, rec := range list {
			cycles, err := p.open(ctx, rec.Data, false)
			if err != nil {
				return nil, err
			}
			for _, c := range cycles {
				key := layoutKey{c.Agent.ID, c.Layout}
				if at, ok := first[key]; !ok || c.Time.Before(at) {
					first[key] = c.Time
				}
			}
		}
		if reader.Left() == 0 || ctx.Err() != nil {
			return first, nil
		}
	}
}
