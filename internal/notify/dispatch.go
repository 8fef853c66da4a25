package notify

import (
	"container/heap"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

const (
	defaultMaxAlerts = 200_000
	housekeeping     = time.Hour
	// keepLog is how long the log remembers a group after its last message.
	keepLog = 5 * 24 * time.Hour
)

// ChannelConfig is what every kind of notifier can be told.
type ChannelConfig struct {
	// SendResolved tells of the end of alerts as well.
	SendResolved bool `yaml:"send_resolved"`
	// SendAcknowledged tells when all firing alerts of a group are acknowledged.
	SendAcknowledged bool `yaml:"send_acknowledged"`
	// Timeout bounds one attempt.
	Timeout time.Duration `yaml:"timeout"`
	// RetryFor is how long a message is tried before it becomes a dead letter.
	RetryFor time.Duration `yaml:"retry_for"`
	// Concurrency is how many messages are on their way at a time.
	Concurrency int `yaml:"concurrency"`
	// Queue is how many messages wait for that.
	Queue int `yaml:"queue"`
}

// DefaultChannelConfig suits most services.
func DefaultChannelConfig() ChannelConfig {
	return ChannelConfig{SendResolved: true, Timeout: 10 * time.Second, RetryFor: time.Hour, Concurrency: 4, Queue: 1000}
}

// Validate says which key is wrong and what is allowed.
func (c ChannelConfig) Validate() error {
	switch {
	case c.Timeout < 100*time.Millisecond || c.Timeout > 5*time.Minute:
		return sentinel.Errorf(sentinel.Invalid, "timeout: %s, want 100ms to 5m", c.Timeout)
	case c.RetryFor < 0 || c.RetryFor > 7*24*time.Hour:
		return sentinel.Errorf(sentinel.Invalid, "retry_for: %s, want 0s to 7d", c.RetryFor)
	case c.Concurrency < 1 || c.Concurrency > 64:
		return sentinel.Errorf(sentinel.Invalid, "concurrency: %d, want 1 to 64", c.Concurrency)
	case c.Queue < 1 || c.Queue > 100_000:
		return sentinel.Errorf(sentinel.Invalid, "queue: %d, want 1 to 100000", c.Queue)
	}
	return nil
}

// Channel is one notifier of a receiver.
type Channel struct {
	// ID names the channel in the log, so that it has to stay the same over restarts:
	// receiver, kind and number.
	ID       string
	Kind     string
	Notifier Notifier
	ChannelConfig
}

// Delivery is the outcome of one attempt.
type Delivery struct {
	Time     time.Time     `json:"time"`
	Channel  string        `json:"channel"`
	Key      string        `json:"key"`
	GroupKey string        `json:"group_key"`
	Reason   Reason        `json:"reason"`
	Alerts   int           `json:"alerts"`
	Attempt  int           `json:"attempt"`
	Took     time.Duration `json:"took"`
	Error    string        `json:"error,omitempty"`
	GaveUp   bool          `json:"gave_up,omitempty"`
}

// Options are what a Dispatcher needs. All but MaxAlerts, ExternalURL and Delivered
// have to be set.
type Options struct {
	Routing   *Routing
	Receivers map[string][]Channel
	Store     Store
	Silences  *Silences
	Log       *slog.Logger
	Metrics   *telemetry.Registry
	// ExternalURL is where people find Sentinel.
	ExternalURL string
	// MaxAlerts bounds the alerts that fire at a time.
	MaxAlerts int
	// Delivered hears of every attempt. It must not block.
	Delivered func(Delivery)
}

type channel struct {
	Channel
	receiver string
	queue    chan *job
	// waiting found the queue full. A group has at most one message on its way to a
	// channel, so that there are never more than groups.
	waiting []*job
}

// delivery is the state of one channel and one group.
type delivery struct {
	rec      *record
	revision uint64
	busy     bool // a message is on its way or waits for that
	missed   bool // the group was looked at meanwhile
}

// Dispatcher groups alerts and delivers them. Safe for concurrent use.
type Dispatcher struct {
	opts     Options
	routing  *Routing
	silences *Silences
	acks     *acks
	letters  *letters
	log      *slog.Logger
	metrics  *dispatcherMetrics
	channels map[string][]*channel // by receiver
	wake     chan struct{}

	mu         sync.Mutex
	firing     map[string]*Alert
	inhibitor  *inhibitor
	groups     map[string]*group
	deliveries map[string]*delivery // by logKey
	flaps      map[string]*flaps
	agenda     agenda
	seq        uint64
}

// New returns a dispatcher; see Run. Alerts may be put before it runs.
func New(o Options) *Dispatcher {
	if o.MaxAlerts == 0 {
		o.MaxAlerts = defaultMaxAlerts
	}
	if o.Delivered == nil {
		o.Delivered = func(Delivery) {}
	}
	d := &Dispatcher{opts: o, routing: o.Routing, silences: o.Silences, acks: &acks{store: o.Store, by: map[string]stored[Ack]{}},
		log: o.Log, channels: map[string][]*channel{}, wake: make(chan struct{}, 1), firing: map[string]*Alert{},
		inhibitor: newInhibitor(o.Routing.inhibit), groups: map[string]*group{}, deliveries: map[string]*delivery{}, flaps: map[string]*flaps{}}
	d.metrics = newMetrics(o.Metrics, d)
	d.letters = &letters{store: o.Store, evicted: d.metrics.evicted, at: map[string]time.Time{}}
	for receiver, list := range o.Receivers {
		for _, c := range list {
			d.channels[receiver] = append(d.channels[receiver], &channel{Channel: c, receiver: receiver, queue: make(chan *job, c.Queue)})
		}
	}
	return d
}

func (d *Dispatcher) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Put tells how alerts stand. The changes of one fingerprint must come in their order;
// what is older than what is known, or the same, changes nothing. After a restart, how
// the alerts stood at the last run's Floor, and all changes since, have to be put once
// more, before Run: the log knows what was told. What changed twice or more meanwhile is
// told in that order, where it was to be told before it changed again. Put never waits
// for a delivery. The error is Invalid for an alert without fingerprint, labels or start, and ResourceExhausted
// where too many fire; the other alerts are taken nevertheless.
func (d *Dispatcher) Put(alerts ...Alert) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	var first error
	for _, a := range alerts {
		if err := d.put(a, now); err != nil {
			d.metrics.refused.Inc()
			if first == nil {
				first = err
			}
		}
	}
	return first
}

