package alerting

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// The reference computes the engine's transitions for one agent from the full history
// of its inputs: windows are cut out of all samples and sorted and summed from scratch
// at every sample. It is slow, and follows the package's documentation, not its code.

// input is one call of the engine.
type input struct {
	now      int64
	cycle    *Cycle
	presence *Presence // neither: Advance
}

type refSample struct {
	t, o  int64 // event time, observed time
	lost  int64 // the agent's time unobserved up to here
	epoch int   // how often its clock had run again
	v     float64
}

type refIncident struct {
	rule    *Rule
	series  string
	samples []refSample
	m       Machine
	said    State
	was     State
	told    Machine
	lastAt  int64
	present int64
	began   bool
}

type reference struct {
	opts      Options
	rules     []*Rule
	out       []Transition
	inc       map[string]*refIncident
	accepted  []int64 // event times in order of acceptance
	byLayout  map[sentinel.LayoutHash][]int64
	usual     int64
	lost      int64
	epoch     int
	again     bool
	skewed    bool
	arrived   int64
	mark      int64
	offset    int64
	behind    int64
	behindBy  int64
	known     bool
	online    bool
	backlog   bool
	seen      int64
	advanced  int64
	clockLost int64
}

func newReference(rules *RuleSet) *reference {
	return &reference{opts: DefaultOptions(), rules: rules.Rules, inc: map[string]*refIncident{}, byLayout: map[sentinel.LayoutHash][]int64{}}
}

func (f *reference) incident(r *Rule, series string) *refIncident {
	k := r.ID() + "|" + series
	if f.inc[k] == nil {
		f.inc[k] = &refIncident{rule: r, series: series, said: Inactive, m: Machine{State: Inactive}}
	}
	return f.inc[k]
}

// ordered returns the incidents in the order in which one cycle reaches them.
func (f *reference) ordered() []*refIncident {
	var list []*refIncident
	for _, i := range f.inc {
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b *refIncident) int {
		return cmp.Or(cmp.Compare(a.rule.ID(), b.rule.ID()), cmp.Compare(a.series, b.series))
	})
	return list
}

func (f *reference) step(in input) {
	if !f.known && (in.cycle != nil || in.presence != nil) {
		f.known, f.seen = true, in.now-f.clockLost
	}
	switch {
	case in.cycle != nil:
		f.feed(in.cycle, in.now)
	case in.presence != nil:
		if in.presence.Connected || f.online {
			f.seen = max(f.seen, in.now-f.clockLost)
		}
		f.online, f.backlog = in.presence.Connected, in.presence.Backlog
		f.silence(in.now)
	default:
		if d := in.now - f.advanced; f.advanced != 0 && d > 60_000 {
			f.clockLost += d - 60_000
		} else if f.advanced != 0 && d < 0 {
			f.clockLost += d
		}
		f.advanced = in.now
		f.silence(in.now)
		for _, i := range f.ordered() {
			f.wait(i, in.now)
		}
	}
}

func (f *reference) feed(c *Cycle, now int64) {
	t := c.Time.UnixMilli()
	patience := f.opts.Patience.Milliseconds()
	f.arrived, f.seen = max(f.arrived, now), max(f.seen, now-f.clockLost)
	if t > now+f.opts.MaxAhead.Milliseconds() {
		f.skewed = true
		return
	}
	mine := f.byLayout[c.Layout]
	if len(mine) > 0 && t <= slices.Max(mine) || len(f.accepted) > 0 && t <= slices.Max(f.accepted)-f.opts.Slack.Milliseconds() {
		recent := mine[max(0, len(mine)-recentTimes):]
		if !slices.Contains(recent, t) && t >= now-patience {
			f.again, f.skewed = true, true
		}
		return
	}
	f.skewed = false
	if f.again {
		f.again = false
		f.epoch++
	}
	if len(f.accepted) > 0 && t > f.mark {
		step := t - f.mark
		if f.usual == 0 {
			f.usual = min(step, 300_000)
		}
		if step > max(2*f.usual, 30_000) {
			f.lost += step - f.usual
			f.usual = min(2*f.usual, patience/2)
			f.hole(step, t, now)
		} else {
			f.usual = max(step, f.usual-(f.usual-step)/16)
		}
	}
	f.mark = max(f.mark, t)
	f.accepted = append(f.accepted, t)
	f.byLayout[c.Layout] = append(mine, t)
	fresh := f.fresh(t, now)
	for pos, s := range c.Series {
		for _, r := range f.rules {
			if r.Kind == Absence || !r.Series.MatchesSeries(s) || sentinel.IsAbsent(c.Values[pos]) {
				continue
			}
			i := f.incident(r, s.String())
			i.samples = append(i.samples, refSample{t: t, o: t - f.lost, lost: f.lost, epoch: f.epoch, v: c.Values[pos]})
			i.lastAt = t
			f.judge(i, i.verdict(), t, now, fresh)
		}
	}
	for _, r := range f.rules {
		if r.Kind != Absence || r.ofAgent() {
			continue
		}
		i := f.incident(r, "")
		if !i.began {
			i.began, i.present = true, t-f.lost
		}
		for pos, s := range c.Series {
			if r.Series.MatchesSeries(s) && !sentinel.IsAbsent(c.Values[pos]) {
				i.present = t - f.lost
			}
		}
		if t < f.mark {
			continue
		}
		i.lastAt = t
		v := recovered
		if away := t - f.lost - i.present; away >= r.Window.Milliseconds() {
			v = holds
		} else if away > 0 && i.m.State == Firing {
			v = undecided
		}
		f.judge(i, v, t, now, fresh)
	}
}

