// Package compat compares with Prometheus: its own test scripts on our storage, and
// its answers over its storage with ours over ours.
package compat

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newDatabase is one that takes samples of any time, and has no roll-ups yet.
func newDatabase(t testing.TB) (db *postgres.DB, url string) {
	t.Helper()
	url = postgrestest.URL(t)
	postgrestest.Exec(t, url, `UPDATE storage SET dirty_below = '1900-01-01', minutes_to = '1900-01-01', hours_to = '1900-01-01'`)
	limits := sentinel.DefaultLimits()
	limits.MaxAge, limits.MaxFuture = 200*365*24*time.Hour, 200*365*24*time.Hour
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url, Limits: limits})
	must(t, err)
	t.Cleanup(db.Close)
	return db, url
}

// store is what scripts load into and ask: our storage, with the samples of one
// agent of its own. The labels that we set ourselves go under other names on their
// way in and come back under their own.
type store struct {
	t     testing.TB
	db    *postgres.DB
	ours  *query.Storage
	agent postgres.Agent
	epoch sentinel.Epoch
	seq   uint64
}

func newStore(t testing.TB, db *postgres.DB) *store {
	t.Helper()
	a, err := db.CreateAgent(t.Context(), postgres.NewAgent{Name: sentinel.NewAgentID(), Hostname: "script"}, postgres.NewKey{
		KeyID: "k1", Secret: []byte("sealed"), MasterKeyID: "m1", State: postgres.KeyActive})
	must(t, err)
	return &store{t: t, db: db, ours: query.NewStorage(db, query.DefaultLimits()), agent: a, epoch: sentinel.NewEpoch()}
}

const aside = "script_"

func hide(name string) string {
	if name == "agent" || name == "instance" || name == "job" {
		return aside + name
	}
	return name
}

func (s *store) Querier(mint, maxt int64) (storage.Querier, error) {
	return s.querier(s.ours, mint, maxt)
}

func (s *store) querier(ours *query.Storage, mint, maxt int64) (storage.Querier, error) {
	q, err := ours.Querier(mint, maxt)
	return &querier{q, s}, err
}

func (s *store) ChunkQuerier(int64, int64) (storage.ChunkQuerier, error) {
	return nil, errors.New("there are no chunks")
}
func (s *store) Appender(context.Context) storage.Appender     { panic("scripts use the other one") }
func (s *store) AppenderV2(context.Context) storage.AppenderV2 { return &appender{store: s} }
func (s *store) StartTime() (int64, error)                     { return 0, nil }
func (s *store) Close() error                                  { return nil }

// engine is the engine of the scripts, asking for the storage that suits each
// expression, as ours does.
type engine struct{ *promql.Engine }

func (e engine) suiting(q storage.Queryable, expr string) (storage.Queryable, error) {
	s, ok := q.(*store)
	if !ok {
		return q, nil
	}
	parsed, err := parser.NewParser(promqltest.TestParserOpts).ParseExpr(expr)
	if err != nil {
		return q, nil // the engine says so
	}
	ours := s.ours.For(parsed)
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) { return s.querier(ours, mint, maxt) }), nil
}

func (e engine) NewInstantQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, expr string, at time.Time) (promql.Query, error) {
	q, err := e.suiting(q, expr)
	if err != nil {
		return nil, err
	}
	return e.Engine.NewInstantQuery(ctx, q, opts, expr, at)
}

func (e engine) NewRangeQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, expr string, from, to time.Time, step time.Duration) (promql.Query, error) {
	q, err := e.suiting(q, expr)
	if err != nil {
		return nil, err
	}
	return e.Engine.NewRangeQuery(ctx, q, opts, expr, from, to, step)
}

// querier asks for the agent's series alone, and gives labels their names back.
type querier struct {
	storage.Querier
	s *store
}

func (q *querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	asked := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "agent", string(q.s.agent.Name))}
	for _, m := range matchers {
		if renamed := hide(m.Name); renamed != m.Name {
			m = labels.MustNewMatcher(m.Type, renamed, m.Value)
		}
		asked = append(asked, m)
	}
	return &shown{q.Querier.Select(ctx, sorted, hints, asked...)}
}

