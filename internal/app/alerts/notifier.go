package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/app/notifiers"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// NotificationPurpose is what the notification file is sealed for.
const NotificationPurpose = "notification file"

// NoNotification is the notification file of who has not written one: nobody is told.
func NoNotification() []byte {
	return []byte("route: {receiver: nobody}\nreceivers:\n- name: nobody\n")
}

// Notifier tells people of incidents. Any number may run: one at a time does the work,
// and the next goes on from what that one has written down.
type Notifier struct {
	Broker *broker.Broker
	Vault  *sign.Vault
	DB     *postgres.DB // for the list of deliveries; it may be out
	// ExternalURL is where people find Sentinel; it may be empty.
	ExternalURL string
	Metrics     *telemetry.Registry
	Log         *slog.Logger

	current atomic.Pointer[telemetry.Registry] // of the dispatcher that runs
	store   *store                             // of the time when this process told last
	placed  uint64                             // revision of the place that it noted last
}

// Run works until ctx ends; then it returns nil.
func (n *Notifier) Run(ctx context.Context) error {
	n.Metrics.Writer(func(w io.Writer) {
		if reg := n.current.Load(); reg != nil {
			reg.Write(w)
		}
	})
	return alone(ctx, n.Broker, "notifier", n.Log, n.tell)
}

// wishes are what the courier brought last.
type wishes struct {
	mu             sync.Mutex
	config         storedConfig
	silences, acks []byte
	known          bool          // whether there is a notification file
	changed        chan struct{} // closed and replaced with each change
}

func (w *wishes) take(e broker.BucketEntry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case e.Value == nil: // a bucket that was wiped takes nothing away
		return
	case e.Key == keyNotification && json.Unmarshal(e.Value, &w.config) == nil:
		w.known = true
	case e.Key == keySilences:
		w.silences = e.Value
	case e.Key == keyAcks:
		w.acks = e.Value
	default:
		return
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *wishes) get() (cfg storedConfig, silences, acks []byte, known bool, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.config, w.silences, w.acks, w.known, w.changed
}