func (f *reference) fresh(t, now int64) bool {
	skew, patience := t-now, f.opts.Patience.Milliseconds()
	room := int64(30_000)
	if skew < -patience {
		f.behind = 0
		return false
	}
	if skew < f.offset-room {
		if f.behind == 0 || now < f.behind || skew > f.behindBy+room {
			f.behind, f.behindBy = now, skew
			return false
		}
		if now-f.behind <= patience/2 {
			return false
		}
		f.offset = skew
	}
	f.behind = 0
	f.offset = max(f.offset, skew)
	return true
}

// verdict judges the latest sample from all samples.
func (i *refIncident) verdict() verdict {
	r, all := i.rule, i.samples
	last := all[len(all)-1]
	if r.Kind == Threshold && r.Function == Last {
		return r.judge(result{value: last.v, ok: true, covered: true})
	}
	w := r.Window.Milliseconds()
	// The run of samples that ends here, without a hole in it.
	first := len(all) - 1
	for first > 0 {
		a, b := all[first-1], all[first]
		if (b.lost-a.lost)*10 > w || a.epoch != b.epoch || b.t-a.t >= w {
			break
		}
		first--
	}
	run := all[first:]
	res := result{covered: last.t-run[0].t >= w}
	if r.Kind == Anomaly {
		return i.anomaly(run, w)
	}
	var in []refSample
	for _, s := range run {
		if s.t > last.t-w {
			in = append(in, s)
		}
	}
	values := make([]float64, 0, len(in))
	sum, inc := 0.0, 0.0
	for k, s := range in {
		values = append(values, s.v)
		sum += s.v
		if k > 0 {
			if d := s.v - in[k-1].v; d >= 0 {
				inc += d
			} else {
				inc += s.v
			}
		}
	}
	slices.Sort(values)
	seconds := float64(last.t-in[0].t) / 1000
	switch {
	case r.Kind == Forecast:
		return i.forecast(in, res)
	case r.Function == Avg:
		res.value, res.ok = sum/float64(len(in)), true
	case r.Function == Min:
		res.value, res.ok = values[0], true
		if !res.covered && r.Condition.downward() {
			res.covered = r.Condition.Holds(res.value)
		}
	case r.Function == Max:
		res.value, res.ok = values[len(values)-1], true
		if !res.covered && r.Condition.upward() {
			res.covered = r.Condition.Holds(res.value)
		}
	case r.Function == P95:
		res.value, res.ok = values[int(math.Ceil(0.95*float64(len(values))))-1], true
	case r.Function == Increase:
		res.value, res.ok = inc, seconds > 0
		if !res.covered && r.Condition.upward() {
			res.covered = r.Condition.Holds(res.value)
		}
	case r.Function == Rate:
		res.value, res.ok = inc/seconds, seconds > 0
	case r.Function == Delta:
		res.value, res.ok = last.v-in[0].v, seconds > 0
	}
	return r.judge(res)
}

func (i *refIncident) forecast(in []refSample, res result) verdict {
	if len(in) < 3 {
		return noAnswer
	}
	t0, n := in[len(in)-1].t, float64(len(in))
	var mt, mv, cov, sq float64
	for _, s := range in {
		mt += float64(s.t-t0) / 1000 / n
		mv += s.v / n
	}
	for _, s := range in {
		d := float64(s.t-t0)/1000 - mt
		cov += d * (s.v - mv)
		sq += d * d
	}
	slope := cov / sq
	res.value, res.ok = mv-slope*mt+slope*i.rule.Ahead.Seconds(), true
	return i.rule.judge(res)
}

