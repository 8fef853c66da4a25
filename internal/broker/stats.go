package broker

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stats say how full the stream is and how far behind its consumers are.
type Stats struct {
	Messages  uint64
	Bytes     uint64
	MaxBytes  uint64
	Consumers []ConsumerStats
}

// ConsumerStats is how far one durable consumer is behind.
type ConsumerStats struct {
	Name    string
	Pending uint64        // messages that it has not acknowledged
	Lag     time.Duration // age of the oldest of them
}

// Stats asks the broker. The error is Unavailable where it does not answer.
func (b *Broker) Stats(ctx context.Context) (Stats, error) {
	if err := b.connected(); err != nil {
		return Stats{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := b.js.Stream(ctx, batchesStream)
	if err != nil {
		return Stats{}, unavailable("ask for stream "+batchesStream, err)
	}
	info := stream.CachedInfo()
	s := Stats{Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: uint64(max(0, info.Config.MaxBytes))}
	list := stream.ListConsumers(ctx)
	for c := range list.Info() {
		if c.Config.Durable == "" {
			continue // a reader of alerting, which is counted below
		}
		s.Consumers = append(s.Consumers, ConsumerStats{Name: c.Name, Pending: c.NumPending + uint64(c.NumAckPending), Lag: lag(ctx, stream, c)})
	}
	if err := list.Err(); err != nil {
		return s, unavailable("ask for consumers", err)
	}
	alerter, err := b.judgedStats(ctx, stream)
	if err != nil {
		return s, err
	}
	s.Consumers = append(s.Consumers, alerter)
	return s, nil
}

// judgedStats says how far alerting is behind.
func (b *Broker) judgedStats(ctx context.Context, stream jetstream.Stream) (ConsumerStats, error) {
	floor, err := b.judged(ctx, stream)
	c := ConsumerStats{Name: "alerter"}
	state := stream.CachedInfo().State
	if err != nil || floor >= state.LastSeq {
		return c, err
	}
	c.Pending = state.LastSeq - max(floor, state.FirstSeq-1)
	if oldest, err := stream.GetMsg(ctx, max(floor+1, state.FirstSeq)); err == nil {
		c.Lag = max(0, time.Since(oldest.Time))
	}
	return c, nil
}

// lag returns the age of the oldest message that a consumer has not acknowledged.
func lag(ctx context.Context, stream jetstream.Stream, c *jetstream.ConsumerInfo) time.Duration {
	if c.NumPending+uint64(c.NumAckPending) == 0 {
		return 0
	}
	oldest, err := stream.GetMsg(ctx, max(c.AckFloor.Stream+1, stream.CachedInfo().State.FirstSeq))
	if err != nil {
		return 0 // acknowledged and trimmed meanwhile
	}
	return max(0, time.Since(oldest.Time))
}
