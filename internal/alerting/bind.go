package alerting

import (
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// agent returns what is known of an agent, which may be nothing so far. Where its
// labels changed, the rules are matched with it afresh.
func (e *Engine) agent(id Agent, now int64) *agent {
	a := e.agents[id.ID]
	if a == nil {
		a = &agent{Agent: id, streams: map[sentinel.LayoutHash]*stream{}, instances: map[string]*instance{},
			collectors: map[string]bool{}, known: now, seen: now - e.lost}
		e.agents[id.ID] = a
		e.match(a)
	}
	if !a.equal(id) {
		a.Agent = id
		for k, in := range a.instances {
			if !in.rule.Agents.MatchesAgent(id) {
				e.end(in, NotMatching, max(a.mark, in.at), now)
				delete(a.instances, k)
			}
		}
		e.match(a)
	}
	return a
}

// match ties an agent and all its layouts to the rules that choose it.
func (e *Engine) match(a *agent) {
	a.missing, a.silent = a.missing[:0], a.silent[:0]
	for _, r := range e.rules {
		if r.Kind != Absence || !r.Agents.MatchesAgent(a.Agent) {
			continue
		}
		if in := a.instance(r, ""); r.ofAgent() {
			a.silent = append(a.silent, in)
		} else {
			a.missing = append(a.missing, in)
		}
	}
	for _, s := range a.streams {
		e.bind(a, s)
	}
	a.active = slices.DeleteFunc(a.active, func(in *instance) bool {
		in.listed = !in.idle() && a.instances[key(in.rule.ID(), in.series)] == in
		return !in.listed
	})
}

// bind finds which positions of a layout the rules look at. It is done once for each
// layout, so that a cycle costs only what is looked at.
func (e *Engine) bind(a *agent, s *stream) {
	s.slots, s.absent, s.state = nil, nil, nil
	at := make(map[string]int32, len(s.layout))
	for i, series := range s.layout {
		at[series.String()] = int32(i)
		if series.Name == "node_scrape_collector_success" {
			s.state = append(s.state, successSlot{i, labelOf(series.Labels, "collector")})
		}
	}
	chosen := map[*Rule]bool{}
	used := map[*Rule]int{}
	for _, in := range a.instances {
		used[in.rule]++
	}
	missing := map[*Rule]int{}
	for i, series := range s.layout {
		for _, list := range [2][]*Rule{e.byName[series.Name], e.unnamed} {
			for _, r := range list {
				ok, asked := chosen[r]
				if !asked {
					ok = r.Agents.MatchesAgent(a.Agent)
					chosen[r] = ok
				}
				if !ok || !r.Series.MatchesSeries(series) {
					continue
				}
				if r.Kind == Absence {
					n, there := missing[r]
					if !there {
						n = len(s.absent)
						missing[r] = n
						s.absent = append(s.absent, presenceSlot{inst: a.instance(r, "")})
					}
					s.absent[n].at = append(s.absent[n].at, int32(i))
					continue
				}
				e.bindSeries(a, s, r, series, int32(i), at, used)
			}
		}
	}
	slices.SortStableFunc(s.slots, func(x, y slot) int { return int(x.at - y.at) })
}

func (e *Engine) bindSeries(a *agent, s *stream, r *Rule, series sentinel.Series, i int32, at map[string]int32, used map[*Rule]int) {
	second := int32(-1)
	if other := r.DividedBy + r.Minus; other != "" {
		pair := series
		pair.Name = other
		n, there := at[pair.String()]
		if !there {
			return
		}
		second = n
	}
	id := series.String()
	if a.instances[key(r.ID(), id)] == nil {
		if used[r] >= r.MaxSeries {
			e.counts.Refused++
			return
		}
		used[r]++
	}
	in := a.instance(r, id)
	in.labels, in.kept = series.Labels, nil
	s.slots = append(s.slots, slot{at: i, second: second, inst: in})
}

// end ends an instance's incident for a reason outside of its samples.
func (e *Engine) end(in *instance, reason Reason, t, now int64) {
	said := in.said
	if said == Unknown {
		said = in.was
	}
	in.Machine = Machine{State: Inactive, End: t}
	switch said {
	case Firing:
		e.emit(in, Resolved, reason, t, now)
	case Pending:
		e.emit(in, Inactive, reason, t, now)
	}
}

// SetRules replaces the rules. A rule is the same where its ID and Hash are; its
// incidents and windows are kept, and speak with the new labels and texts from the
// next transition on. Incidents of all other rules end.
func (e *Engine) SetRules(rules *RuleSet, at time.Time) []Transition {
	now, old := at.UnixMilli(), e.hashes
	e.index(rules)
	for _, a := range e.sorted() {
		for _, k := range sortedKeys(a.instances) {
			in := a.instances[k]
			hash := old[in.rule]
			r := e.byID[in.rule.ID()]
			switch {
			case r == nil:
				e.end(in, RuleRemoved, max(a.mark, in.at), now)
			case e.hashes[r] != hash:
				e.end(in, RuleChanged, max(a.mark, in.at), now)
			case !r.Agents.MatchesAgent(a.Agent):
				e.end(in, NotMatching, max(a.mark, in.at), now)
			default:
				in.rule = r
				continue
			}
			delete(a.instances, k)
		}
		e.match(a)
	}
	return e.take()
}
