package ingest

import (
	"context"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// EventKind says what happened to an agent.
type EventKind string

// The kinds of events.
const (
	EventConnected     EventKind = "agent.connected"
	EventDisconnected  EventKind = "agent.disconnected"
	EventDisplaced     EventKind = "agent.displaced" // another session of the same identity took over
	EventEnrolled      EventKind = "agent.enrolled"
	EventKeyRotated    EventKind = "key.rotated"
	EventConfigApplied EventKind = "config.applied"
	EventConfigRefused EventKind = "config.refused"
)

// Event is what happened to an agent, for people.
type Event struct {
	At     time.Time
	Kind   EventKind
	Agent  sentinel.AgentID
	Detail string
}

// Events keeps what happened. It may be out: nothing depends on it.
type Events interface {
	Keep(ctx context.Context, events []Event) error
}

const (
	maxEvents  = 20_000 // that wait to be kept; more are counted and dropped
	eventsEach = time.Second
)

// happened notes an event. It does not wait.
func (g *Gateway) happened(kind EventKind, agent sentinel.AgentID, detail string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note(kind, agent, detail)
}

// note is happened for who holds the lock.
func (g *Gateway) note(kind EventKind, agent sentinel.AgentID, detail string) {
	if len(g.events) >= maxEvents {
		g.metrics.eventsDropped.Inc()
		return
	}
	g.events = append(g.events, Event{At: g.deps.Now(), Kind: kind, Agent: agent, Detail: detail})
}

// keepEvents keeps events until ctx ends, and then what is left. Those that cannot be
// kept now wait.
func (g *Gateway) keepEvents(ctx context.Context) error {
	tick := time.NewTicker(eventsEach)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-ctx.Done():
			over = true
		case <-tick.C:
		}
		g.mu.Lock()
		events := g.events
		g.events = nil
		g.mu.Unlock()
		if len(events) == 0 {
			continue
		}
		keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), askPatience)
		err := g.deps.Events.Keep(keep, events)
		cancel()
		if err != nil {
			g.mu.Lock()
			later := g.events
			g.events = events
			for _, e := range later {
				if len(g.events) >= maxEvents {
					g.metrics.eventsDropped.Inc()
					continue
				}
				g.events = append(g.events, e)
			}
			g.mu.Unlock()
		}
	}
	return nil
}
