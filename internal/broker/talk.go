package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Topics of what is said to whoever listens now.
const (
	// TopicSessions carries which agents have a session, from the gateways.
	TopicSessions = "sentinel.sessions"
	// TopicSelfTest carries which samples of self-tests were read, from those who judge.
	TopicSelfTest = "sentinel.selftest"
	// TopicNotifier carries questions to the one that tells people.
	TopicNotifier = "sentinel.notifier"
)

// Say tells everybody who listens to the topic now. It may get lost.
func (b *Broker) Say(topic string, data []byte) error {
	if err := b.conn.Publish(topic, data); err != nil {
		return unavailable("say "+topic, err)
	}
	return nil
}

// Listen calls f, one call at a time, with what is said, until ctx ends; then it
// returns nil.
func (b *Broker) Listen(ctx context.Context, topic string, f func(data []byte)) error {
	sub, err := b.conn.Subscribe(topic, func(m *nats.Msg) { f(m.Data) })
	if err != nil {
		return unavailable("listen to "+topic, err)
	}
	<-ctx.Done()
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("unsubscribe from %s: %w", topic, err)
	}
	return nil
}

// Ask sends a question and returns the first answer. The error is Unavailable where
// nobody answers in time.
func (b *Broker) Ask(ctx context.Context, topic string, question []byte, wait time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	m, err := b.conn.RequestWithContext(ctx, topic, question)
	if err != nil {
		return nil, unavailable("ask "+topic, err)
	}
	return m.Data, nil
}

// Answer answers the questions that come, each in a goroutine of its own, until ctx
// ends; then it waits for those and returns nil.
func (b *Broker) Answer(ctx context.Context, topic string, f func(question []byte) []byte) error {
	slots := make(chan struct{}, 8)
	sub, err := b.conn.Subscribe(topic, func(m *nats.Msg) {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			_ = m.Respond(f(m.Data)) // who asked gives up by itself
		}()
	})
	if err != nil {
		return unavailable("listen to "+topic, err)
	}
	<-ctx.Done()
	err = sub.Unsubscribe()
	for range cap(slots) {
		slots <- struct{}{}
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("unsubscribe from %s: %w", topic, err)
	}
	return nil
}
