package live

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

// sessionLasts is for how long a gateway's word that an agent is connected is good;
// gateways say so every two seconds.
const sessionLasts = 10 * time.Second

// Sessions knows which agents are connected, from what gateways say. Safe for
// concurrent use.
type Sessions struct {
	broker *broker.Broker

	mu    sync.Mutex
	since time.Time // of listening
	heard map[sentinel.AgentID]heard
}

type heard struct {
	at      time.Time
	backlog bool
}

// NewSessions returns an empty set; Run fills it.
func NewSessions(b *broker.Broker) *Sessions {
	return &Sessions{broker: b, heard: map[sentinel.AgentID]heard{}}
}

// Run listens until ctx ends; then it returns nil.
func (s *Sessions) Run(ctx context.Context) error {
	s.mu.Lock()
	s.since = time.Now()
	s.mu.Unlock()
	return s.broker.Listen(ctx, broker.TopicSessions, func(data []byte) {
		var m sentinelpb.Sessions
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		now := time.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, one := range m.GetSessions() {
			s.heard[sentinel.AgentID(one.GetAgentId())] = heard{now, one.GetBacklog()}
		}
	})
}

// of says whether an agent is connected, and brings data that it had to keep. known is
// false where that cannot be said yet.
func (s *Sessions) of(agent sentinel.AgentID, now time.Time) (is presence, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.heard[agent]
	if ok && now.Sub(h.at) > sessionLasts {
		delete(s.heard, agent)
		ok = false
	}
	return presence{ok, ok && h.backlog}, ok || !s.since.IsZero() && now.Sub(s.since) > sessionLasts
}
