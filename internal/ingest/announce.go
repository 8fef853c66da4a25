package ingest

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

const (
	announceEvery = 2 * time.Second
	announceAtMax = 5000 // sessions in one message
	// backlogLasts is for how long an agent counts as catching up after it has sent
	// something that it could not send in time.
	backlogLasts = 10 * time.Second
)

// Announcer tells everybody who listens. What is said may get lost.
type Announcer interface {
	Say(topic string, data []byte) error
}

// announce says every other second which agents are connected here, until ctx ends.
func (g *Gateway) announce(ctx context.Context) error {
	clock := time.NewTicker(announceEvery)
	defer clock.Stop()
	for {
		g.announceOnce()
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
		}
	}
}

func (g *Gateway) announceOnce() {
	now := g.deps.Now().UnixMilli()
	g.mu.Lock()
	all := make([]*sentinelpb.Session, 0, len(g.sessions))
	for agent, s := range g.sessions {
		all = append(all, &sentinelpb.Session{AgentId: string(agent), Backlog: now-s.backlogAt.Load() < backlogLasts.Milliseconds()})
	}
	g.mu.Unlock()
	for some := range slices.Chunk(all, announceAtMax) {
		raw, err := proto.Marshal(&sentinelpb.Sessions{Sessions: some})
		if err == nil {
			err = g.deps.Announcer.Say(broker.TopicSessions, raw)
		}
		if err != nil {
			return // it is said again in two seconds
		}
	}
}
