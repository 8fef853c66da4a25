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

// Incidents returns all that are not inactive, ordered, for another owner.
func (e *Engine) Incidents() []Incident {
	var list []Incident
	for _, a := range e.agents {
		for _, in := range a.active {
			if !in.idle() {
				list = append(list, e.incident(in))
			}
		}
	}
	slices.SortFunc(list, func(x, y Incident) int { return cmp.Compare(x.Fingerprint, y.Fingerprint) })
	return list
}

// Agents returns the agents the engine knows, ordered, for another owner.
func (e *Engine) Agents() []AgentState {
	var list []AgentState
	for _, a := range e.sorted() {
		list = append(list, AgentState{Agent: a.Agent, Connected: a.online, Backlog: a.backlog, Seen: at(a.seen + e.lost), Now: at(e.now)})
	}
	return list
}

// Import takes over what another owner had, from Agents and Incidents or from the
// transitions it wrote: the last one of each fingerprint. It comes after Warm. What
// rules have changed meanwhile ends here. An incident of a rule whose window Warm did
// not fill stays as it was until the window covers its length.
func (e *Engine) Import(agents []AgentState, incidents []Incident, now time.Time) []Transition {
	ms := now.UnixMilli()
	for _, st := range agents {
		a := e.agent(st.Agent, ms)
		a.online, a.backlog = st.Connected, st.Backlog
		seen := st.Seen.UnixMilli()
		if gap := ms - st.Now.UnixMilli(); !st.Now.IsZero() && gap > maxTick {
			seen += gap - maxTick // nobody looked; it does not count as silence
		}
		a.seen = min(seen, ms) - e.lost
	}
	for _, inc := range incidents {
		if inc.State == Inactive && inc.Machine.State == Inactive || inc.State == Resolved && inc.Machine.State == Inactive || inc.check() != nil {
			continue
		}
		e.restore(inc, ms)
	}
	return e.take()
}

func (e *Engine) restore(inc Incident, now int64) {
	a := e.agents[inc.Agent]
	if a == nil {
		a = e.agent(Agent{ID: inc.Agent, Hostname: inc.Labels["hostname"]}, now)
	}
	r := e.byID[inc.Rule]
	gone := Reason("")
	if r == nil {
		r, gone = tombstone(inc), RuleRemoved
	} else if e.hashes[r] != inc.RuleHash {
		gone = RuleChanged
	}
	in := &instance{rule: r, agent: a, series: inc.Series, said: Inactive, Machine: Machine{State: Inactive}}
	if gone == "" {
		in = a.instance(r, inc.Series)
	}
	lost := a.lost
	if in.ofAgent() {
		lost = e.lost
	}
	in.said, in.was, in.reason, in.Machine = inc.State, inc.Was, inc.Reason, inc.Machine
	if in.said == Resolved {
		in.said = Inactive
	}
	if in.State == Pending {
		in.Since -= lost
	}
	if in.Quiet != 0 {
		in.Quiet -= lost
	}
	if in.labels == nil {
		in.kept = inc.Labels
	}
	in.told = Machine{State: inc.State, Quiet: in.Quiet}
	if !inc.StartsAt.IsZero() {
		in.told.Start = inc.StartsAt.UnixMilli()
	}
	if !inc.FiredAt.IsZero() {
		in.told.Fired = inc.FiredAt.UnixMilli()
	}
	in.last.value, in.raw = inc.Value, inc.Value
	if gone != "" {
		e.end(in, gone, max(a.mark, in.Start), now)
		return
	}
	in.enlist()
}

// tombstone stands in for a rule that is no more, so that its incident can end.
func tombstone(inc Incident) *Rule {
	r := &Rule{Kind: Threshold, Function: Last, Severity: inc.Labels["severity"], Alert: inc.Rule}
	for i := range len(inc.Rule) {
		if inc.Rule[i] == '/' {
			r.Group, r.Alert = inc.Rule[:i], inc.Rule[i+1:]
			break
		}
	}
	return r
}

func (e *Engine) sorted() []*agent {
	list := make([]*agent, 0, len(e.agents))
	for _, id := range sortedKeys(e.agents) {
		list = append(list, e.agents[id])
	}
	return list
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// Stats are an engine's counts. Those of things are as of now, all others since New.
type Stats struct {
	Agents    int
	Incidents int // that are not inactive
	Series    int // pairs of a rule and a series
	Points    int // samples held in windows
	Bytes     int // an estimate of the memory for all this

	Cycles      uint64
	Evaluations uint64
	Transitions uint64
	Late        uint64 // cycles behind the watermark
	Duplicates  uint64 // cycles that came again
	Ahead       uint64 // cycles too far ahead of the service's clock
	Malformed   uint64 // cycles that do not fit their layout, or whose layout is not known
	Refused     uint64 // series beyond a rule's max_series
}

// BytesPerSeries is Bytes for each pair of a rule and a series.
func (s Stats) BytesPerSeries() float64 { return float64(s.Bytes) / float64(max(s.Series, 1)) }

// Stats counts; it walks all series.
func (e *Engine) Stats() Stats {
	s := e.counts
	s.Agents = len(e.agents)
	for _, a := range e.agents {
		s.Bytes += 1024
		for _, st := range a.streams {
			s.Bytes += 512 + 16*cap(st.slots) + 24*len(st.layout)
		}
		for k, in := range a.instances {
			s.Series++
			s.Bytes += instanceBytes + len(k)
			if in.window != nil {
				s.Points += len(in.window.points) - in.window.head
				s.Bytes += windowBytes + 32*cap(in.window.points) + 8*cap(in.window.sorted)
			}
			if !in.idle() {
				s.Incidents++
			}
		}
	}
	return s
}

// Sizes of what is held for each series, the map's share of it included; a test
// compares them with the heap.
const (
	instanceBytes = 464
	windowBytes   = 192
)
