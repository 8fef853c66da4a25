package query

import (
	"context"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Store has the series and their samples.
type Store interface {
	FindSeries(ctx context.Context, match []postgres.SeriesMatch, limit int) ([]postgres.FoundSeries, error)
	ReadSamples(ctx context.Context, q postgres.SampleRead) ([]postgres.SeriesSamples, error)
}

// Storage lets Prometheus' engine read a Store. It is safe for concurrent use.
type Storage struct {
	store  Store
	limits Limits
	exact  bool // samples as they came alone, for as long as they are kept
}

// NewStorage returns a Storage.
func NewStorage(store Store, limits Limits) *Storage {
	return &Storage{store: store, limits: limits}
}

// Querier returns one query's view; mint and maxt are milliseconds, ends included.
func (s *Storage) Querier(mint, maxt int64) (storage.Querier, error) {
	return &querier{Storage: s, mint: mint, maxt: maxt, samples: s.limits.MaxSamples, series: s.limits.MaxSeries}, nil
}

// querier is one query. The engine asks it one thing after another.
type querier struct {
	*Storage
	mint, maxt      int64
	samples, series int // that the query may still read
}

// Close has nothing to release.
func (q *querier) Close() error { return nil }

// Select reads the series that fulfil all matchers, sorted by their labels.
func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set, err := q.read(ctx, hints, matchers)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	return &seriesSet{series: set}
}

func (q *querier) read(ctx context.Context, hints *storage.SelectHints, matchers []*labels.Matcher) ([]*series, error) {
	found, sets, err := q.find(ctx, matchers)
	if err != nil {
		return nil, err
	}
	q.series -= len(found)
	read := postgres.SampleRead{Series: found, From: q.mint, To: q.maxt, MaxSamples: q.samples}
	if hints != nil {
		if hints.Func == "series" { // only which there are
			return bare(sets), nil
		}
		read.From, read.To, read.Window = hints.Start, hints.End, hints.Range
		lookback := q.limits.Lookback.Milliseconds()
		if read.Window == 0 {
			read.Window = lookback
		}
		read.Tier, read.Column = chooseTier(hints, lookback)
		if q.exact {
			read.Tier = 0
		} else if hints.Step > 0 && (read.From-1+read.Window)%hints.Step == 0 {
			// Evaluated at whole steps since 1970, also where a subquery moves the start.
			read.Every = hints.Step
		}
	}
	samples, err := q.store.ReadSamples(ctx, read)
	if err != nil {
		return nil, err
	}
	out := bare(sets)[:0]
	for i, s := range samples {
		if n := len(s.Times); n > 0 {
			q.samples -= n
			out = append(out, &series{labels: sets[i], samples: s, horizon: horizon(s.Times)})
		}
	}
	return unify(out), nil
}

func bare(sets []labels.Labels) []*series {
	out := make([]*series, len(sets))
	for i, ls := range sets {
		out[i] = &series{labels: ls}
	}
	return out
}

// find returns the series that fulfil all matchers, and their labels.
func (q *querier) find(ctx context.Context, matchers []*labels.Matcher) ([]postgres.FoundSeries, []labels.Labels, error) {
	all, err := q.store.FindSeries(ctx, pushDown(matchers), max(0, q.series))
	if err != nil && sentinel.CodeOf(err) == sentinel.ResourceExhausted {
		err = sentinel.Errorf(sentinel.ResourceExhausted, "the query looks at more than %d series: name a metric, or more labels", q.limits.MaxSeries)
	}
	if err != nil {
		return nil, nil, err
	}
	var b labels.ScratchBuilder
	found, sets := all[:0], make([]labels.Labels, 0, len(all))
	for _, s := range all {
		if ls := labelsOf(&b, s); matches(ls, matchers) {
			found, sets = append(found, s), append(sets, ls)
		}
	}
	return found, sets, nil
}

// LabelValues returns the values of a label, of the series that fulfil all
// matchers, whenever these had samples.
func (q *querier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	_, sets, err := q.find(ctx, matchers)
	values := make(map[string]struct{})
	for _, ls := range sets {
		if v := ls.Get(name); v != "" {
			values[v] = struct{}{}
		}
	}
	return bounded(values, hints), nil, err
}

// LabelNames returns the names of labels, likewise.
func (q *querier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	_, sets, err := q.find(ctx, matchers)
	names := make(map[string]struct{})
	for _, ls := range sets {
		ls.Range(func(l labels.Label) { names[l.Name] = struct{}{} })
	}
	return bounded(names, hints), nil, err
}

func bounded(set map[string]struct{}, hints *storage.LabelHints) []string {
	out := slices.Sorted(maps.Keys(set))
	if hints != nil && hints.Limit > 0 && len(out) > hints.Limit {
		out = out[:hints.Limit]
	}
	return out
}