// tell is the work of the one that does it.
func (n *Notifier) tell(ctx context.Context) error {
	w := &wishes{changed: make(chan struct{})}
	group, ctx := errgroup.WithContext(ctx)
	nothing := func() {}
	group.Go(func() error { return n.Broker.Bucket(broker.BucketAlerting).Watch(ctx, w.take, nothing, nothing) })
	log := newDeliveryLog(n.DB, n.Metrics, n.Log)
	group.Go(func() error { return log.run(ctx) })
	group.Go(func() error {
		st, err := n.open(ctx)
		if err != nil {
			return err
		}
		for ctx.Err() == nil {
			cfg, _, _, known, changed := w.get()
			if !known {
				select {
				case <-ctx.Done():
				case <-changed:
				}
				continue
			}
			setup, err := n.setup(cfg)
			if err != nil {
				n.Log.Error("the notification file cannot be used, nobody is told until it is changed", "version", cfg.Version, "error", err)
				if setup, err = notifiers.Parse("no notification", NoNotification()); err != nil {
					return err
				}
			}
			if err := n.dispatch(ctx, w, cfg, setup, st, log); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// open returns the store. A broker that loses everything loses the lease, too: where
// nobody else has noted a place since this process did, what this process remembers of
// what was told holds, and is written again where the broker does not have it.
func (n *Notifier) open(ctx context.Context) (*store, error) {
	e, err := n.Broker.Bucket(broker.BucketNotify).Get(ctx, keyPlace)
	switch {
	case err != nil && sentinel.CodeOf(err) != sentinel.NotFound:
		return nil, err
	case n.store != nil && (err != nil || e.Revision == n.placed):
		n.store.look()
	default:
		n.store = newStore(n.Broker)
	}
	return n.store, nil
}

func (n *Notifier) setup(cfg storedConfig) (*notifiers.Setup, error) {
	text := NoNotification()
	if len(cfg.Sealed) > 0 {
		var err error
		if text, err = n.Vault.OpenText(NotificationPurpose, cfg.Sealed); err != nil {
			return nil, err
		}
	}
	return notifiers.Parse("notification file", text)
}

// dispatch tells people as one notification file says, until there is another one.
func (n *Notifier) dispatch(ctx context.Context, w *wishes, cfg storedConfig, setup *notifiers.Setup, st *store, log *deliveryLog) error {
	group, run := errgroup.WithContext(ctx)
	run, stop := context.WithCancel(run)
	defer stop()
	reg := telemetry.NewRegistry()
	_, silences, _, _, _ := w.get()
	st.setSilences(silences)
	d := notify.New(notify.Options{Routing: setup.Routing, Receivers: setup.Receivers, Store: st, Silences: notify.NewSilences(st), Log: n.Log, Metrics: reg,
		ExternalURL: n.ExternalURL, Delivered: log.note})
	n.current.Store(reg)
	watchdogs, err := setup.Watchdogs(d.Check, n.Log)
	if err != nil {
		return err
	}
	n.Log.Info("telling people", "version", cfg.Version, "receivers", len(setup.Receivers))
	ready := make(chan struct{})
	group.Go(func() error {
		select { // who does not know yet what has ended must not say that it fires
		case <-run.Done():
			return nil
		case <-ready:
			return d.Run(run)
		}
	})
	for _, dog := range watchdogs {
		group.Go(func() error { return dog.Run(run) })
	}
	group.Go(func() error { return n.feed(run, d, w, sync.OnceFunc(func() { close(ready) })) })
	group.Go(func() error { return n.Broker.Answer(run, broker.TopicNotifier, answers{d, setup, run}.answer) })
	group.Go(func() error {
		defer stop()
		for {
			now, silences, _, _, changed := w.get()
			if now.Version != cfg.Version || !bytes.Equal(now.Sealed, cfg.Sealed) {
				return nil
			}
			st.setSilences(silences)
			if err := d.ReloadSilences(run); err != nil && run.Err() == nil {
				return err
			}
			select {
			case <-run.Done():
				return nil
			case <-changed:
			}
		}
	})
	return group.Wait()
}

// keyPlace is where the notifier notes from where on its successor has to read: a
// broker.Judged.
const keyPlace = "place"

// placeEvery is how often that is noted.
const placeEvery = time.Second

// feed hands the dispatcher how every incident stood where its predecessor was, then
// all changes since, and each that comes. ready is called before the latter.
func (n *Notifier) feed(ctx context.Context, d *notify.Dispatcher, w *wishes, ready func()) error {
	var reader *broker.Reader
	defer func() {
		if reader != nil {
			reader.Drop(ctx)
		}
	}()
	stored, noted, notedAt := "", uint64(0), time.Time{}
	acked := map[ack]bool{}
	for ctx.Err() == nil {
		if name := n.Broker.Store(); name != stored { // its numbers begin anew
			if reader != nil {
				reader.Drop(ctx)
			}
			r, err := n.catchUp(ctx, d, name)
			if err != nil {
				pause(ctx)
				continue
			}
			reader, stored, noted = r, name, 0
			ready()
		}
		list, err := reader.Fetch(ctx, 256, 500*time.Millisecond)
		if err != nil {
			pause(ctx)
			continue
		}
		for _, rec := range list {
			n.put(d, rec, stored, true)
		}
		_, _, acks, _, _ := w.get()
		n.acknowledge(ctx, d, acks, acked)
		if time.Since(notedAt) < placeEvery {
			continue
		}
		if place := d.Floor(notify.Position{Log: stored, Seq: max(reader.Next(), 1)}).Seq; place != noted && n.notePlace(ctx, stored, place) == nil {
			noted, notedAt = place, time.Now()
		}
	}
	return nil
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Millisecond):
	}
}

// catchUp puts what there is, and returns a reader of what comes after it.
func (n *Notifier) catchUp(ctx context.Context, d *notify.Dispatcher, stored string) (*broker.Reader, error) {
	place, err := n.place(ctx, stored)
	if err != nil {
		return nil, err
	}
	r := n.Broker.Alerts()
	err = readAll(ctx, r, func(rec broker.Record) {
		if place == 0 || rec.Seq < place {
			n.put(d, rec, stored, false)
		}
	})
	if err != nil || place == 0 { // then nobody knows what came before: what follows is told change by change
		return r, err
	}
	r.Drop(ctx)
	r = n.Broker.AlertsFrom(place)
	return r, readAll(ctx, r, func(rec broker.Record) { n.put(d, rec, stored, true) })
}

// readAll reads what was there at the first Fetch. After an error the reader is dropped.
func readAll(ctx context.Context, r *broker.Reader, take func(broker.Record)) error {
	for first := true; first || r.Left() > 0; first = false {
		list, err := r.Fetch(ctx, 256, 0)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			r.Drop(ctx)
			return err
		}
		for _, rec := range list {
			take(rec)
		}
	}
	return nil
}

// place returns from where on the predecessor wants changes to be read again, 0 where
// there was none.
func (n *Notifier) place(ctx context.Context, stored string) (uint64, error) {
	e, err := n.Broker.Bucket(broker.BucketNotify).Get(ctx, keyPlace)
	if err != nil && sentinel.CodeOf(err) != sentinel.NotFound {
		return 0, err
	}
	var at broker.Judged
	if err != nil || json.Unmarshal(e.Value, &at) != nil || at.Store != stored {
		return 0, nil //nolint:nilerr // another store's numbers say nothing
	}
	return at.Next, nil
}

func (n *Notifier) notePlace(ctx context.Context, stored string, next uint64) error {
	raw, err := json.Marshal(broker.Judged{Store: stored, Next: next})
	if err != nil {
		return err
	}
	revision, err := n.Broker.Bucket(broker.BucketNotify).Put(ctx, keyPlace, raw)
	if err == nil {
		n.placed = revision
	}
	return err
}

// put tells the dispatcher of a change; inOrder says that those before were put as well.
func (n *Notifier) put(d *notify.Dispatcher, rec broker.Record, stored string, inOrder bool) {
	a, ok := alertOf(rec.Data, inOrder)
	if !ok {
		return
	}
	a.Position = notify.Position{Log: stored, Seq: rec.Seq}
	if err := d.Put(a); err != nil {
		n.Log.Warn("an incident cannot be told", "fingerprint", a.Fingerprint, "error", err)
	}
}

// alertOf returns what people are to be told of a change. Where those before it may
// have been missed, an incident that does not fire counts as over.
func alertOf(raw []byte, inOrder bool) (notify.Alert, bool) {
	c, err := live.ParseChange(raw)
	if err != nil {
		return notify.Alert{}, false
	}
	a := notify.Alert{Fingerprint: c.Fingerprint, Labels: c.Labels, Annotations: c.Annotations, State: notify.Firing, StartsAt: c.FiredAt, Runbook: c.Runbook, Changed: c.Now}
	switch {
	case c.State == alerting.Firing, c.State == alerting.Unknown && c.Was == alerting.Firing:
	case c.State == alerting.Resolved, !inOrder && c.State != alerting.Unknown:
		a.State, a.EndsAt = notify.Resolved, c.EndsAt
		for _, t := range []time.Time{c.StartsAt, c.At} {
			if a.StartsAt.IsZero() {
				a.StartsAt = t
			}
		}
		if a.EndsAt.IsZero() {
			a.EndsAt = c.At
		}
	default:
		return a, false
	}
	return a, true
}

// acknowledge tells the dispatcher of acknowledgements that it has not heard of.
func (n *Notifier) acknowledge(ctx context.Context, d *notify.Dispatcher, raw []byte, done map[ack]bool) {
	var acks []ack
	if json.Unmarshal(raw, &acks) != nil {
		return
	}
	for _, a := range acks {
		if done[a] {
			continue
		}
		_, err := d.Acknowledge(ctx, a.Fingerprint, a.By, a.Comment)
		if err != nil && sentinel.CodeOf(err) != sentinel.NotFound {
			n.Log.Warn("an acknowledgement cannot be taken", "fingerprint", a.Fingerprint, "error", err)
			continue
		}
		done[a] = true
	}
}
