// Package live runs the engine of alerting on the stream of batches.
//
// Each partition of the stream has one owner at a time among all workers. The owner
// feeds its engine with every batch of the partition and writes each transition to the
// stream ALERTS, under the condition that nobody else has written about the incident
// meanwhile; only then does it note how far it has come. So a second owner can neither
// fork an incident nor lose a part of it: what was judged and not noted is judged
// again, and what was said of it is not said twice.
//
// All of it works while the database is down: rules, agents and their keys come from
// buckets of the broker, which the courier (internal/app/alerts) fills.
package live

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/delivery"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// StoredCycle is a cycle out of the database. Values that nobody asked for may be
// absent.
type StoredCycle struct {
	Layout sentinel.LayoutHash
	Series sentinel.Layout
	Time   time.Time
	Values []float64
}

// History is what the database has. It may be out: then windows fill from what comes.
type History interface {
	// Cycles returns an agent's cycles since a time, ascending. wanted says which series
	// are needed.
	Cycles(ctx context.Context, row int64, since time.Time, wanted func(sentinel.Series) bool) ([]StoredCycle, error)
	// Incidents returns the last Change of each incident of these agents that is not
	// over, as Change writes it.
	Incidents(ctx context.Context, agents []sentinel.AgentID) ([][]byte, error)
	// Layout returns a layout's definition.
	Layout(ctx context.Context, row int64, h sentinel.LayoutHash) ([]byte, error)
}

// Deps are the parts that a worker's alerting works with.
type Deps struct {
	Broker   *broker.Broker
	Fleet    *Directory
	Rules    *Rules
	Sessions *Sessions
	History  History
	// Keys is asked for keys that the Directory does not know yet.
	Keys    delivery.Keys
	Limits  sentinel.Limits
	Options alerting.Options
	Metrics *telemetry.Registry
	Log     *slog.Logger
}

const (
	tick = time.Second
	// leaseMargin is how long before its end a lease is given up by itself.
	leaseMargin = time.Second
)

// Worker owns its share of the partitions. Make it with New.
type Worker struct {
	deps    Deps
	id      string
	owners  *broker.Bucket
	judged  *broker.Bucket
	metrics *metrics

	mu   sync.Mutex
	mine map[int]*lease
	kept map[int]*partition // engines of partitions that were owned last
}

// New returns a worker's alerting; Run makes it work.
func New(deps Deps) *Worker {
	w := &Worker{deps: deps, id: sentinel.RandomName(5), owners: deps.Broker.Bucket(broker.BucketOwners),
		judged: deps.Broker.Bucket(broker.BucketJudged), mine: map[int]*lease{}, kept: map[int]*partition{}}
	w.metrics = newMetrics(deps.Metrics, w)
	return w
}

// lease is one partition that this worker owns.
type lease struct {
	partition int
	revision  uint64
	stop      context.CancelFunc
	ended     chan struct{}

	mu      sync.Mutex
	renewed time.Time // when the last renewal was begun
}

func (l *lease) valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.renewed) < broker.LeaseTime-leaseMargin
}

func partitionKey(p int) string { return fmt.Sprint("partition.", p) }

// Run owns partitions until ctx ends, gives them back and returns nil.
func (w *Worker) Run(ctx context.Context) error {
	select { // nobody is judged before it is known who there is and by what
	case <-ctx.Done():
		return nil
	case <-w.deps.Fleet.Ready():
	}
	select {
	case <-ctx.Done():
		return nil
	case <-w.deps.Rules.Ready():
	}
	group, run := errgroup.WithContext(ctx)
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for run.Err() == nil {
		if err := w.balance(run, group); err != nil && ctx.Err() == nil {
			w.deps.Log.Warn("partitions cannot be looked after, waiting for the broker", "error", err)
		}
		select {
		case <-run.Done():
		case <-clock.C:
		}
	}
	w.giveBack(context.WithoutCancel(ctx))
	return group.Wait()
}

