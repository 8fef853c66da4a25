// Package query answers PromQL over the stored samples: Prometheus' own engine, as
// a library, on a storage of ours, and Prometheus' HTTP interface. It is the only
// package that knows that engine.
package query

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Limits bound what queries may cost.
type Limits struct {
	// Timeout is for one query, its wait for others included.
	Timeout time.Duration `yaml:"timeout"`
	// Concurrent is how many queries run at once; more wait for their turn. Each uses
	// up to two connections to the database, which the rest of the server needs too.
	Concurrent int `yaml:"concurrent"`
	// MaxSamples is how many samples one query may read, and how many it may hold.
	MaxSamples int `yaml:"max_samples"`
	// MaxSeries is how many series one query may look at.
	MaxSeries int `yaml:"max_series"`
	// Lookback is how old a current value may be.
	Lookback time.Duration `yaml:"lookback"`
}

// DefaultLimits returns the limits that hold unless a configuration says otherwise.
func DefaultLimits() Limits {
	return Limits{Timeout: 30 * time.Second, Concurrent: 3, MaxSamples: 10_000_000, MaxSeries: 100_000, Lookback: 5 * time.Minute}
}

// Validate says which key is wrong and what is allowed.
func (l Limits) Validate() error {
	switch {
	case l.Timeout < time.Second || l.Timeout > 2*time.Minute:
		return sentinel.Errorf(sentinel.Invalid, "timeout: %s: want 1s to 2m", l.Timeout)
	case l.Concurrent < 1 || l.Concurrent > 1000:
		return sentinel.Errorf(sentinel.Invalid, "concurrent: %d: want 1 to 1000", l.Concurrent)
	case l.MaxSamples < 1000:
		return sentinel.Errorf(sentinel.Invalid, "max_samples: %d: want 1000 or more", l.MaxSamples)
	case l.MaxSeries < 100:
		return sentinel.Errorf(sentinel.Invalid, "max_series: %d: want 100 or more", l.MaxSeries)
	case l.Lookback < 10*time.Second || l.Lookback > time.Hour:
		return sentinel.Errorf(sentinel.Invalid, "lookback: %s: want 10s to 1h", l.Lookback)
	}
	return nil
}

// maxPoints is how many points one series of an answer may have, as in Prometheus.
const maxPoints = 11_000

// Engine answers PromQL. It is safe for concurrent use.
type Engine struct {
	engine  *promql.Engine
	parser  parser.Parser
	storage *Storage
	limits  Limits
}

// New returns an engine over a store.
func New(store Store, limits Limits, log *slog.Logger) *Engine {
	p := parser.NewParser(parser.Options{})
	return &Engine{engine: newEngine(limits, p, log), parser: p, storage: NewStorage(store, limits), limits: limits}
}

func newEngine(limits Limits, p parser.Parser, log *slog.Logger) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger: log, MaxSamples: limits.MaxSamples, Timeout: limits.Timeout, LookbackDelta: limits.Lookback,
		ActiveQueryTracker:       make(turns, limits.Concurrent),
		NoStepSubqueryIntervalFn: func(int64) int64 { return defaultStep.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: p,
	})
}

// turns bounds how many queries run at once.
type turns chan struct{}

func (t turns) GetMaxConcurrent() int { return cap(t) }
func (t turns) Close() error          { return nil }
func (t turns) Delete(int)            { <-t }

func (t turns) Insert(ctx context.Context, _ string) (int, error) {
	select {
	case t <- struct{}{}:
		return 0, nil
	case <-ctx.Done():
		return 0, &timeoutError{sentinel.Errorf(sentinel.Unavailable, "%d other queries were running all the time: try again later", cap(t))}
	}
}

// Result is an answer. Its value is only good until Close.
type Result struct {
	Value    parser.Value
	Warnings []string
	Infos    []string
	query    promql.Query
}

// Close gives the memory of the answer back.
func (r *Result) Close() { r.query.Close() }

// Number returns the value of the one series of an instant answer; there is none where
// it has no series, or several.
func (r *Result) Number() (v float64, ok bool) {
	if list, is := r.Value.(promql.Vector); is && len(list) == 1 {
		return list[0].F, true
	}
	return 0, false
}

// Instant evaluates an expression at one time. An expression that is wrong is
// Invalid, one that asks for too much is ResourceExhausted.
func (e *Engine) Instant(ctx context.Context, expression string, at time.Time) (*Result, error) {
	s, err := e.open(expression, 0)
	if err != nil {
		return nil, err
	}
	q, err := e.engine.NewInstantQuery(ctx, s, nil, expression, at)
	return run(ctx, q, expression, err)
}