func (d *Dispatcher) put(a Alert, now time.Time) error {
	if a.Fingerprint == "" || len(a.Labels) == 0 || a.StartsAt.IsZero() || (a.State != Firing && a.State != Resolved) {
		return sentinel.Errorf(sentinel.Invalid, "alert %.60q: fingerprint, labels, state and start are needed", a.Fingerprint)
	}
	a = a.clean()
	if a.Changed.IsZero() {
		a.Changed = now
	}
	known := d.firing[a.Fingerprint]
	if known != nil && len(a.Annotations) == 0 && a.StartsAt.Equal(known.StartsAt) {
		a.Annotations = known.Annotations
	}
	switch {
	case known != nil && a.StartsAt.Before(known.StartsAt):
		return nil
	case known == nil && a.State == Firing && len(d.firing) >= d.opts.MaxAlerts:
		return sentinel.Errorf(sentinel.ResourceExhausted, "more than %d alerts fire", d.opts.MaxAlerts)
	}
	routes := d.routing.Match(a.Labels)
	if a.State == Firing {
		if known == nil && d.hasEnded(routes, a) {
			return nil // an incident that has ended does not come back
		}
		d.firing[a.Fingerprint] = &a
	} else {
		if a.EndsAt.IsZero() {
			a.EndsAt = now.UTC()
		}
		delete(d.firing, a.Fingerprint)
	}
	d.inhibitor.see(a)
	for _, rt := range routes {
		d.insert(rt, &a, now)
	}
	return nil
}

func (d *Dispatcher) hasEnded(routes []*Route, a Alert) bool {
	for _, rt := range routes {
		if g := d.groups[rt.path+":"+rt.GroupKey(a.Labels)]; g != nil {
			if m := g.members[a.Fingerprint]; m != nil && m.State == Resolved && !a.StartsAt.After(m.StartsAt) {
				return true
			}
		}
	}
	return false
}

// Alerts returns what the dispatcher still has to look after: what fires, and what has
// ended and was not told everywhere. A new dispatcher gets it when the routing changes.
func (d *Dispatcher) Alerts() []Alert {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]Alert{}
	for _, g := range d.groups {
		for fp, m := range g.members {
			all[fp] = m.Alert
		}
	}
	out := make([]Alert, 0, len(all))
	for _, fp := range sortedKeys(all) {
		out = append(out, all[fp])
	}
	return out
}

// Preview returns the alerts that fire and that matchers hit: what a silence with them
// would hold back.
func (d *Dispatcher) Preview(ms Matchers) []Alert {
	return slices.DeleteFunc(d.Alerts(), func(a Alert) bool { return a.State != Firing || !ms.Matches(a.Labels) })
}

// Explain says where an alert with these labels would go now, and what would hold it
// back: time intervals, silences and alerts that fire.
func (d *Dispatcher) Explain(labels map[string]string) []Explanation {
	now := time.Now()
	list := d.routing.Explain(labels, now)
	d.mu.Lock()
	defer d.mu.Unlock()
	by, rule := d.inhibitor.inhibits(labels)
	for i := range list {
		list[i].SilencedBy = d.silences.silencedBy(labels, now)
		if by != "" {
			list[i].InhibitedBy = fmt.Sprintf("%s by the alert %s", rule, by)
		}
	}
	return list
}

