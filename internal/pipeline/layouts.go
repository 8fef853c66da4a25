package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// errLayoutNowhere means that neither database nor broker knows a layout: the
// broker lost it after it had taken the batch. The agent still has both.
var errLayoutNowhere = errors.New("layout is nowhere")

// layouts finds the database's row of a layout: in memory, in the database, or
// made from what the gateway left with the broker. Safe for concurrent use.
type layouts struct {
	db     *postgres.DB
	broker Broker
	limits sentinel.Limits

	mu    sync.Mutex
	known map[layoutKey]knownLayout
}

type layoutKey struct {
	agent int64
	hash  sentinel.LayoutHash
}

type knownLayout struct {
	id     int64
	series int
}

// maxKnown bounds the memory; beyond it everything is looked up again.
const maxKnown = 100_000

func newLayouts(db *postgres.DB, b Broker, l sentinel.Limits) *layouts {
	return &layouts{db: db, broker: b, limits: l, known: map[layoutKey]knownLayout{}}
}

func (l *layouts) find(ctx context.Context, agent int64, name sentinel.AgentID, h sentinel.LayoutHash) (knownLayout, error) {
	key := layoutKey{agent, h}
	l.mu.Lock()
	found, ok := l.known[key]
	l.mu.Unlock()
	if ok {
		return found, nil
	}
	found, err := l.load(ctx, agent, name, h)
	if err != nil {
		return knownLayout{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= maxKnown {
		clear(l.known)
	}
	l.known[key] = found
	return found, nil
}

func (l *layouts) load(ctx context.Context, agent int64, name sentinel.AgentID, h sentinel.LayoutHash) (knownLayout, error) {
	id, definition, err := l.db.Layout(ctx, agent, h)
	if err == nil {
		layout, err := wire.DecodeLayout(definition, l.limits)
		if err != nil {
			return knownLayout{}, fmt.Errorf("read a stored layout: %w", err)
		}
		return knownLayout{id, len(layout)}, nil
	}
	if sentinel.CodeOf(err) != sentinel.NotFound {
		return knownLayout{}, fmt.Errorf("look up a layout: %w", err)
	}
	definition, err = l.broker.Layout(ctx, name, h)
	if sentinel.CodeOf(err) == sentinel.NotFound && err != nil {
		return knownLayout{}, errLayoutNowhere
	}
	if err != nil {
		return knownLayout{}, fmt.Errorf("look up a layout: %w", err)
	}
	layout, err := wire.DecodeLayout(definition, l.limits)
	if err != nil || wire.HashLayout(definition) != h {
		return knownLayout{}, errLayoutNowhere // somebody else wrote this to the broker
	}
	id, err = l.db.EnsureLayout(ctx, agent, h, definition, layout)
	if err != nil {
		return knownLayout{}, fmt.Errorf("store a layout: %w", err)
	}
	return knownLayout{id, len(layout)}, nil
}
