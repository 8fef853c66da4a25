package broker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ackWait is how long a message may be unanswered, by a worker that was killed
// for instance, before another one gets it.
const ackWait = 30 * time.Second

// Message is one message of the stream, to be acknowledged once its content is
// settled. One that is not answered within half a minute comes again.
type Message struct {
	Data []byte
	msg  jetstream.Msg
}

// Ack tells the broker that the message is done. An error may be passed over: the
// message then comes again, and the ledger knows it.
func (m Message) Ack() error { return m.msg.Ack() }

// Nak gives the message back, to come again after the delay.
func (m Message) Nak(delay time.Duration) error { return m.msg.NakWithDelay(delay) }

// Keep tells the broker that work on the message goes on.
func (m Message) Keep() error { return m.msg.InProgress() }

// Consumer hands out the messages of the stream to one durable name; several
// processes may share one.
type Consumer struct {
	b       *Broker
	stream  string
	durable string
	cons    jetstream.Consumer
}

// Consumer returns the durable consumer of batches with this name. It is made at the
// first Fetch, and made again where it is gone.
func (b *Broker) Consumer(durable string) *Consumer {
	return &Consumer{b: b, stream: batchesStream, durable: durable}
}

// AlertConsumer is Consumer for the changes of incidents.
func (b *Broker) AlertConsumer(durable string) *Consumer {
	return &Consumer{b: b, stream: alertsStream, durable: durable}
}

// Fetch waits up to wait for a first message and returns up to max of those that
// are there. No message in time gives none and no error.
func (c *Consumer) Fetch(ctx context.Context, max int, wait time.Duration) ([]Message, error) {
	if c.cons == nil {
		if err := c.create(ctx); err != nil {
			return nil, err
		}
	}
	// What is there now comes at once; only an empty stream is waited for.
	batch, err := c.cons.FetchNoWait(max)
	if err != nil {
		return nil, c.failed(err)
	}
	msgs, err := collect(batch)
	if len(msgs) > 0 || err != nil {
		return msgs, c.failed(err)
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	batch, err = c.cons.Fetch(1, jetstream.FetchContext(waiting))
	if err != nil {
		return nil, c.failed(err)
	}
	msgs, err = collect(batch)
	if waiting.Err() != nil {
		return msgs, nil // nothing came in time
	}
	return msgs, c.failed(err)
}

func collect(batch jetstream.MessageBatch) ([]Message, error) {
	var msgs []Message
	for m := range batch.Messages() {
		msgs = append(msgs, Message{Data: m.Data(), msg: m})
	}
	if err := batch.Error(); err != nil && len(msgs) == 0 {
		return nil, err
	}
	return msgs, nil
}

// failed forgets the consumer after an error, so that the next Fetch makes sure
// that stream and consumer are there.
func (c *Consumer) failed(err error) error {
	if err == nil || errors.Is(err, jetstream.ErrNoMessages) {
		return nil
	}
	c.cons = nil
	return unavailable("fetch from "+c.stream, err)
}

func (c *Consumer) create(ctx context.Context) error {
	if err := c.b.Setup(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cons, err := c.b.js.CreateOrUpdateConsumer(ctx, c.stream, jetstream.ConsumerConfig{
		Durable:       c.durable,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1,
		MaxAckPending: 2048,
	})
	if err != nil {
		return unavailable("create consumer "+c.durable, err)
	}
	c.cons = cons
	return nil
}

// Pending returns how many messages of the stream the consumer has not
// acknowledged yet.
func (c *Consumer) Pending(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cons, err := c.b.js.Consumer(ctx, c.stream, c.durable)
	if err != nil {
		return 0, unavailable("ask for consumer "+c.durable, err)
	}
	info := cons.CachedInfo()
	return info.NumPending + uint64(info.NumAckPending), nil
}
