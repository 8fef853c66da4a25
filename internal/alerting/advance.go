package alerting

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	// maxTick is how far apart two calls of Advance may be. What is beyond that is taken
	// for a step of the service's clock, or a pause of the process, and does not count as
	// silence of agents.
	maxTick = 60_000 // ms
	// sweepEvery is how often series that are gone are looked for.
	sweepEvery = 3_600_000 // ms
)

// Advance tells the engine that the service's clock is at now. It finds agents that
// are silent and incidents whose samples stay out, and should be called every few
// seconds, at least once a minute.
func (e *Engine) Advance(now time.Time) []Transition {
	ms := now.UnixMilli()
	if d := ms - e.now; e.now != 0 && (d < 0 || d > maxTick) {
		e.lost += d - min(max(d, 0), maxTick)
	}
	e.now = ms
	for _, a := range e.sorted() {
		e.silence(a, ms)
		e.waiting(a, ms)
	}
	if ms-e.swept >= sweepEvery || ms < e.swept {
		e.swept = ms
		for _, a := range e.agents {
			a.sweep()
		}
	}
	return e.take()
}

// SetPresence tells the engine what is known of an agent beside its samples. An agent
// that was never seen and is not connected counts as silent from then on.
func (e *Engine) SetPresence(p Presence, now time.Time) []Transition {
	ms := now.UnixMilli()
	a := e.agent(p.Agent, ms)
	if p.Removed {
		for _, k := range sortedKeys(a.instances) {
			e.end(a.instances[k], AgentRemoved, max(a.mark, a.instances[k].at), ms)
		}
		delete(e.agents, a.ID)
		return e.take()
	}
	if a.arrived == 0 && !a.online && !p.Seen.IsZero() {
		a.seen = p.Seen.UnixMilli() - e.lost // better than when we came to know of it
	}
	if p.Connected || a.online { // the end of a session is a sign of life, too
		a.seen = max(a.seen, ms-e.lost)
	} else if !p.Seen.IsZero() {
		a.seen = max(a.seen, min(p.Seen.UnixMilli(), ms)-e.lost)
	}
	a.online, a.backlog = p.Connected, p.Backlog
	e.silence(a, ms)
	return e.take()
}

// silence judges the rules about absence of an agent, by the service's clock.
func (e *Engine) silence(a *agent, now int64) {
	silent := now - e.lost - a.seen
	for _, in := range a.silent {
		ans := recovered
		if !a.online && silent >= in.rule.Window.Milliseconds() {
			ans = holds
		}
		if ans != holds && in.idle() {
			continue
		}
		in.at = now
		in.last = result{value: float64(silent) / 1000, ok: true}
		in.step(in.rule, ans, now, now-e.lost)
		e.announce(in, true, now, now)
	}
}

// waiting looks at incidents whose samples stay out.
func (e *Engine) waiting(a *agent, now int64) {
	for _, in := range a.active {
		newest := in.at
		if newest == 0 {
			newest = a.known // the owner before has seen it
		}
		if in.said == Inactive || in.ofAgent() || now-newest <= e.patience {
			continue
		}
		reason := e.missing(a, in, now)
		switch {
		case reason == SeriesGone:
			e.end(in, SeriesGone, a.mark, now)
		case in.said != Unknown:
			e.emit(in, Unknown, reason, newest, now)
		case in.reason != reason:
			in.reason = reason
		}
	}
	a.active = slices.DeleteFunc(a.active, func(in *instance) bool {
		in.listed = !in.idle()
		return !in.listed
	})
}

// missing says why there are no samples of an incident that are fresh.
func (e *Engine) missing(a *agent, in *instance, now int64) Reason {
	switch {
	case now-a.arrived > e.patience && a.online && a.backlog:
		return Backlog
	case now-a.arrived > e.patience && a.online:
		return AgentStalled
	case now-a.arrived > e.patience:
		return AgentSilent
	case a.skewed:
		return ClockWrong
	case a.mark < now-e.patience:
		return Backlog
	}
	return a.whereabouts(in)
}

// beginReason says why a condition came to hold.
func (e *Engine) beginReason(in *instance) Reason {
	switch {
	case in.ofAgent():
		return AgentSilent
	case in.rule.Kind == Absence:
		return in.agent.whereabouts(in)
	}
	return ConditionMet
}

// endReason says why it ended.
func (e *Engine) endReason(in *instance) Reason {
	switch {
	case in.ofAgent() && in.agent.backlog:
		return NetworkBack
	case in.ofAgent():
		return AgentBack
	}
	return ConditionEnded
}

// sweep forgets layouts that an agent no longer sends, and series that stand in none.
func (a *agent) sweep() {
	for hash, s := range a.streams {
		if s.last < a.mark-sweepEvery {
			delete(a.streams, hash)
		}
	}
	used, succeeding := map[*instance]bool{}, map[string]bool{}
	for _, s := range a.streams {
		for _, sl := range s.slots {
			used[sl.inst] = true
		}
		for _, st := range s.state {
			succeeding[st.collector] = true
		}
	}
	for k, in := range a.instances {
		if !used[in] && in.idle() && in.rule.Kind != Absence {
			delete(a.instances, k)
		}
	}
	maps.DeleteFunc(a.collectors, func(name string, _ bool) bool { return !succeeding[name] })
}

// forget makes room for one more layout.
func (a *agent) forget() {
	var oldest sentinel.LayoutHash
	last := int64(math.MaxInt64)
	for hash, s := range a.streams {
		if s.last < last || s.last == last && slices.Compare(hash[:], oldest[:]) < 0 {
			oldest, last = hash, s.last
		}
	}
	delete(a.streams, oldest)
	a.sweep()
}

func (e *Engine) sorted() []*agent {
	list := make([]*agent, 0, len(e.agents))
	for _, id := range sortedKeys(e.agents) {
		list = append(list, e.agents[id])
	}
	return list
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
