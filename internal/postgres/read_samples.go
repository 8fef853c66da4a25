package postgres

import (
	"context"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Column is which number of a roll-up's bucket stands for it. For samples as they
// came all are the sample itself.
type Column uint8

const (
	ColumnLast Column = iota
	// ColumnCounter is last, and before it the greatest where that is greater: the
	// counter began again. Else, of an hour, it is also the least, as the first.
	ColumnCounter
	ColumnMin
	ColumnMax
	ColumnMean // with how many samples it is the mean of
)

// SampleRead asks for the samples of series over a time, ends included. Times are
// milliseconds since 1970, as samples' are.
type SampleRead struct {
	Series   []FoundSeries
	From, To int64
	// Every and Window, where Every is greater, pass over what no evaluation looks
	// at: only samples at most Window-1 after From, From+Every and so on are read.
	Every, Window int64
	// Tier is the coarsest roll-up that may stand for samples: an hour, a minute, or
	// zero for samples as they came. Buckets are read whole, and where From, To or the
	// roll-up's progress cut one, finer data takes its place; but where retention has
	// removed the finer data, what is left is read.
	Tier   time.Duration
	Column Column
	// MaxSamples bounds what is read; more are ResourceExhausted.
	MaxSamples int
}

// SeriesSamples are samples of one series, ascending and each time once. A bucket
// stands at its last millisecond.
type SeriesSamples struct {
	Times  []int64
	Values []float64 // sentinel.Absent where the cycle, or bucket, had no value
	Counts []int32   // nil, or how many samples the value is the mean of
}

// ReadSamples returns the samples of each series, in the order of the request.
func (db *DB) ReadSamples(ctx context.Context, q SampleRead) ([]SeriesSamples, error) {
	out := make([]SeriesSamples, len(q.Series))
	places, err := db.places(ctx, q.Series)
	if err != nil || len(places) == 0 {
		return out, err
	}
	s := sampleSink{SampleRead: q, out: out}
	s.left.Store(int64(q.MaxSamples))
	r := arrayReader{db: db, sink: &s, from: q.From, to: q.To, tier: q.Tier, every: q.Every, window: q.Window}
	if err := r.run(ctx, places); err != nil {
		return nil, failed("read samples", err)
	}
	for i := range out {
		out[i].sort()
	}
	return out, nil
}

// sampleSink gathers samples.
type sampleSink struct {
	SampleRead
	out  []SeriesSamples // each belongs to one agent, and so to one goroutine
	left atomic.Int64    // samples that may still be read
}

func (k *sampleSink) columns(tier time.Duration) []string {
	if tier == 0 {
		return []string{"vals"}
	}
	switch k.Column {
	case ColumnCounter:
		if tier == time.Hour {
			return []string{"lasts", "maxs", "mins"}
		}
		return []string{"lasts", "maxs"}
	case ColumnMin:
		return []string{"mins"}
	case ColumnMax:
		return []string{"maxs"}
	case ColumnMean:
		return []string{"sums", "counts"}
	}
	return []string{"lasts"}
}

func (k *sampleSink) add(tier time.Duration, ts int64, n int32, e elements) error {
	if k.left.Add(-1) < 0 {
		return sentinel.Errorf(sentinel.ResourceExhausted, "more than %d samples: ask for less time, a larger step or fewer series", k.MaxSamples)
	}
	s, v := &k.out[n], sentinel.Absent()
	if e[0] != nil {
		v = number(e[0])
	}
	switch {
	case k.Column == ColumnMean:
		count := int32(1)
		if e[1] != nil {
			if count = int32(binary.BigEndian.Uint32(e[1])); count > 0 {
				v /= float64(count)
			}
		}
		s.Counts = append(s.Counts, max(1, count))
	case k.Column == ColumnCounter && e[1] != nil:
		if top := number(e[1]); top > v {
			s.Times, s.Values = append(s.Times, ts-tier.Milliseconds()/2), append(s.Values, top)
		} else if e[2] != nil {
			s.Times, s.Values = append(s.Times, ts-tier.Milliseconds()+2), append(s.Values, number(e[2]))
		}
	}
	s.Times, s.Values = append(s.Times, ts), append(s.Values, v)
	return nil
}

// sort brings samples into order, where several layouts hold the series, and keeps
// one of each time: a value before none, else the later read.
func (s *SeriesSamples) sort() {
	ascending := true
	for i := 1; i < len(s.Times) && ascending; i++ {
		ascending = s.Times[i-1] < s.Times[i]
	}
	if ascending {
		return
	}
	order := make([]int, len(s.Times))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case s.Times[a] != s.Times[b]:
			return int(min(1, max(-1, s.Times[a]-s.Times[b])))
		case sentinel.IsAbsent(s.Values[a]) && !sentinel.IsAbsent(s.Values[b]):
			return -1
		case !sentinel.IsAbsent(s.Values[a]) && sentinel.IsAbsent(s.Values[b]):
			return 1
		}
		return 0
	})
	sorted := SeriesSamples{Times: make([]int64, 0, len(order)), Values: make([]float64, 0, len(order))}
	for _, i := range order {
		if n := len(sorted.Times) - 1; n >= 0 && sorted.Times[n] == s.Times[i] {
			sorted.drop()
		}
		sorted.Times, sorted.Values = append(sorted.Times, s.Times[i]), append(sorted.Values, s.Values[i])
		if s.Counts != nil {
			sorted.Counts = append(sorted.Counts, s.Counts[i])
		}
	}
	*s = sorted
}

func (s *SeriesSamples) drop() {
	n := len(s.Times) - 1
	s.Times, s.Values = s.Times[:n], s.Values[:n]
	if s.Counts != nil {
		s.Counts = s.Counts[:n]
	}
}

// Join returns the samples of both, as of one series.
func (s SeriesSamples) Join(o SeriesSamples) SeriesSamples {
	j := SeriesSamples{Times: slices.Concat(s.Times, o.Times), Values: slices.Concat(s.Values, o.Values)}
	if s.Counts != nil || o.Counts != nil {
		j.Counts = slices.Concat(s.Counts, o.Counts)
	}
	j.sort()
	return j
}
