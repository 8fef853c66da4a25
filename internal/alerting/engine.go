package alerting

import (
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Options are an engine's tolerances.
type Options struct {
	// Patience is how old the newest sample of an incident may be before its state is
	// unknown, and how far behind the service's clock a cycle may be to still speak. It
	// should be several times the longest collection interval.
	Patience time.Duration
	// Slack is how far behind an agent's watermark a cycle of another layout may be
	// without being late.
	Slack time.Duration
	// MaxAhead is how far ahead of the service's clock an event time may be. What is
	// further ahead is passed over.
	MaxAhead time.Duration
}

// DefaultOptions returns what suits agents that collect at least every two minutes.
func DefaultOptions() Options {
	return Options{Patience: 10 * time.Minute, Slack: 2 * time.Minute, MaxAhead: 10 * time.Minute}
}

// Engine holds the state of a set of rules for a set of agents. See the package's
// comment for what it promises. Transitions of one call are in the order in which
// they came about; transitions that later calls return are never earlier.
type Engine struct {
	patience, slack, ahead int64 // ms

	rules   []*Rule
	byID    map[string]*Rule
	hashes  map[*Rule]string
	byName  map[string][]*Rule // by the series' exact metric
	unnamed []*Rule            // whose metric is a pattern
	agents  map[sentinel.AgentID]*agent

	now    int64 // service: of the last call of Advance
	lost   int64 // service: how far its clock stepped, in all
	swept  int64 // service: when series were last looked through for what is gone
	out    []Transition
	counts Stats
}

// New returns an engine without agents.
func New(rules *RuleSet, opts Options) *Engine {
	e := &Engine{patience: opts.Patience.Milliseconds(), slack: opts.Slack.Milliseconds(), ahead: opts.MaxAhead.Milliseconds(),
		agents: map[sentinel.AgentID]*agent{}}
	e.index(rules)
	return e
}

func (e *Engine) index(rules *RuleSet) {
	e.rules = slices.Clone(rules.Rules)
	e.byID, e.byName, e.unnamed, e.hashes = map[string]*Rule{}, map[string][]*Rule{}, nil, map[*Rule]string{}
	for _, r := range e.rules {
		e.byID[r.ID()], e.hashes[r] = r, r.Hash()
		if r.Kind == Expr || r.Kind == Absence && r.ofAgent() {
			continue
		}
		if r.Series.Metric == "" {
			e.unnamed = append(e.unnamed, r)
		} else {
			e.byName[r.Series.Metric] = append(e.byName[r.Series.Metric], r)
		}
	}
}

// ofAgent reports whether a rule about absence is about the agent itself.
func (r *Rule) ofAgent() bool { return r.Series.Metric == "" && len(r.Series.Matchers) == 0 }

// take returns the transitions of this call.
func (e *Engine) take() []Transition {
	out := e.out
	e.out = nil
	return out
}

// Feed takes one cycle in and returns what changed by it. Feeding a cycle twice, or
// late, changes nothing. now is the service's clock.
func (e *Engine) Feed(c Cycle, now time.Time) []Transition {
	e.feed(&c, now.UnixMilli(), true)
	return e.take()
}

// Warm takes a cycle in that the agent's owner before has judged: windows, baselines
// and the watermark learn from it, and nothing is judged. A new owner warms the engine
// with the longest window that its rules have, in the order in which the cycles
// arrived at now, and goes on with Feed.
func (e *Engine) Warm(c Cycle, now time.Time) {
	e.feed(&c, now.UnixMilli(), false)
}

func (e *Engine) feed(c *Cycle, now int64, live bool) {
	e.counts.Cycles++
	a := e.agent(c.Agent, now)
	t := c.Time.UnixMilli()
	a.arrived, a.seen = max(a.arrived, now), max(a.seen, now-e.lost)
	if t > now+e.ahead {
		e.counts.Ahead++
		a.skewed = true
		return
	}
	s := a.streams[c.Layout]
	if s == nil && len(c.Series) > 0 {
		if len(a.streams) >= maxStreams {
			a.forget()
		}
		s = &stream{layout: c.Series}
		a.streams[c.Layout] = s
		e.bind(a, s)
	}
	if s == nil || len(c.Values) != len(s.layout) {
		e.counts.Malformed++
		return
	}
	if t <= s.last || t <= a.mark-e.slack {
		e.late(a, s, t, now)
		return
	}
	a.skewed = false
	if a.again {
		a.again = false
		a.breaks++
	}
	if t > a.mark {
		before := a.mark
		if lost := a.advance(t, e.patience); lost > 0 && live {
			e.unobserved(a, t-before, t, now)
		}
	}
	s.remember(t)
	for _, f := range s.state {
		if v := c.Values[f.at]; !sentinel.IsAbsent(v) {
			a.collectors[f.collector] = v != 0
		}
	}
	fresh := a.current(t, now, e.patience)
	e.samples(a, s, c.Values, t, now, fresh, live)
	e.metrics(a, s, c.Values, t, now, fresh, live)
}

// late counts a cycle that comes behind the watermark. One that is neither a repeat
// nor from a backlog shows that the clock was set back: until it has passed the
// watermark nothing is judged, and counters seem to leap where it does, so that
// windows begin anew.
func (e *Engine) late(a *agent, s *stream, t, now int64) {
	if s.duplicate(t) {
		e.counts.Duplicates++
		return
	}
	e.counts.Late++
	if t >= now-e.patience {
		a.again, a.skewed = true, true
	}
}

// unobserved is called when the watermark made a step of d. A pending incident begins
// anew where that was longer than patience.
func (e *Engine) unobserved(a *agent, d, t, now int64) {
	for _, in := range a.active {
		if in.rule.Kind == Absence && in.rule.ofAgent() {
			continue
		}
		if in.State == Pending && d > e.patience {
			in.Since, in.Start = a.observed(t), t
		}
		if (in.said == Pending || in.said == Firing) && (in.State == Pending || in.Quiet != 0) {
			e.emit(in, in.said, TimeUnobserved, t, now)
		}
	}
}

func (e *Engine) samples(a *agent, s *stream, values []float64, t, now int64, fresh, live bool) {
	o := a.observed(t)
	for i := range s.slots {
		sl := &s.slots[i]
		v := values[sl.at]
		if sl.second >= 0 {
			if sl.inst.rule.DividedBy != "" {
				v /= values[sl.second]
			} else {
				v -= values[sl.second]
			}
		}
		if v-v != 0 { // absent, or divided by zero
			continue
		}
		in := sl.inst
		if t <= in.at { // another layout has the same series
			continue
		}
		in.at = t
		e.counts.Evaluations++
		res := in.look(a, t, v)
		if !live || t <= in.judged {
			continue
		}
		ans := in.rule.judge(res)
		if ans == noAnswer || ans != holds && in.idle() {
			continue
		}
		in.last, in.raw = res, v
		in.step(in.rule, ans, t, o)
		e.announce(in, fresh, t, now)
	}
}

// look shows a sample to the instance's window and returns what the rule compares.
func (in *instance) look(a *agent, t int64, v float64) result {
	r := in.rule
	if r.Kind == Threshold && r.Function == Last {
		return result{value: v, ok: true, covered: true}
	}
	w := in.window
	if hole := a.lost - w.lost; w.breaks != a.breaks || hole*10 > r.Window.Milliseconds() {
		w.clear()
	}
	w.lost, w.breaks = a.lost, a.breaks
	if r.Kind == Anomaly {
		res := w.anomaly(r, t, v)
		w.push(r, t, v)
		return res
	}
	w.push(r, t, v)
	return w.answer(r, t)
}

// metrics judges the rules about absence of a metric at a cycle in order.
func (e *Engine) metrics(a *agent, s *stream, values []float64, t, now int64, fresh, live bool) {
	if len(a.missing) == 0 {
		return
	}
	o := a.observed(t)
	for i := range s.absent {
		p := &s.absent[i]
		for _, at := range p.at {
			if !sentinel.IsAbsent(values[at]) {
				p.inst.present = o
				break
			}
		}
	}
	if t < a.mark {
		return
	}
	for _, in := range a.missing {
		if in.at == 0 {
			in.present = max(in.present, o)
		}
		in.at = t
		if !live || t <= in.judged {
			continue
		}
		ans := recovered
		missing := o - in.present
		if missing >= in.rule.Window.Milliseconds() {
			ans = holds
		} else if missing > 0 && in.State == Firing {
			ans = undecided // it has come back before, and is away again
		}
		in.last = result{value: float64(missing) / 1000, ok: true}
		if ans != holds && in.idle() {
			continue
		}
		in.step(in.rule, ans, t, o)
		e.announce(in, fresh, t, now)
	}
}
