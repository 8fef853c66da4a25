package ingest

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

const (
	groupBytes       = 64 << 10 // of envelopes in one message
	publishesAtOnce  = 2        // per partition
	publishTimeout   = 10 * time.Second
	envelopeOverhead = 256 // more than an envelope's fields take beside its payload
)

// publisher groups envelopes of one partition into one message while earlier
// messages are on their way: the cost of a small message is the message. At low
// load every envelope goes out at once.
type publisher struct {
	broker     Broker
	metrics    *gatewayMetrics
	mu         sync.Mutex
	partitions map[int]*partition
	running    sync.WaitGroup
}

type partition struct {
	waiting []submission
	running int
}

type submission struct {
	delivery *sentinelpb.Delivery
	done     func(error)
}

func newPublisher(b Broker, m *gatewayMetrics) *publisher {
	return &publisher{broker: b, metrics: m, partitions: map[int]*partition{}}
}

// submit queues a delivery and returns at once. done is called exactly once, from
// another goroutine: with nil after the broker acknowledged, else with the error.
// The message is published even if the session that brought it ends meanwhile.
func (p *publisher) submit(ctx context.Context, agent sentinel.AgentID, d *sentinelpb.Delivery, done func(error)) {
	index := broker.Partition(agent, p.broker.Partitions())
	p.mu.Lock()
	defer p.mu.Unlock()
	part := p.partitions[index]
	if part == nil {
		part = &partition{}
		p.partitions[index] = part
	}
	part.waiting = append(part.waiting, submission{d, done})
	if part.running < publishesAtOnce {
		part.running++
		p.running.Add(1)
		go p.drain(context.WithoutCancel(ctx), index, part)
	}
}

// drain publishes group after group until none waits.
func (p *publisher) drain(ctx context.Context, index int, part *partition) {
	defer p.running.Done()
	for {
		group := p.next(part)
		if group == nil {
			return
		}
		err := p.send(ctx, index, group)
		for _, s := range group {
			s.done(err)
		}
	}
}

func (p *publisher) next(part *partition) []submission {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, size := 0, 0
	for n < len(part.waiting) {
		size += len(part.waiting[n].delivery.GetEnvelope().GetPayload()) + envelopeOverhead
		if n > 0 && size > groupBytes {
			break
		}
		n++
	}
	if n == 0 {
		part.running--
		return nil
	}
	group := part.waiting[:n:n]
	part.waiting = part.waiting[n:]
	if len(part.waiting) == 0 {
		part.waiting = nil
	}
	return group
}

func (p *publisher) send(ctx context.Context, index int, group []submission) error {
	var m sentinelpb.Deliveries
	for _, s := range group {
		m.Deliveries = append(m.Deliveries, s.delivery)
	}
	raw, err := proto.Marshal(&m)
	if err != nil {
		return sentinel.Errorf(sentinel.Invalid, "encode deliveries: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	start := time.Now()
	err = p.broker.Publish(ctx, index, sentinel.RandomName(10), raw)
	p.metrics.publishSeconds.Observe(time.Since(start).Seconds())
	return err
}

// wait returns once nothing is on its way any more.
func (p *publisher) wait() { p.running.Wait() }