// Range evaluates an expression at from, from+step and so on up to to.
func (e *Engine) Range(ctx context.Context, expression string, from, to time.Time, step time.Duration) (*Result, error) {
	switch {
	case step < time.Millisecond:
		return nil, sentinel.Errorf(sentinel.Invalid, "step: want 1ms or more")
	case to.Before(from):
		return nil, sentinel.Errorf(sentinel.Invalid, "end is before start")
	case to.Sub(from)/step >= maxPoints:
		return nil, sentinel.Errorf(sentinel.Invalid, "more than %d points for each series: ask with a larger step or for less time", maxPoints)
	}
	s, err := e.open(expression, to.Sub(from))
	if err != nil {
		return nil, err
	}
	q, err := e.engine.NewRangeQuery(ctx, s, nil, expression, from, to, step)
	return run(ctx, q, expression, err)
}

// Select returns the series that a selector finds, with their labels, sorted. More
// than limit are ResourceExhausted.
func (e *Engine) Select(ctx context.Context, selector string, limit int) ([]postgres.FoundSeries, []map[string]string, error) {
	matchers, err := e.selector(selector)
	if err != nil {
		return nil, nil, err
	}
	q := &querier{Storage: e.storage, series: e.limits.MaxSeries}
	found, sets, err := q.find(ctx, matchers)
	if err != nil {
		return nil, nil, err
	}
	if len(found) > limit {
		return nil, nil, sentinel.Errorf(sentinel.ResourceExhausted, "the selector finds %d series, at most %d are shown: name more labels", len(found), limit)
	}
	order := make([]int, len(found))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return labels.Compare(sets[a], sets[b]) })
	series, sorted := make([]postgres.FoundSeries, len(found)), make([]map[string]string, len(found))
	for i, k := range order {
		series[i], sorted[i] = found[k], sets[k].Map()
		delete(sorted[i], model.MetricNameLabel)
	}
	return series, sorted, nil
}

func (e *Engine) open(expression string, over time.Duration) (storage.Queryable, error) {
	expr, err := e.parse(expression, over)
	if err != nil {
		return nil, err
	}
	return e.storage.For(expr), nil
}

func run(ctx context.Context, q promql.Query, expression string, err error) (*Result, error) {
	if err != nil {
		return nil, failed(err)
	}
	r := q.Exec(ctx)
	if r.Err != nil {
		q.Close()
		return nil, failed(r.Err)
	}
	out := &Result{Value: r.Value, query: q}
	out.Warnings, out.Infos = notes(r.Warnings, expression)
	return out, nil
}

func notes(a annotations.Annotations, expression string) (warnings, infos []string) {
	const enough = 10
	return a.AsStrings(expression, enough, enough)
}

// failed gives the engine's errors their code.
func failed(err error) error {
	var stored promql.ErrStorage
	if errors.As(err, &stored) {
		err = stored.Err
	}
	var timeout promql.ErrQueryTimeout
	var canceled promql.ErrQueryCanceled
	var samples promql.ErrTooManySamples
	var broken runtime.Error
	switch {
	case errors.As(err, &broken):
		return sentinel.Errorf(sentinel.Internal, "evaluate: %w", err)
	case errors.As(err, &timeout):
		return &timeoutError{sentinel.Errorf(sentinel.Unavailable, "%w: ask for less time, a larger step or fewer series", err)}
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return &canceledError{sentinel.Errorf(sentinel.Unavailable, "%w", err)}
	case errors.As(err, &samples):
		return sentinel.Errorf(sentinel.ResourceExhausted, "%w: ask for less time, a larger step or fewer series", err)
	case errors.Is(err, context.DeadlineExceeded):
		return &timeoutError{sentinel.Errorf(sentinel.Unavailable, "the query took too long: ask for less time, a larger step or fewer series")}
	case sentinel.CodeOf(err) != sentinel.Unknown:
		return err
	}
	return sentinel.Errorf(sentinel.Invalid, "%w", err)
}

// timeoutError and canceledError are Unavailable in Prometheus' finer words.
type (
	timeoutError  struct{ error }
	canceledError struct{ error }
)

func (e *timeoutError) Unwrap() error  { return e.error }
func (e *canceledError) Unwrap() error { return e.error }
