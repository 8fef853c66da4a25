package alerting

import (
	"context"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Asker evaluates expressions over all that is stored. An expression that is wrong, or
// asks for too much, is an error like any other: what is not known is no answer.
type Asker interface {
	Ask(ctx context.Context, expr string, at time.Time) ([]sentinel.Labelled, error)
}

// Fleetwide judges rules of kind expr, as Prometheus does: every series of an answer is
// an incident's condition that holds, and an incident whose series is not in the answer
// ends. An evaluation that failed says nothing: incidents stay as they are, and are
// unknown once that has lasted for Options.Patience. Like Engine it is a pure function of
// what it is handed, and not safe for concurrent use.
type Fleetwide struct {
	e     *Engine
	rules map[string]*agent // by the rule's ID: its instances, and when it was asked last
}

// NewFleetwide returns one without incidents. Rules of other kinds are passed over.
func NewFleetwide(rules *RuleSet, opts Options) *Fleetwide {
	return &Fleetwide{e: New(rules, opts), rules: map[string]*agent{}}
}

// Rules returns the rules of kind expr.
func (f *Fleetwide) Rules() []*Rule {
	return slices.DeleteFunc(slices.Clone(f.e.rules), func(r *Rule) bool { return r.Kind != Expr })
}

// Asked returns when a rule was answered last, or zero.
func (f *Fleetwide) Asked(ruleID string) time.Time {
	if a := f.rules[ruleID]; a != nil {
		return at(a.mark)
	}
	return time.Time{}
}

func (f *Fleetwide) of(ruleID string, now int64) *agent {
	a := f.rules[ruleID]
	if a == nil {
		a = &agent{instances: map[string]*instance{}, known: now}
		f.rules[ruleID] = a
	}
	return a
}

// Answer takes in what a rule's expression gives at t, and returns what changed by it.
// now is the service's clock. More series than the rule may have are an error, and
// change nothing.
func (f *Fleetwide) Answer(r *Rule, answer []sentinel.Labelled, t, now time.Time) ([]Transition, error) {
	if len(answer) > r.MaxSeries {
		return nil, sentinel.Errorf(sentinel.ResourceExhausted, "the expression gives %d series, max_series is %d", len(answer), r.MaxSeries)
	}
	a, ms := f.of(r.ID(), now.UnixMilli()), t.UnixMilli()
	if ms <= a.mark {
		return nil, nil
	}
	given := make(map[string]sentinel.Labelled, len(answer))
	for _, s := range answer {
		series := sentinel.Series{Labels: s.Labels}.String()
		if _, twice := given[series]; twice {
			return nil, sentinel.Errorf(sentinel.Invalid, "the expression gives the series %.300s twice", series)
		}
		given[series] = s
	}
	if gap := ms - a.mark; a.mark != 0 && gap > max(2*r.Interval.Milliseconds(), minStep) {
		a.lost += gap - r.Interval.Milliseconds() // nobody asked: it does not count
		f.e.unobserved(a, gap, ms, now.UnixMilli())
	}
	a.mark = ms
	for series, s := range given {
		in := a.instance(r, series)
		in.labels, in.kept, in.last, in.raw = s.Labels, nil, result{value: s.Value, ok: true}, s.Value
	}
	for _, k := range sortedKeys(a.instances) {
		in, v := a.instances[k], recovered
		if _, there := given[in.series]; there {
			v = holds
		}
		in.at = ms
		in.step(r, v, ms, a.observed(ms))
		f.e.announce(in, true, ms, now.UnixMilli())
		if in.idle() {
			delete(a.instances, k)
		}
	}
	f.tidy(a)
	return f.e.take(), nil
}

// Failed takes note that a rule's expression could not be evaluated. What was the case
// stays so, and is unknown after a while.
func (f *Fleetwide) Failed(r *Rule, now time.Time) []Transition {
	a, ms := f.of(r.ID(), now.UnixMilli()), now.UnixMilli()
	if ms-max(a.mark, a.known) <= f.e.patience {
		return nil
	}
	for _, in := range a.active {
		if in.said == Pending || in.said == Firing {
			f.e.emit(in, Unknown, QueryFailed, max(in.at, a.known), ms)
		}
	}
	return f.e.take()
}

func (f *Fleetwide) tidy(a *agent) {
	a.active = slices.DeleteFunc(a.active, func(in *instance) bool {
		in.listed = !in.idle()
		return !in.listed
	})
}

// Import takes over what another owner had: the last transition of each incident, and
// when each rule was answered last.
func (f *Fleetwide) Import(incidents []Incident, asked map[string]time.Time, now time.Time) []Transition {
	ms := now.UnixMilli()
	for id, t := range asked {
		if r := f.e.byID[id]; r != nil && r.Kind == Expr {
			f.of(id, ms).mark = t.UnixMilli()
		}
	}
	for _, inc := range incidents {
		if inc.check() != nil || (inc.State == Inactive || inc.State == Resolved) && inc.Machine.State == Inactive {
			continue
		}
		f.e.restoreTo(f.of(inc.Rule, ms), inc, ms)
	}
	return f.e.take()
}

// SetRules replaces the rules. Incidents of rules that are the same stay, the others end.
func (f *Fleetwide) SetRules(rules *RuleSet, at time.Time) []Transition {
	now, old := at.UnixMilli(), f.e.hashes
	f.e.index(rules)
	for _, id := range sortedKeys(f.rules) {
		a, r := f.rules[id], f.e.byID[id]
		for _, k := range sortedKeys(a.instances) {
			in := a.instances[k]
			switch hash := old[in.rule]; {
			case r == nil:
				f.e.end(in, RuleRemoved, max(a.mark, in.at), now)
			case f.e.hashes[r] != hash:
				f.e.end(in, RuleChanged, max(a.mark, in.at), now)
			default:
				in.rule = r
				continue
			}
			delete(a.instances, k)
		}
		f.tidy(a)
		if r == nil {
			delete(f.rules, id)
		}
	}
	return f.e.take()
}
