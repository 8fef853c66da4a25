package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

const (
	// AskAtOnce is how many expressions are evaluated at a time.
	AskAtOnce   = 4
	askPatience = 20 * time.Second
	lookEvery   = 200 * time.Millisecond
)

// KeyExpressions is where it lies in broker.BucketJudged how the expressions were
// answered last: a map of Asked by the rule's ID.
const KeyExpressions = "expressions"

// Asked is how the expression of a rule was answered last.
type Asked struct {
	At     time.Time     `json:"at"`              // the last answer's time; zero: there was none
	Tried  time.Time     `json:"tried"`           // when it was asked last
	Took   time.Duration `json:"took"`            // in nanoseconds
	Series int           `json:"series"`          // of the last answer
	Error  string        `json:"error,omitempty"` // why the last try gave none
}

// ReadAsked returns how expressions were answered last.
func ReadAsked(ctx context.Context, b *broker.Broker) (map[string]Asked, error) {
	all, _, err := readAsked(ctx, b.Bucket(broker.BucketJudged))
	return all, err
}

func readAsked(ctx context.Context, bucket *broker.Bucket) (all map[string]Asked, revision uint64, err error) {
	all = map[string]Asked{}
	e, err := bucket.Get(ctx, KeyExpressions)
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return all, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	raw, err := stretch(e.Value)
	if err != nil || json.Unmarshal(raw, &all) != nil {
		return map[string]Asked{}, e.Revision, nil //nolint:nilerr // all are asked anew
	}
	return all, e.Revision, nil
}

// FleetwideDeps are the parts that judging expressions works with.
type FleetwideDeps struct {
	Broker  *broker.Broker
	Rules   *Rules
	History History
	Asker   alerting.Asker
	Options alerting.Options
	Metrics *telemetry.Registry
	Log     *slog.Logger
}

// Fleetwide asks the expressions of rules, each at its interval, and writes what became
// of their incidents to the stream ALERTS, as owners of partitions do. One process does
// so at a time; that is the caller's to see to. While the database is out no expression
// is answered, and what was the case stays so.
type Fleetwide struct {
	deps   FleetwideDeps
	judged *broker.Bucket
	failed telemetry.Counter
	took   telemetry.Histogram

	journal
	machine  *alerting.Fleetwide
	rules    *alerting.RuleSet // that machine has
	store    string
	asked    map[string]Asked
	revision uint64 // of the note of that
	unnoted  bool   // there are answers since
	due      map[string]time.Time
	asking   map[string]bool // by the rule's ID: what is not answered yet
	answers  chan answer     // has room for those of all that are asked
}

// NewFleetwide returns one; Run makes it work.
func NewFleetwide(deps FleetwideDeps) *Fleetwide {
	return &Fleetwide{deps: deps, judged: deps.Broker.Bucket(broker.BucketJudged),
		failed:  deps.Metrics.Counter("sentinel_alerter_expressions_failed_total"),
		took:    deps.Metrics.Histogram("sentinel_alerter_expression_seconds"),
		journal: journal{broker: deps.Broker, id: broker.Fleetwide, count: deps.Metrics.Counter("sentinel_alerter_transitions_total")}}
}

// Run asks until ctx ends; then it returns nil. An error is an interruption by the
// broker: Run is to be called again.
func (f *Fleetwide) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-f.deps.Rules.Ready():
	}
	err := f.session(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if errors.Is(err, errLost) || sentinel.CodeOf(err) == sentinel.Conflict {
		f.machine = nil // what is in memory is worth nothing
	}
	return err
}

func (f *Fleetwide) session(ctx context.Context) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	var questions sync.WaitGroup
	defer questions.Wait()
	askCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.asking, f.answers = map[string]bool{}, make(chan answer, AskAtOnce)
	clock := time.NewTicker(lookEvery)
	defer clock.Stop()
	for {
		if f.deps.Broker.Store() != f.store {
			return sentinel.Errorf(sentinel.Unavailable, "the broker's store is another one")
		}
		if set := f.deps.Rules.Set(); set != f.rules {
			f.rules, f.due = set, map[string]time.Time{}
			if err := f.say(ctx, f.mine(ctx), f.machine.SetRules(set, time.Now())); err != nil {
				return err
			}
		}
		for _, r := range f.next(time.Now()) {
			questions.Go(func() { f.answers <- f.ask(askCtx, r) })
		}
		select {
		case <-ctx.Done():
			return nil
		case a := <-f.answers:
			if err := f.take(ctx, a); err != nil {
				return err
			}
		case <-clock.C:
			if err := f.note(ctx); err != nil {
				return err
			}
			f.tidy(ctx, time.Now())
		}
	}
}

// mine is for as long as the lease lasts: ctx ends with it.
func (f *Fleetwide) mine(ctx context.Context) func() bool {
	return func() bool { return ctx.Err() == nil }
}

