package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sentinelgo/sentinel/internal/backoff"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	// maxMessage bounds the alerts of one message, in bytes.
	maxMessage = 192 << 10
	// storeTimeout bounds a write of the log: a store that is down delays messages by
	// this much and stops none.
	storeTimeout = 2 * time.Second
	// maxPause bounds what a service may ask for with Retry-After.
	maxPause = 15 * time.Minute
)

// job is a message on its way.
type job struct {
	ch      *channel
	dl      *delivery
	g       *group // nil for what a process before this one left behind
	pending *pending
	again   bool // it is in the log already
	attempt int
	pause   backoff.Backoff
}

// offer tells a channel how a group stands, if there is something to tell. The lock is held.
func (d *Dispatcher) offer(g *group, ch *channel, list []Alert, now time.Time) {
	dl := d.delivery(ch, g.key)
	if dl.busy {
		dl.missed = true
		return
	}
	if len(list) == 0 {
		return
	}
	d.metrics.untold("late").Add(g.tooLate(now))
	for known, more := dl.rec.Upto, true; more; {
		list, upto, further := g.present(list, known)
		s := standingOf(list, d.acked)
		if reason := dl.rec.needs(s, ch.ChannelConfig, g.route.Repeat, now); reason != "" {
			p := &pending{Told: dl.rec.after(s, upto, now)}
			if ch.SendResolved || len(s.firing) > 0 {
				p.Notification = d.message(g, ch, dl, reason, list, now)
			}
			d.start(g, ch, dl, p)
			dl.missed = further
			return
		}
		known, more = upto, further
	}
}

// message makes the message that tells a channel of alerts.
func (d *Dispatcher) message(g *group, ch *channel, dl *delivery, reason Reason, list []Alert, now time.Time) *Notification {
	n := &Notification{Reason: reason, Receiver: ch.receiver, GroupKey: g.key, GroupLabels: g.labels, Time: now.UTC(), ExternalURL: d.opts.ExternalURL}
	size := 0
	for i, a := range list {
		if a.State == Resolved && !ch.SendResolved {
			continue
		}
		if size += a.size(); size > maxMessage && len(n.Alerts) > 0 {
			n.Truncated = len(list) - i
			break
		}
		n.Alerts = append(n.Alerts, a)
		if ack, ok := d.acks.of(a); ok && reason == ReasonAcknowledged {
			n.Note = "Acknowledged by " + ack.By
			if ack.Comment != "" {
				n.Note += ": " + ack.Comment
			}
		}
	}
	n.Key = dl.rec.key(reason, list)
	return n
}

// size estimates the alert in JSON.
func (a Alert) size() int {
	n := 200 + len(a.Fingerprint) + len(a.Runbook) + len(a.Source)
	for _, m := range []map[string]string{a.Labels, a.Annotations} {
		for k, v := range m {
			n += len(k) + len(v) + 6
		}
	}
	return n
}

func (d *Dispatcher) start(g *group, ch *channel, dl *delivery, p *pending) {
	dl.busy, dl.missed = true, false
	d.enqueue(&job{ch: ch, dl: dl, g: g, pending: p})
}

// enqueue hands a message to its channel; while the queue is full it waits outside.
func (d *Dispatcher) enqueue(j *job) {
	select {
	case j.ch.queue <- j:
	default:
		d.metrics.full(j.ch.Kind).Inc()
		j.ch.waiting = append(j.ch.waiting, j)
	}
}

// work delivers the messages of a channel.
func (d *Dispatcher) work(ctx context.Context, ch *channel) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-ch.queue:
			if ctx.Err() != nil {
				return
			}
			d.refill(ch)
			d.deliver(ctx, j)
		}
	}
}

// refill lets a message in that found the queue full.
func (d *Dispatcher) refill(ch *channel) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(ch.waiting) == 0 {
		return
	}
	select {
	case ch.queue <- ch.waiting[0]:
		ch.waiting = ch.waiting[1:]
	default: // another was quicker
	}
}

