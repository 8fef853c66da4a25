package alerting

import (
	"cmp"
	"slices"
	"time"
)

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
// not fill stays as it was until the window covers its length. Cycles that the owner
// before has judged may be fed again: what came of them is not said twice.
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
			e.recall(inc)
			continue
		}
		e.restore(inc, ms)
	}
	return e.take()
}

// recall takes note of how far an incident that is over was judged.
func (e *Engine) recall(inc Incident) {
	a, r := e.agents[inc.Agent], e.byID[inc.Rule]
	if a == nil || r == nil || inc.Judged.IsZero() || inc.check() != nil || e.hashes[r] != inc.RuleHash {
		return
	}
	in := a.instance(r, inc.Series)
	in.judged = max(in.judged, inc.Judged.UnixMilli())
}

func (e *Engine) restore(inc Incident, now int64) {
	a := e.agents[inc.Agent]
	if a == nil {
		a = e.agent(Agent{ID: inc.Agent, Hostname: inc.Labels["hostname"]}, now)
	}
	e.restoreTo(a, inc, now)
}

func (e *Engine) restoreTo(a *agent, inc Incident, now int64) {
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
	if !inc.Judged.IsZero() {
		in.judged = inc.Judged.UnixMilli()
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
