package alerting

import (
	"math"
	"slices"
)

// maxSlots bounds the points of a window. Where more samples than that fall into it,
// those within one slot, a thousandth of the window, become one point: their sum and
// number for avg, the largest for p95 and max, the smallest for min, the latest for
// everything else.
const maxSlots = 1000

type point struct {
	t int64   // event time, ms
	v float64 // the value; for avg the sum of n values
	x float64 // increase since the point before, for counters
	n int32
}

// window is the recent past of one series for one rule: what lies in (t-length, t].
// It covers its length when its first sample is at least that old. All functions are
// kept up incrementally and are exact, but for what maxSlots says and for rounding.
type window struct {
	length, slot int64 // ms
	since        int64 // event time of the first sample since the last hole
	lost         int64 // the agent's unobserved time at the last sample
	breaks       int32 // the agent's count of clock steps at the last sample
	full         int32 // points pushed since the sums were made afresh
	head         int   // points[head:] are in the window
	points       []point
	sorted       []float64 // p95, anomaly: the same values, ascending
	// Sums over points, of what the function needs. Times are seconds after base.
	base             int64
	n                int64
	sum, st, stt, sv float64
	stv              float64
}

// result is what a window says at one time.
type result struct {
	value float64
	ok    bool // there is an answer at all
	// covered says that the answer is about the whole window. Else it stands only
	// where more samples could not take it back.
	covered  bool
	baseline float64 // anomaly
	eta      float64 // forecast: seconds until the bound, or negative
}

func (w *window) clear() {
	w.points, w.sorted, w.head = w.points[:0], w.sorted[:0], 0
	w.since, w.n, w.sum, w.st, w.stt, w.sv, w.stv = 0, 0, 0, 0, 0, 0, 0
}

// push takes a sample in and evicts what has become too old. t must be greater than
// that of the sample before.
func (w *window) push(r *Rule, t int64, v float64) {
	if w.length == 0 {
		w.length = r.Window.Milliseconds()
		w.slot = max(w.length/maxSlots, 1)
	}
	w.evict(r, t-w.length)
	if w.head == len(w.points) {
		w.clear()
		w.since, w.base = t, t
	}
	switch {
	case r.Kind == Threshold && r.Function == Min:
		for len(w.points) > w.head && w.points[len(w.points)-1].v >= v {
			w.points = w.points[:len(w.points)-1]
		}
	case r.Kind == Threshold && r.Function == Max:
		for len(w.points) > w.head && w.points[len(w.points)-1].v <= v {
			w.points = w.points[:len(w.points)-1]
		}
	}
	p := point{t: t, v: v, n: 1}
	if last := len(w.points) - 1; last >= w.head {
		q := w.points[last]
		if r.Function == Rate || r.Function == Increase {
			if p.x = v - q.v; p.x < 0 {
				p.x = v // the counter began again
			}
		}
		if q.t/w.slot == t/w.slot {
			w.drop(r, q)
			w.points = w.points[:last]
			p = merge(r, q, p, last == w.head)
		}
	}
	w.add(r, p)
}

// merge makes one point of two in the same slot.
func merge(r *Rule, q, p point, first bool) point {
	p.n += q.n
	switch {
	case r.Kind != Threshold:
	case r.Function == Avg:
		p.v += q.v
	case r.Function == P95 || r.Function == Max:
		p.v = max(p.v, q.v)
	case r.Function == Min:
		p.v = min(p.v, q.v)
	case first: // what came before the first point does not count
		p.x = 0
	default:
		p.x += q.x
	}
	return p
}

func (w *window) add(r *Rule, p point) {
	if w.head > 0 && len(w.points) == cap(w.points) {
		w.points = w.points[:copy(w.points, w.points[w.head:])]
		w.head = 0
	}
	w.points = append(w.points, p)
	if r.Function == P95 || r.Kind == Anomaly {
		at, _ := slices.BinarySearch(w.sorted, p.v)
		w.sorted = slices.Insert(w.sorted, at, p.v)
	}
	if w.full++; w.full >= 4*maxSlots {
		w.afresh()
		return
	}
	w.count(p, 1)
}

func (w *window) drop(r *Rule, p point) {
	w.count(p, -1)
	if r.Function == P95 || r.Kind == Anomaly {
		if at, found := slices.BinarySearch(w.sorted, p.v); found {
			w.sorted = slices.Delete(w.sorted, at, at+1)
		}
	}
}