type shown struct{ storage.SeriesSet }

func (s *shown) At() storage.Series { return shownSeries{s.SeriesSet.At()} }

type shownSeries struct{ storage.Series }

func (s shownSeries) Labels() labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	s.Series.Labels().Range(func(l labels.Label) {
		if hide(l.Name) == l.Name {
			b.Set(strings.TrimPrefix(l.Name, aside), l.Value)
		}
	})
	return b.Labels()
}

func (s shownSeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator { return s.Series.Iterator(it) }

func (s *shown) Warnings() annotations.Annotations { return s.SeriesSet.Warnings() }

// appender gathers samples and stores them as cycles: those of the series that have
// samples at the same times together. Histograms and numbers that are not finite
// cannot be stored; a stale marker becomes an absent value, as it does on our way.
type appender struct {
	storage.AppenderV2
	store *store
	data  map[string]*samples
}

type samples struct {
	series sentinel.Series
	times  []int64
	values []float64
}

func (a *appender) Append(_ storage.SeriesRef, ls labels.Labels, _, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, _ storage.AppendV2Options) (storage.SeriesRef, error) {
	if h != nil || fh != nil {
		return 0, nil
	}
	if value.IsStaleNaN(v) {
		v = sentinel.Absent()
	}
	if a.data == nil {
		a.data = make(map[string]*samples)
	}
	key := ls.String()
	s := a.data[key]
	if s == nil {
		s = &samples{series: sentinel.Series{Kind: sentinel.Gauge}}
		ls.Range(func(l labels.Label) {
			if l.Name == "__name__" {
				s.series.Name = l.Value
				return
			}
			s.series.Labels = append(s.series.Labels, sentinel.Label{Name: hide(l.Name), Value: l.Value})
		})
		slices.SortFunc(s.series.Labels, func(a, b sentinel.Label) int { return cmp.Compare(a.Name, b.Name) })
		a.data[key] = s
	}
	s.times, s.values = append(s.times, t), append(s.values, v)
	return 0, nil
}

func (a *appender) Rollback() error { return nil }

func (a *appender) Commit() error {
	groups := make(map[string][]*samples)
	for _, s := range a.data {
		key := fmt.Sprint(s.times)
		groups[key] = append(groups[key], s)
	}
	var batches []postgres.Batch
	for _, group := range groups {
		slices.SortFunc(group, func(a, b *samples) int { return cmp.Compare(a.series.String(), b.series.String()) })
		var layout sentinel.Layout
		var definition strings.Builder
		for _, s := range group {
			layout = append(layout, s.series)
			fmt.Fprintln(&definition, s.series)
		}
		sum := sha256.Sum256([]byte(definition.String()))
		id, err := a.store.db.EnsureLayout(a.store.t.Context(), a.store.agent.ID, sentinel.LayoutHash(sum[:16]), []byte(definition.String()), layout)
		if err != nil {
			return err
		}
		b := postgres.Batch{Agent: a.store.agent.ID, AgentName: a.store.agent.Name, Epoch: a.store.epoch, First: a.store.seq + 1,
			Count: uint32(len(group[0].times)), LayoutID: id, Envelope: []byte("envelope"), Received: time.Now()}
		for i, t := range group[0].times {
			c := sentinel.Cycle{Time: time.UnixMilli(t), Values: make([]float64, len(group))}
			for j, s := range group {
				if c.Values[j] = s.values[i]; math.IsInf(c.Values[j], 0) {
					c.Values[j] = sentinel.Absent()
				}
			}
			b.Cycles, b.Digests = append(b.Cycles, c), append(b.Digests, uint64(i))
		}
		a.store.seq += uint64(b.Count)
		batches = append(batches, b)
	}
	if len(batches) == 0 {
		return nil
	}
	out, err := a.store.db.Commit(a.store.t.Context(), batches, nil)
	if err != nil {
		return err
	}
	for _, o := range out {
		if o.Quarantined+o.Refused+o.Duplicates > 0 {
			return fmt.Errorf("samples were not stored: %+v", o)
		}
	}
	return nil
}
