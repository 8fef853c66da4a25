package query

import (
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// milliseconds are a time since 1970, or a length of it. An alias, also because vet
// takes a method Seek(int64) for a mistaken io.Seeker.
type milliseconds = int64

// series is one series with the samples that a query needs.
type series struct {
	labels  labels.Labels
	samples postgres.SeriesSamples
	horizon int64 // a gap longer than these milliseconds ends the series
}

func (s *series) Labels() labels.Labels { return s.labels }

func (s *series) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it, ok := reuse.(*iterator)
	if !ok {
		it = new(iterator)
	}
	*it = iterator{samples: s.samples, horizon: s.horizon, at: -1}
	return it
}

const (
	// A series that has no sample for this many of its usual intervals has ended …
	endAfterIntervals = 4
	// … but what is on its way for less than this is not missed yet.
	endAfter = 60_000
)

// horizon returns how long a gap must be, in milliseconds, to end the series: a
// multiple of the usual distance of its samples.
func horizon(times []int64) int64 {
	const enough = 63
	if len(times) < 2 {
		return math.MaxInt64
	}
	distances := make([]int64, 0, enough)
	for i := max(1, len(times)-enough); i < len(times); i++ {
		distances = append(distances, times[i]-times[i-1])
	}
	slices.Sort(distances)
	return max(endAfter, endAfterIntervals*distances[len(distances)/2])
}

// iterator walks samples. Where the series ends, by an absent value or by a gap, it
// gives a stale marker, as Prometheus writes them. A mean of several samples comes
// as so many equal samples, within the bucket, so that sums and averages over time
// weigh it right.
type iterator struct {
	samples postgres.SeriesSamples
	horizon int64
	at      int // index of the current sample; -1 before the first
	nth     int // of its copies, from 0
	ended   bool
}

func (it *iterator) Next() chunkenc.ValueType {
	n := len(it.samples.Times)
	if it.at >= n {
		return chunkenc.ValNone
	}
	if it.at >= 0 && it.nth+1 < it.copies() {
		it.nth++
		return chunkenc.ValFloat
	}
	if it.at >= 0 && !it.ended && !it.absent(it.at) && it.gap() {
		it.ended = true
		return chunkenc.ValFloat
	}
	it.at, it.nth, it.ended = it.at+1, 0, false
	if it.at >= n {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

// gap reports whether the series ends after the current sample. Of the last one
// nothing is known but that no other is within what was read.
func (it *iterator) gap() bool {
	times := it.samples.Times
	return it.horizon < math.MaxInt64 && (it.at+1 == len(times) || times[it.at+1]-times[it.at] > it.horizon)
}

func (it *iterator) absent(i int) bool { return sentinel.IsAbsent(it.samples.Values[i]) }

func (it *iterator) copies() int {
	if it.samples.Counts == nil || it.absent(it.at) {
		return 1
	}
	return int(it.samples.Counts[it.at])
}

func (it *iterator) Seek(t milliseconds) chunkenc.ValueType {
	times := it.samples.Times
	if it.at >= len(times) {
		return chunkenc.ValNone
	}
	if it.at >= 0 && it.AtT() >= t {
		return chunkenc.ValFloat
	}
	// To the last sample before t, and on from there: a gap's end lies between.
	from := max(0, it.at)
	if i := from + sort.Search(len(times)-from, func(i int) bool { return times[from+i] >= t }) - 1; i > it.at {
		it.at, it.nth, it.ended = i, 0, false
	}
	for {
		if v := it.Next(); v == chunkenc.ValNone || it.AtT() >= t {
			return v
		}
	}
}

func (it *iterator) At() (int64, float64) {
	if it.ended || it.absent(it.at) {
		return it.AtT(), math.Float64frombits(value.StaleNaN)
	}
	return it.AtT(), it.samples.Values[it.at]
}

// AtT returns the current time. Copies of a mean lie one millisecond apart, the
// last of them where the mean stands.
func (it *iterator) AtT() int64 {
	t := it.samples.Times[it.at]
	if it.ended {
		return t + it.horizon
	}
	return t - int64(it.copies()-1-it.nth)
}

func (*iterator) AtST() int64 { return 0 }
func (*iterator) Err() error  { return nil }

func (*iterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return 0, nil // there are only floats
}

func (*iterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return 0, nil
}

// seriesSet hands series out one by one.
type seriesSet struct {
	series []*series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at <= len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at-1] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// unify sorts series by their labels and makes one of those that have the same, as
// a label of the agent can bring about.
func unify(all []*series) []*series {
	slices.SortFunc(all, func(a, b *series) int { return labels.Compare(a.labels, b.labels) })
	out := all[:0]
	for _, s := range all {
		if n := len(out) - 1; n >= 0 && labels.Equal(out[n].labels, s.labels) {
			out[n].samples = out[n].samples.Join(s.samples)
			continue
		}
		out = append(out, s)
	}
	return out
}
