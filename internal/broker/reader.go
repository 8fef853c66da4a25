package broker

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// shortWait is too short to be waited for.
	shortWait = 10 * time.Millisecond
	// lookEvery is how often a reader that gets nothing asks whether something got lost.
	lookEvery = time.Second
)

// Record is one message of a stream as it lies there.
type Record struct {
	Seq     uint64
	Subject string
	Data    []byte
}

// Reader reads a part of a stream in order, each message once, and acknowledges
// nothing: how far it came is its owner's business. It is not safe for concurrent use.
type Reader struct {
	b       *Broker
	stream  string
	subject string
	last    bool      // begins with the last message of each subject
	next    uint64    // of the stream
	since   time.Time // where next is 0: only messages that came later
	cons    jetstream.Consumer
	seen    uint64 // of the consumer's own numbers
	left    uint64 // messages that were there when the consumer was made, and not read yet
	looked  time.Time
}

// Batches returns a reader of one partition's batches, from a sequence number on.
func (b *Broker) Batches(partition int, from uint64) *Reader {
	return &Reader{b: b, stream: batchesStream, subject: batchesSubject + strconv.Itoa(partition), next: from}
}

// BatchesSince returns a reader of one partition's batches that came after a time, as
// far as they are still there.
func (b *Broker) BatchesSince(partition int, t time.Time) *Reader {
	r := b.Batches(partition, 0)
	r.since = t
	return r
}

// Next returns the number of the first message that was not read yet: all before it
// that the reader's subject has were read.
func (r *Reader) Next() uint64 { return r.next }

// Left returns how many of the messages that were there at the first Fetch are still
// to be read.
func (r *Reader) Left() uint64 { return r.left }

// Fetch waits up to wait for a first message and returns up to max of those that are
// there. No message in time gives none and no error. After an error the next call goes
// on where this one should have.
func (r *Reader) Fetch(ctx context.Context, max int, wait time.Duration) ([]Record, error) {
	if r.cons == nil {
		if err := r.open(ctx); err != nil {
			return nil, err
		}
	}
	batch, err := r.cons.FetchNoWait(max)
	if err != nil {
		return nil, r.failed(err)
	}
	list, err := r.collect(batch)
	if len(list) > 0 || err != nil || r.cons == nil {
		return list, r.failed(err)
	}
	if wait < shortWait {
		if r.left > 0 {
			r.looked = time.Time{} // there should have been one
			return nil, r.look(ctx)
		}
		return nil, nil
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if batch, err = r.cons.Fetch(1, jetstream.FetchContext(waiting)); err != nil {
		return nil, r.failed(err)
	}
	list, err = r.collect(batch)
	if len(list) == 0 && (err == nil || waiting.Err() != nil) {
		return nil, r.look(ctx) // nothing came in time
	}
	return list, r.failed(err)
}

// look finds out whether the broker has handed out what never came: a message that it
// sends in the moment in which a Fetch ends reaches nobody. Where others follow, their
// numbers show it; nothing else would show that the last one is missing.
func (r *Reader) look(ctx context.Context) error {
	if r.cons == nil || time.Since(r.looked) < lookEvery || ctx.Err() != nil {
		return nil
	}
	r.looked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	info, err := r.cons.Info(ctx)
	if err != nil {
		return r.failed(err)
	}
	if info.Delivered.Consumer > r.seen {
		r.cons = nil // it is read again
	}
	return nil
}

// collect returns the messages of a batch up to the first that does not follow the one
// before: what is between got lost on the way, and is read again from there.
func (r *Reader) collect(batch jetstream.MessageBatch) ([]Record, error) {
	var list []Record
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil || r.cons == nil {
			continue
		}
		if meta.Sequence.Consumer != r.seen+1 {
			r.cons = nil
			continue
		}
		r.seen, r.next = meta.Sequence.Consumer, meta.Sequence.Stream+1
		r.left = min(r.left, meta.NumPending)
		list = append(list, Record{meta.Sequence.Stream, m.Subject(), m.Data()})
	}
	if err := batch.Error(); err != nil && len(list) == 0 && r.cons != nil && !errors.Is(err, jetstream.ErrNoMessages) {
		return nil, err
	}
	return list, nil
}

func (r *Reader) failed(err error) error {
	if err == nil || errors.Is(err, jetstream.ErrNoMessages) {
		return nil
	}
	r.cons = nil
	return unavailable("read stream "+r.stream, err)
}

func (r *Reader) open(ctx context.Context) error {
	if err := r.b.connected(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cfg := jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, FilterSubject: r.subject, MemoryStorage: true, Replicas: 1,
		InactiveThreshold: 30 * time.Second, DeliverPolicy: jetstream.DeliverAllPolicy}
	switch {
	case r.last && r.next == 0:
		cfg.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
	case r.next == 0 && !r.since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.since
	case r.next > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.next
	}
	cons, err := r.b.js.CreateConsumer(ctx, r.stream, cfg)
	if err != nil {
		return unavailable("read stream "+r.stream, err)
	}
	r.cons, r.seen, r.left, r.looked = cons, 0, cons.CachedInfo().NumPending, time.Now()
	return nil
}

// Drop forgets the server's side of the reader, which goes by itself otherwise.
func (r *Reader) Drop(ctx context.Context) {
	if r.cons == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.b.js.DeleteConsumer(ctx, r.stream, r.cons.CachedInfo().Name) // it goes by itself half a minute later
	r.cons = nil
}

// lastToken returns what stands behind the last point of a subject.
func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