// deliver tries once to deliver a message and writes down what came of it.
func (d *Dispatcher) deliver(ctx context.Context, j *job) {
	n := j.pending.Notification
	if n == nil { // only the log has to know
		rec := j.dl.rec.clone()
		rec.told, rec.Pending = j.pending.Told, nil
		d.finish(ctx, j, rec)
		return
	}
	if !j.again {
		rec := j.dl.rec.clone()
		rec.Pending = j.pending
		if !d.write(ctx, j, rec) {
			d.yield(ctx, j)
			return
		}
		j.again = true
	}
	j.attempt++
	began := time.Now()
	actx, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.ch.Timeout)
	err := notifyOnce(actx, j.ch.Notifier, n)
	cancel()
	took := time.Since(began)
	d.metrics.seconds(j.ch.Kind).Observe(took.Seconds())
	out := Delivery{Time: began, Channel: j.ch.ID, Key: n.Key, GroupKey: n.GroupKey, Reason: n.Reason, Alerts: len(n.Alerts) + n.Truncated, Attempt: j.attempt, Took: took}
	if err == nil {
		d.metrics.sent(j.ch.Kind).Inc()
		d.opts.Delivered(out)
		rec := j.dl.rec.clone()
		if n.Reason != ReasonDigest {
			rec.told = j.pending.Told
		}
		rec.Seq, rec.At, rec.Pending, rec.Failed, rec.FailedAt = rec.Seq+1, time.Now().UTC(), nil, "", time.Time{}
		d.finish(ctx, j, rec)
		return
	}
	f := failureOf(err)
	out.Error = Truncate(err.Error(), 500)
	wait := d.pause(j, f.After)
	if !f.Permanent && time.Now().Add(wait).Before(n.Time.Add(j.ch.RetryFor)) {
		d.metrics.failed(j.ch.Kind, "transient").Inc()
		d.opts.Delivered(out)
		d.log.Warn("notification failed; it is tried again", "channel", j.ch.ID, "key", n.Key, "attempt", j.attempt, "wait", wait, "err", out.Error)
		d.mu.Lock()
		d.at(time.Now().Add(wait), func(time.Time) { d.enqueue(j) })
		d.mu.Unlock()
		return
	}
	out.GaveUp = true
	d.metrics.failed(j.ch.Kind, "permanent").Inc()
	d.metrics.givenUp(j.ch.Kind).Inc()
	d.opts.Delivered(out)
	d.log.Error("notification given up; it is a dead letter", "channel", j.ch.ID, "key", n.Key, "attempt", j.attempt, "err", out.Error)
	wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	if err := d.letters.add(wctx, Letter{ID: n.Key, Channel: j.ch.ID, Error: out.Error, At: time.Now().UTC(), Notification: n}); err != nil {
		d.metrics.storeErrors.Inc()
		d.log.Error("write dead letter", "err", err)
	}
	cancel()
	rec := j.dl.rec.clone()
	rec.Seq, rec.Pending, rec.FailedAt = rec.Seq+1, nil, time.Now().UTC()
	rec.Failed = j.pending.Told.digest()
	d.finish(ctx, j, rec)
}

func (t told) digest() string {
	return standing{firing: sortedKeys(t.Firing), resolved: t.Resolved}.digest()
}

func (d *Dispatcher) pause(j *job, after time.Duration) time.Duration {
	if j.pause.Base == 0 {
		j.pause = backoff.Backoff{Base: 2 * time.Second, Max: time.Minute}
	}
	j.pause.Floor = min(after, maxPause)
	return j.pause.Next()
}

// notifyOnce keeps a notifier's panic from ending the process.
func notifyOnce(ctx context.Context, nt Notifier, n *Notification) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = Permanent(sentinel.Errorf(sentinel.Internal, "the notifier panicked: %.200v", r))
		}
	}()
	return nt.Notify(ctx, n)
}