// balance renews what this worker owns and takes or gives until it has its share.
func (w *Worker) balance(ctx context.Context, group *errgroup.Group) error {
	for _, l := range w.leases() {
		w.renew(ctx, l)
	}
	if _, err := w.owners.Put(ctx, "worker."+w.id, nil); err != nil {
		return err
	}
	entries, err := w.owners.All(ctx, "")
	if err != nil {
		return err
	}
	workers, owned := 0, map[string]string{}
	for _, e := range entries {
		if strings.HasPrefix(e.Key, "worker.") {
			workers++
		} else {
			owned[e.Key] = string(e.Value)
		}
	}
	n := w.deps.Broker.Partitions()
	share := (n + workers - 1) / max(workers, 1)
	have := w.leases()
	for len(have) > share {
		l := have[len(have)-1]
		have = have[:len(have)-1]
		w.release(ctx, l)
	}
	for p := range n {
		if len(have) >= share {
			break
		}
		if owned[partitionKey(p)] != "" || w.lease(p) != nil {
			continue
		}
		begun := time.Now()
		revision, err := w.owners.Swap(ctx, partitionKey(p), []byte(w.id), 0)
		if err != nil && sentinel.CodeOf(err) == sentinel.Conflict {
			continue // another was quicker
		}
		if err != nil {
			return err
		}
		have = append(have, w.start(ctx, group, p, revision, begun))
	}
	return nil
}

func (w *Worker) leases() []*lease {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]*lease, 0, len(w.mine))
	for p := range w.deps.Broker.Partitions() {
		if l := w.mine[p]; l != nil {
			list = append(list, l)
		}
	}
	return list
}

func (w *Worker) lease(p int) *lease {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mine[p]
}

// renew prolongs a lease. One that another has taken, or that could not be prolonged
// in time, ends.
func (w *Worker) renew(ctx context.Context, l *lease) {
	begun := time.Now()
	revision, err := w.owners.Swap(ctx, partitionKey(l.partition), []byte(w.id), l.revision)
	switch {
	case err == nil:
		l.revision = revision
		l.mu.Lock()
		l.renewed = begun
		l.mu.Unlock()
	case sentinel.CodeOf(err) == sentinel.Conflict || !l.valid():
		w.metrics.lost.Inc()
		w.deps.Log.Warn("a partition was lost", "partition", l.partition, "error", err)
		w.end(l)
	}
}

// end stops judging a partition and returns when that is so.
func (w *Worker) end(l *lease) {
	l.stop()
	<-l.ended
	w.mu.Lock()
	delete(w.mine, l.partition)
	w.mu.Unlock()
}

// release gives a partition back, so that another can take it at once.
func (w *Worker) release(ctx context.Context, l *lease) {
	w.end(l)
	if err := w.owners.Give(ctx, partitionKey(l.partition), l.revision); err != nil {
		w.deps.Log.Info("a partition could not be given back, it becomes free by itself", "partition", l.partition, "error", err)
	}
}

func (w *Worker) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for _, l := range w.leases() {
		w.release(ctx, l)
	}
	_ = w.owners.Delete(ctx, "worker."+w.id) // it goes by itself
}

func (w *Worker) start(ctx context.Context, group *errgroup.Group, id int, revision uint64, begun time.Time) *lease {
	run, stop := context.WithCancel(ctx)
	l := &lease{partition: id, revision: revision, stop: stop, ended: make(chan struct{}), renewed: begun}
	w.mu.Lock()
	p := w.kept[id]
	if p == nil {
		p = &partition{w: w, journal: journal{broker: w.deps.Broker, id: id, count: w.metrics.transitions}}
		w.kept[id] = p
	}
	w.mine[id] = l
	w.mu.Unlock()
	w.metrics.taken.Inc()
	group.Go(func() error {
		defer close(l.ended)
		p.run(run, l)
		return nil
	})
	return l
}

// Owned returns how many partitions this worker owns.
func (w *Worker) Owned() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.mine)
}

// sum adds up a figure of all engines that this worker owns.
func (w *Worker) sum(of func(alerting.Stats) int) (total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.kept {
		if s := p.stats.Load(); s != nil {
			total += of(*s)
		}
	}
	return total
}