// count adds a point to the sums, or takes it away.
func (w *window) count(p point, sign float64) {
	s := float64(p.t-w.base) / 1000
	w.n += int64(sign) * int64(p.n)
	w.sum += sign * p.x
	w.sv += sign * p.v
	w.st += sign * s
	w.stt += sign * s * s
	w.stv += sign * s * p.v
}

// afresh makes the sums from the points, so that rounding errors do not pile up.
func (w *window) afresh() {
	w.full, w.n, w.sum, w.st, w.stt, w.sv, w.stv = 0, 0, 0, 0, 0, 0, 0
	w.base = w.points[w.head].t
	for _, p := range w.points[w.head:] {
		w.count(p, 1)
	}
}

func (w *window) evict(r *Rule, until int64) {
	for w.head < len(w.points) && w.points[w.head].t <= until {
		w.drop(r, w.points[w.head])
		if w.head++; w.head < len(w.points) {
			w.sum -= w.points[w.head].x // it came from before the window
			w.points[w.head].x = 0
		}
	}
}

// answer returns what the window says after a push at time t of value v.
func (w *window) answer(r *Rule, t int64) (res result) {
	first, last := w.points[w.head], w.points[len(w.points)-1]
	res.covered = t-w.since >= w.length
	if r.Kind == Forecast {
		return w.forecast(r, t, res)
	}
	switch r.Function {
	case Avg:
		res.value, res.ok = w.sv/float64(w.n), true
	case Min, Max:
		res.value, res.ok = first.v, true
	case P95:
		// The nearest rank: the smallest value that 95 % of the values do not exceed.
		rank := int(math.Ceil(0.95 * float64(len(w.sorted))))
		res.value, res.ok = w.sorted[rank-1], true
	case Increase:
		res.value, res.ok = w.sum, last.t > first.t
	case Rate:
		res.value, res.ok = w.sum*1000/float64(last.t-first.t), last.t > first.t
	case Delta:
		res.value, res.ok = last.v-first.v, last.t > first.t
	}
	if !res.covered {
		switch { // more samples cannot take these back
		case (r.Function == Max || r.Function == Increase) && r.Condition.upward():
			res.covered = r.Condition.Holds(res.value)
		case r.Function == Min && r.Condition.downward():
			res.covered = r.Condition.Holds(res.value)
		}
	}
	return res
}

// forecast lays the straight line of least squares through the points and follows it
// for Ahead. eta is when it meets the condition's bound.
func (w *window) forecast(r *Rule, t int64, res result) result {
	n := float64(len(w.points) - w.head)
	if det := n*w.stt - w.st*w.st; n >= 3 && det > 0 {
		slope := (n*w.stv - w.st*w.sv) / det
		now := (w.sv-slope*w.st)/n + slope*float64(t-w.base)/1000
		res.value, res.ok, res.eta = now+slope*r.Ahead.Seconds(), true, -1
		if eta := (r.Condition.Bound - now) / slope; eta > 0 && eta-eta == 0 {
			res.eta = eta
		} else if r.Condition.Holds(now) {
			res.eta = 0
		}
	}
	return res
}

// anomaly returns how many robust deviations v lies from the window's median: the
// deviation is 1.4826 times the median of the distances from the median, which is the
// standard deviation where values are spread normally, and at least the rule's floor
// and a hundredth of the median. It must be asked before v is pushed.
func (w *window) anomaly(r *Rule, t int64, v float64) (res result) {
	w.evict(r, t-r.Window.Milliseconds())
	n := len(w.sorted)
	if n < 10 || t-w.since < r.MinHistory.Milliseconds() {
		return res
	}
	median := w.sorted[n/2]
	scale := max(1.4826*medianDistance(w.sorted, median), r.Floor, math.Abs(median)/100, 1e-9)
	return result{value: (v - median) / scale, ok: true, covered: true, baseline: median}
}

// medianDistance returns the median of |x - m| over ascending values, m one of them
// or between them, in logarithmic time: the k smallest distances are those of a run
// of neighbours, and the run is found by halving.
func medianDistance(sorted []float64, m float64) float64 {
	n := len(sorted)
	k := n/2 + 1 // the run's length
	lo, hi := 0, n-k
	for lo < hi {
		mid := (lo + hi) / 2
		if m-sorted[mid] > sorted[mid+k]-m {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return max(m-sorted[lo], sorted[lo+k-1]-m)
}