func (i *refIncident) anomaly(run []refSample, w int64) verdict {
	last := run[len(run)-1]
	var values []float64
	for _, s := range run[:len(run)-1] {
		if s.t > last.t-w {
			values = append(values, s.v)
		}
	}
	if len(values) < 10 || last.t-run[0].t < i.rule.MinHistory.Milliseconds() {
		return noAnswer
	}
	slices.Sort(values)
	median := values[len(values)/2]
	var distances []float64
	for _, v := range values {
		distances = append(distances, math.Abs(v-median))
	}
	slices.Sort(distances)
	scale := max(1.4826*distances[len(distances)/2], i.rule.Floor, math.Abs(median)/100, 1e-9)
	return i.rule.judge(result{value: (last.v - median) / scale, ok: true, covered: true})
}

// judge moves an incident on, and says what is to be said.
func (f *reference) judge(i *refIncident, v verdict, t, now int64, fresh bool) {
	if v == noAnswer || v != holds && i.said == Inactive && i.m.State == Inactive {
		return
	}
	lost := f.lost
	if i.rule.Kind == Absence && i.rule.ofAgent() {
		lost = f.clockLost
	}
	o := t - lost
	r, m := i.rule, &i.m
	switch m.State {
	case Inactive:
		if v == holds {
			m.State, m.Since, m.Start = Pending, o, t
			if r.For == 0 {
				m.State, m.Fired = Firing, t
			}
		}
	case Pending:
		if v != holds {
			*m = Machine{State: Inactive, End: t}
		} else if time.Duration(o-m.Since)*time.Millisecond >= r.For {
			m.State, m.Fired = Firing, t
		}
	case Firing:
		if v != recovered {
			m.Quiet = 0
			break
		}
		if m.Quiet == 0 {
			m.Quiet = o
		}
		if time.Duration(o-m.Quiet)*time.Millisecond >= r.KeepFiringFor {
			*m = Machine{State: Inactive, End: t}
		}
	}
	if !fresh {
		return
	}
	effective := i.said
	if effective == Unknown {
		effective = i.was
	}
	if effective != Firing && m.State == Firing && m.Quiet != 0 {
		*m = Machine{State: Inactive, End: t}
	}
	switch {
	case effective == m.State || effective == Firing && m.State == Pending:
		if i.said == Unknown || effective != Inactive && (m.Quiet != 0) != (i.told.Quiet != 0) {
			f.say(i, effective, t, now)
		}
	case effective == Firing:
		f.say(i, Resolved, t, now)
	default:
		f.say(i, m.State, t, now)
	}
}

func (f *reference) say(i *refIncident, to State, t, now int64) {
	tr := Transition{From: i.said, To: to, At: at(t), Now: at(now)}
	tr.Rule, tr.Series = i.rule.ID(), i.series
	firing := i.said == Firing || i.said == Unknown && i.was == Firing
	old := i.told
	i.was = ""
	switch to {
	case Pending, Firing:
		i.told = i.m
		if firing {
			i.told.Start, i.told.Fired = old.Start, old.Fired
		}
	case Unknown:
		i.was = i.said
	}
	tr.StartsAt, tr.FiredAt = at(i.told.Start), at(i.told.Fired)
	if i.said = to; to == Resolved {
		i.said = Inactive
	}
	if to == Resolved || to == Inactive {
		i.told = Machine{}
	}
	f.out = append(f.out, tr)
}

func (f *reference) hole(step, t, now int64) {
	for _, i := range f.ordered() {
		if i.rule.Kind == Absence && i.rule.ofAgent() {
			continue
		}
		if i.m.State == Pending && step > f.opts.Patience.Milliseconds() {
			i.m.Since, i.m.Start = t-f.lost, t
		}
		if (i.said == Pending || i.said == Firing) && (i.m.State == Pending || i.m.Quiet != 0) {
			f.say(i, i.said, t, now)
		}
	}
}

func (f *reference) silence(now int64) {
	for _, r := range f.rules {
		if r.Kind != Absence || !r.ofAgent() || !f.known {
			continue
		}
		v := recovered
		if !f.online && now-f.clockLost-f.seen >= r.Window.Milliseconds() {
			v = holds
		}
		f.judge(f.incident(r, ""), v, now, now, true)
	}
}

// wait is about samples that stay out. In the traces every metric that is missing has
// no collector that is known, and no other series.
func (f *reference) wait(i *refIncident, now int64) {
	if i.said == Inactive || i.said == Unknown || i.rule.Kind == Absence && i.rule.ofAgent() {
		return
	}
	if now-i.lastAt > f.opts.Patience.Milliseconds() {
		f.say(i, Unknown, i.lastAt, now)
	}
}