// begin goes on with what is in memory, where nobody else has been at work since, or
// takes over.
func (f *Fleetwide) begin(ctx context.Context) error {
	asked, revision, err := readAsked(ctx, f.judged)
	if err != nil {
		return err
	}
	store := f.deps.Broker.Store()
	if f.machine != nil && (revision == f.revision || revision == 0) {
		ok, err := f.again(ctx)
		if err != nil {
			return err
		}
		if ok {
			f.store, f.revision = store, revision
			return nil
		}
	}
	f.machine, f.rules, f.store, f.asked, f.revision = alerting.NewFleetwide(f.deps.Rules.Set(), f.deps.Options), f.deps.Rules.Set(), store, asked, revision
	f.known, f.recent, f.due = map[string]*known{}, nil, map[string]time.Time{}
	incidents, err := f.read(ctx, f.deps.History, []sentinel.AgentID{""}, f.deps.Log)
	if err == nil {
		last := map[string]time.Time{}
		for id, a := range asked {
			if !a.At.IsZero() {
				last[id] = a.At
			}
		}
		err = f.say(ctx, f.mine(ctx), f.machine.Import(incidents, last, time.Now()))
	}
	if err != nil {
		f.machine = nil
		return err
	}
	f.deps.Log.Info("asking expressions", "rules", len(f.machine.Rules()), "incidents", len(incidents))
	return nil
}

// answer is what came of one expression.
type answer struct {
	rule   *alerting.Rule
	at     time.Time
	took   time.Duration
	series []sentinel.Labelled
	err    error
}

// next returns the rules that are to be asked now, those that have waited longest first.
// One expression that takes its time keeps none of the others from being asked, as long
// as there are fewer than AskAtOnce of the kind.
func (f *Fleetwide) next(now time.Time) []*alerting.Rule {
	var due []*alerting.Rule
	for _, r := range f.machine.Rules() {
		if _, known := f.due[r.ID()]; !known {
			f.due[r.ID()] = turn(r, f.asked[r.ID()].Tried)
		}
		if !f.asking[r.ID()] && !f.due[r.ID()].After(now) {
			due = append(due, r)
		}
	}
	slices.SortStableFunc(due, func(a, b *alerting.Rule) int { return f.due[a.ID()].Compare(f.due[b.ID()]) })
	due = due[:min(len(due), AskAtOnce-len(f.asking))]
	for _, r := range due {
		f.asking[r.ID()], f.due[r.ID()] = true, turn(r, now)
	}
	return due
}

// turn returns when a rule is asked after a time: at a place of its own in each
// interval, so that not all are asked at once. A rule that was never asked is asked now.
func turn(r *alerting.Rule, after time.Time) time.Time {
	if after.IsZero() || time.Since(after) > 2*r.Interval {
		return time.Time{}
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.ID())) // never fails
	shift := time.Duration(h.Sum64() % uint64(r.Interval))
	at := after.Truncate(r.Interval).Add(shift)
	for !at.After(after) {
		at = at.Add(r.Interval)
	}
	return at
}

func (f *Fleetwide) ask(ctx context.Context, r *alerting.Rule) answer {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	a := answer{rule: r, at: time.Now()}
	a.series, a.err = f.deps.Asker.Ask(ctx, r.Expr, a.at)
	a.took = time.Since(a.at)
	return a
}

// take judges by an answer, or by there being none. The answer to a question that is
// another one by now says nothing.
func (f *Fleetwide) take(ctx context.Context, a answer) error {
	id, now := a.rule.ID(), time.Now()
	delete(f.asking, id)
	rules := f.machine.Rules()
	i := slices.IndexFunc(rules, func(r *alerting.Rule) bool { return r.ID() == id && r.Expr == a.rule.Expr })
	if i < 0 || ctx.Err() != nil {
		return nil
	}
	r := rules[i]
	asked := f.asked[id]
	asked.Tried, asked.Took = a.at, a.took
	var list []alerting.Transition
	if a.err == nil {
		list, a.err = f.machine.Answer(r, a.series, a.at, now)
	}
	f.took.Observe(a.took.Seconds())
	if a.err == nil {
		asked.At, asked.Series, asked.Error = a.at, len(a.series), ""
	} else {
		if asked.Error == "" {
			f.deps.Log.Warn("an expression is not answered; what was the case stays so", "rule", id, "error", a.err)
		}
		asked.Error = fmt.Sprintf("%.500s", a.err)
		f.failed.Inc()
		list = f.machine.Failed(r, now)
	}
	f.asked[id], f.unnoted = asked, true
	return f.say(ctx, f.mine(ctx), list)
}

// note writes down how expressions were answered. A Conflict means that another owner has.
func (f *Fleetwide) note(ctx context.Context) error {
	if !f.unnoted {
		return nil
	}
	there := map[string]bool{}
	for _, r := range f.machine.Rules() {
		there[r.ID()] = true
	}
	for id := range f.asked {
		if !there[id] {
			delete(f.asked, id)
			delete(f.due, id)
		}
	}
	raw, err := json.Marshal(f.asked)
	if err != nil {
		return fmt.Errorf("encode what was asked: %w", err)
	}
	if raw, err = squeeze(raw); err != nil {
		return err
	}
	revision, err := f.judged.Swap(ctx, KeyExpressions, raw, f.revision)
	if err != nil {
		return noted(ctx, f.judged, KeyExpressions, err)
	}
	f.revision, f.unnoted = revision, false
	return nil
}
