package postgres

import (
	"context"
	"encoding/binary"
	"math"
	"sync/atomic"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// BucketRead asks for series summed up over equal steps, as a picture shows them.
type BucketRead struct {
	Series []FoundSeries
	From   time.Time     // of the first step; a whole number of steps since 1970, so that roll-ups fit
	Step   time.Duration // a whole number of milliseconds
	Steps  int           // how many
	// MaxSamples bounds what is read; more are ResourceExhausted.
	MaxSamples int
}

// SeriesBuckets are the steps of one series. Where Count is 0 there was no sample,
// and the other numbers say nothing.
type SeriesBuckets struct {
	Min, Max, Sum []float64
	Count         []int64
}

// ReadBuckets returns the steps of each series, in the order of the request. Steps of
// whole hours or minutes come from roll-ups, as far as these are made; finer ones too,
// where retention has left nothing else.
func (db *DB) ReadBuckets(ctx context.Context, q BucketRead) ([]SeriesBuckets, error) {
	if q.Step < time.Millisecond || q.Steps < 0 {
		return nil, sentinel.Errorf(sentinel.Invalid, "%d steps of %s make no sense", q.Steps, q.Step)
	}
	places, err := db.places(ctx, q.Series)
	if err != nil {
		return nil, err
	}
	k := bucketSink{step: q.Step.Milliseconds(), from: q.From.UnixMilli(), out: make([]SeriesBuckets, len(q.Series)), most: q.MaxSamples}
	k.left.Store(int64(q.MaxSamples))
	for i := range k.out {
		k.out[i] = SeriesBuckets{make([]float64, q.Steps), make([]float64, q.Steps), make([]float64, q.Steps), make([]int64, q.Steps)}
	}
	if len(places) == 0 || q.Steps == 0 {
		return k.out, nil
	}
	r := arrayReader{db: db, sink: &k, from: k.from, to: k.from + k.step*int64(q.Steps) - 1}
	for _, tier := range []time.Duration{time.Hour, time.Minute} {
		if ms := tier.Milliseconds(); k.step%ms == 0 && k.from%ms == 0 {
			r.tier = tier
			break
		}
	}
	if err := r.run(ctx, places); err != nil {
		return nil, failed("read steps", err)
	}
	return k.out, nil
}

// bucketSink adds rows to steps.
type bucketSink struct {
	step, from int64 // milliseconds
	out        []SeriesBuckets
	most       int
	left       atomic.Int64 // samples and buckets that may still be read
}

func (*bucketSink) columns(tier time.Duration) []string {
	if tier == 0 {
		return []string{"vals"}
	}
	return []string{"mins", "maxs", "sums", "counts"}
}

func (k *bucketSink) add(tier time.Duration, ts int64, n int32, e elements) error {
	i := (ts - k.from) / k.step
	if e[0] == nil || ts < k.from || i >= int64(len(k.out[n].Count)) { // a bucket that is longer than the step may reach beyond an end
		return nil
	}
	if k.left.Add(-1) < 0 {
		return sentinel.Errorf(sentinel.ResourceExhausted, "more than %d samples: ask for less time, larger steps or fewer series", k.most)
	}
	low := number(e[0])
	high, sum, count := low, low, int64(1)
	if tier > 0 {
		if e[1] == nil || e[3] == nil {
			return nil
		}
		high, sum, count = number(e[1]), sentinel.Absent(), int64(binary.BigEndian.Uint32(e[3]))
		if e[2] != nil {
			sum = number(e[2]) // else it was too large for a number, and so it stays
		}
	}
	s := &k.out[n]
	if s.Count[i] == 0 {
		s.Min[i], s.Max[i], s.Sum[i], s.Count[i] = low, high, sum, count
		return nil
	}
	s.Min[i], s.Max[i] = min(s.Min[i], low), max(s.Max[i], high)
	s.Sum[i] += sum
	s.Count[i] += count
	return nil
}

func number(raw []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(raw)) }
