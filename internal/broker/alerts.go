package broker

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	alertsStream  = "ALERTS"
	alertsSubject = "sentinel.alerts."
	// alertsPending bounds the messages that wait for the broker's word at a time.
	alertsPending = 256
)

// Alert is one message of the stream ALERTS: a change of the incident that the
// fingerprint names. The last one of a fingerprint is the incident's state.
type Alert struct {
	Fingerprint string
	Data        []byte
	Seq         uint64 // of the stream
}

// setupAlerts makes sure that the stream exists. It has no bound of its own, which the
// broker would reserve: who owns the incidents removes what is over.
func (b *Broker) setupAlerts(ctx context.Context) error {
	_, err := b.js.Stream(ctx, alertsStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = b.js.CreateStream(ctx, jetstream.StreamConfig{
			Name:        alertsStream,
			Description: "incidents: every change, and by the last one of each how it stands",
			Subjects:    []string{alertsSubject + "*.*"},
			Storage:     jetstream.FileStorage,
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardNew,
			Replicas:    b.cfg.Replicas,
		})
	}
	if err != nil {
		return unavailable("find stream "+alertsStream, err)
	}
	return nil
}

// Incidents returns the last message of every fingerprint of a partition.
func (b *Broker) Incidents(ctx context.Context, partition int) ([]Alert, error) {
	r := &Reader{b: b, stream: alertsStream, subject: alertSubject(partition, "*"), last: true}
	defer r.Drop(ctx)
	var all []Alert
	for {
		list, err := r.Fetch(ctx, 500, 0)
		if err != nil {
			return nil, err
		}
		for _, rec := range list {
			all = append(all, Alert{lastToken(rec.Subject), rec.Data, rec.Seq})
		}
		if r.left == 0 {
			return all, nil
		}
		if ctx.Err() != nil {
			return nil, unavailable("read incidents", ctx.Err())
		}
	}
}

// Alerts returns a reader of all partitions' changes: first the last one of each
// fingerprint, then those that come.
func (b *Broker) Alerts() *Reader {
	return &Reader{b: b, stream: alertsStream, subject: alertsSubject + ">", last: true}
}

// AlertsFrom returns a reader of all partitions' changes from a sequence number on.
func (b *Broker) AlertsFrom(seq uint64) *Reader {
	return &Reader{b: b, stream: alertsStream, subject: alertsSubject + ">", next: max(seq, 1)}
}

// FingerprintOf returns the fingerprint that a record of Alerts is about.
func FingerprintOf(r Record) string { return lastToken(r.Subject) }

// PublishAlerts writes changes of different incidents; Seq is that of the last message
// of the fingerprint, 0 where there is none, and becomes the new one's. A Conflict
// means that somebody else has written about one of them: the caller does not own the
// partition any more. That the last message is gone is no Conflict, but Unavailable: the
// store was wiped. A message that had arrived in a try before is found and not
// written again. Unavailable means that some may have been written, and the whole is to
// be tried again.
func (b *Broker) PublishAlerts(ctx context.Context, partition int, list []Alert) error {
	for len(list) > 0 {
		n := min(len(list), alertsPending)
		if err := b.publishAlerts(ctx, partition, list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

func (b *Broker) publishAlerts(ctx context.Context, partition int, list []Alert) error {
	if err := b.connected(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	futures := make([]jetstream.PubAckFuture, len(list))
	for i, a := range list {
		f, err := b.js.PublishAsync(alertSubject(partition, a.Fingerprint), a.Data, jetstream.WithExpectLastSequencePerSubject(a.Seq))
		if err != nil {
			return unavailable("publish alert", err)
		}
		futures[i] = f
	}
	for i, f := range futures {
		select {
		case ack := <-f.Ok():
			list[i].Seq = ack.Sequence
		case err := <-f.Err():
			if err := b.settleAlert(ctx, partition, &list[i], err); err != nil {
				return err
			}
		case <-ctx.Done():
			return unavailable("publish alert", ctx.Err())
		}
	}
	return nil
}

// settleAlert finds out what a publish that failed means.
func (b *Broker) settleAlert(ctx context.Context, partition int, a *Alert, err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
		if errors.Is(err, jetstream.ErrNoStreamResponse) && ctx.Err() == nil {
			if serr := b.Setup(ctx); serr != nil {
				return serr
			}
		}
		return unavailable("publish alert", err)
	}
	stream, err := b.js.Stream(ctx, alertsStream)
	if err != nil {
		return unavailable("ask for stream "+alertsStream, err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, alertSubject(partition, a.Fingerprint))
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return unavailable("ask for an incident", err)
	}
	if err != nil { // not another owner's doing: the store was wiped under us
		return sentinel.Errorf(sentinel.Unavailable, "what was written about the incident %s is gone", a.Fingerprint)
	}
	if bytes.Equal(last.Data, a.Data) {
		a.Seq = last.Sequence // written by a try before
		return nil
	}
	return sentinel.Errorf(sentinel.Conflict, "somebody else has written about the incident %s", a.Fingerprint)
}

// Fleetwide stands for a partition where incidents are about no single agent.
const Fleetwide = -1

func alertSubject(partition int, fingerprint string) string {
	part := "fleet"
	if partition != Fleetwide {
		part = strconv.Itoa(partition)
	}
	return alertsSubject + part + "." + fingerprint
}

// ForgetAlerts removes what was written about an incident before a sequence number.
func (b *Broker) ForgetAlerts(ctx context.Context, partition int, fingerprint string, before uint64) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := b.js.Stream(ctx, alertsStream)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(alertSubject(partition, fingerprint)), jetstream.WithPurgeSequence(before))
	}
	if err != nil {
		return unavailable("forget alerts", err)
	}
	return nil
}

// AlertsSettled returns the number up to which the consumer named history has
// acknowledged every message of ALERTS, 0 where there is none.
func (b *Broker) AlertsSettled(ctx context.Context, durable string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cons, err := b.js.Consumer(ctx, alertsStream, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, unavailable("ask for consumer "+durable, err)
	}
	return cons.CachedInfo().AckFloor.Stream, nil
}

// Store names the broker's store: it is another one where the store was wiped.
func (b *Broker) Store() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strconv.FormatInt(b.created.UnixNano(), 36)
}