// Run delivers until ctx ends, which is no error; attempts that are on their way then
// are finished first, within their timeout. It returns early only where the store
// cannot be read at the start.
func (d *Dispatcher) Run(ctx context.Context) error {
	if err := d.load(ctx); err != nil {
		return err
	}
	var run errgroup.Group
	for _, list := range d.channels {
		for _, ch := range list {
			for range ch.Concurrency {
				run.Go(func() error { d.work(ctx, ch); return nil })
			}
		}
	}
	run.Go(func() error { d.loop(ctx); return nil })
	run.Go(func() error { d.keepHouse(ctx); return nil })
	return run.Wait()
}

// load reads what the last process knew, and takes up the messages it left behind.
func (d *Dispatcher) load(ctx context.Context) error {
	if err := d.silences.Load(ctx); err != nil {
		return err
	}
	if err := d.acks.load(ctx); err != nil {
		return err
	}
	if err := d.letters.load(ctx); err != nil {
		return err
	}
	entries, err := d.opts.Store.All(ctx, logPrefix)
	if err != nil {
		return fmt.Errorf("load notification log: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range entries {
		rec := &record{}
		if err := json.Unmarshal(e.Value, rec); err != nil || rec.storeKey() != e.Key {
			d.log.Warn("unreadable record in the notification log", "key", e.Key)
			continue
		}
		dl := &delivery{rec: rec, revision: e.Revision}
		d.deliveries[e.Key] = dl
		if ch := d.channel(rec.Channel); rec.Pending != nil && rec.Pending.Notification != nil && ch != nil {
			dl.busy = true
			d.enqueue(&job{ch: ch, dl: dl, pending: rec.Pending, again: true})
		}
	}
	return nil
}

func (d *Dispatcher) channel(id string) *channel {
	for _, list := range d.channels {
		for _, ch := range list {
			if ch.ID == id {
				return ch
			}
		}
	}
	return nil
}

// delivery returns the state of a channel and a group.
func (d *Dispatcher) delivery(ch *channel, groupKey string) *delivery {
	key := logKey(ch.ID, groupKey)
	dl := d.deliveries[key]
	if dl == nil {
		dl = &delivery{rec: &record{Channel: ch.ID, Group: groupKey}}
		d.deliveries[key] = dl
	}
	return dl
}

// loop does what is due.
func (d *Dispatcher) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-d.wake:
		}
		d.mu.Lock()
		now := time.Now()
		for len(d.agenda) > 0 && !d.agenda[0].at.After(now) {
			heap.Pop(&d.agenda).(event).run(now)
		}
		wait := time.Hour
		if len(d.agenda) > 0 {
			wait = time.Until(d.agenda[0].at)
		}
		d.mu.Unlock()
		timer.Reset(max(wait, 0))
	}
}

func (d *Dispatcher) keepHouse(ctx context.Context) {
	t := time.NewTicker(housekeeping)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			if err := d.prune(ctx, now); err != nil && ctx.Err() == nil {
				d.metrics.storeErrors.Inc()
				d.log.Warn("tidy the notification state", "err", err)
			}
		}
	}
}

// prune forgets what nobody will ask for any more.
func (d *Dispatcher) prune(ctx context.Context, now time.Time) error {
	if err := d.silences.prune(ctx, now); err != nil {
		return err
	}
	err := d.acks.prune(ctx, now, func(a Ack) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		f := d.firing[a.Fingerprint]
		return f != nil && f.StartsAt.Equal(a.StartsAt)
	})
	if err != nil {
		return err
	}
	var old []string
	d.mu.Lock()
	alive := map[string]bool{}
	for _, g := range d.groups {
		for _, ch := range d.channelsOf(g) {
			alive[logKey(ch.ID, g.key)] = true
		}
	}
	for key, dl := range d.deliveries {
		last := dl.rec.At
		if dl.rec.FailedAt.After(last) {
			last = dl.rec.FailedAt
		}
		if !alive[key] && !dl.busy && now.Sub(last) > keepLog {
			old = append(old, key)
			delete(d.deliveries, key)
		}
	}
	for key, f := range d.flaps {
		if n := len(f.times); n == 0 || now.Sub(f.times[n-1]) > 7*24*time.Hour {
			delete(d.flaps, key)
		}
	}
	d.mu.Unlock()
	for _, key := range old {
		if err := d.opts.Store.Delete(ctx, key); err != nil {
			return fmt.Errorf("remove from the notification log: %w", err)
		}
	}
	return nil
}