// write puts a record into the log. It reports false only where another process has
// written it meanwhile; a store that does not answer must not keep alerts from people.
func (d *Dispatcher) write(ctx context.Context, j *job, rec *record) bool {
	raw, err := rec.encode()
	if err == nil && len(raw) > MaxValue {
		err = sentinel.Errorf(sentinel.Internal, "the record has %d bytes", len(raw))
	}
	if err == nil {
		wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		var rev uint64
		rev, err = d.opts.Store.Put(wctx, rec.storeKey(), raw, j.dl.revision)
		if sentinel.CodeOf(err) == sentinel.Conflict && j.again {
			// What was written before it was sent may have arrived without our hearing of it.
			if now, at, rerr := d.read(wctx, rec.storeKey()); rerr == nil && now.Pending.key() == j.pending.key() {
				rev, err = d.opts.Store.Put(wctx, rec.storeKey(), raw, at)
			}
		}
		if err == nil {
			j.dl.revision = rev
			return true
		}
		if sentinel.CodeOf(err) == sentinel.Conflict {
			d.metrics.conflicts.Inc()
			d.log.Warn("another process has written the notification log", "channel", j.ch.ID, "group", rec.Group)
			return false
		}
	}
	d.metrics.storeErrors.Inc()
	d.log.Warn("write notification log", "err", err)
	return true
}

func (p *pending) key() string {
	if p == nil || p.Notification == nil {
		return ""
	}
	return p.Notification.Key
}

// read returns a record as it stands in the store.
func (d *Dispatcher) read(ctx context.Context, key string) (*record, uint64, error) {
	entries, err := d.opts.Store.All(ctx, key)
	if err != nil {
		return nil, 0, fmt.Errorf("read notification log: %w", err)
	}
	rec := &record{}
	if len(entries) != 1 {
		return rec, 0, nil
	}
	if err := json.Unmarshal(entries[0].Value, rec); err != nil {
		return nil, 0, fmt.Errorf("read notification log: %w", err)
	}
	return rec, entries[0].Revision, nil
}

// finish writes down the outcome of a message and looks at what came up meanwhile.
func (d *Dispatcher) finish(ctx context.Context, j *job, rec *record) {
	if !d.write(ctx, j, rec) {
		d.yield(ctx, j)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	j.dl.rec, j.dl.busy = rec, false
	d.catchUp(j)
}

// yield takes over what another process has written about the group. A message that it
// has begun is its own for as long as an attempt may take, and then ours.
func (d *Dispatcher) yield(ctx context.Context, j *job) {
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	rec, revision, err := d.read(rctx, j.dl.rec.storeKey())
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.metrics.storeErrors.Inc()
		d.log.Warn("read notification log", "err", err)
		d.at(time.Now().Add(storeTimeout), func(time.Time) {
			j.dl.busy, j.dl.missed = false, true
			d.catchUp(j)
		})
		return
	}
	rec.Channel, rec.Group = j.dl.rec.Channel, j.dl.rec.Group
	j.dl.rec, j.dl.revision = rec, revision
	j.dl.missed = true // what we were about to tell may not be in it
	if rec.Pending.key() == "" {
		j.dl.busy = false
		d.catchUp(j)
		return
	}
	left := &job{ch: j.ch, dl: j.dl, g: j.g, pending: rec.Pending}
	d.at(time.Now().Add(2*j.ch.Timeout), func(time.Time) { d.enqueue(left) })
}

// catchUp looks at a group again that was flushed while a message was on its way.
func (d *Dispatcher) catchUp(j *job) {
	g, now := j.g, time.Now()
	if g == nil { // left behind by another process: whoever has the group now
		for _, h := range d.groups {
			if h.key == j.dl.rec.Group {
				g = h
			}
		}
	}
	if g == nil || d.groups[g.id] != g {
		return
	}
	if j.dl.missed {
		j.dl.missed = false
		list := d.tellable(g, now)
		if g.route.Receiver == j.ch.receiver {
			d.offer(g, j.ch, list, now)
		}
		d.escalate(g, list, now)
	}
	d.settle(g, now)
}
