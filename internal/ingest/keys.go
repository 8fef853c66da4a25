package ingest

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
)

const (
	lookForKeys = time.Second
	keyPatience = 5 * time.Second // for one question to the database
	keyNames    = 2000            // agents in one question
)

// offerKeys hands pending keys to the agents that are connected here, until ctx
// ends. It looks for them when a key has changed somewhere, and for the agents that
// have just come.
func (g *Gateway) offerKeys(ctx context.Context) error {
	tick := time.NewTicker(lookForKeys)
	defer tick.Stop()
	var seen int64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		agents := g.takeJoined()
		ask, cancel := context.WithTimeout(ctx, keyPatience)
		version, err := g.deps.Rotation.Version(ask)
		if err == nil && version != seen {
			agents = g.connected()
		}
		if err == nil {
			err = g.offerTo(ask, agents)
		}
		cancel()
		if err != nil { // the database is out: keys wait
			g.joinAgain(agents...)
			continue
		}
		seen = version
	}
}

func (g *Gateway) offerTo(ctx context.Context, agents []sentinel.AgentID) error {
	for len(agents) > 0 {
		some := agents[:min(len(agents), keyNames)]
		agents = agents[len(some):]
		pending, err := g.deps.Rotation.Pending(ctx, some)
		if err != nil {
			return err
		}
		for agent, key := range pending {
			g.mu.Lock()
			s := g.sessions[agent]
			g.mu.Unlock()
			if s == nil {
				continue
			}
			if s.keyID == key.ID { // proven by the handshake
				s.activate(ctx, key)
				continue
			}
			s.offerKey(key)
		}
	}
	return nil
}

func (g *Gateway) connected() []sentinel.AgentID {
	g.mu.Lock()
	defer g.mu.Unlock()
	agents := make([]sentinel.AgentID, 0, len(g.sessions))
	for agent := range g.sessions {
		agents = append(agents, agent)
	}
	return agents
}

func (g *Gateway) takeJoined() []sentinel.AgentID {
	g.mu.Lock()
	defer g.mu.Unlock()
	joined := g.joined
	g.joined = nil
	return joined
}

// joinAgain lets the agents be looked at again. Those that have gone are left out,
// so the list is no longer than the sessions.
func (g *Gateway) joinAgain(agents ...sentinel.AgentID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, agent := range agents {
		if g.sessions[agent] != nil && len(g.joined) < 2*len(g.sessions) {
			g.joined = append(g.joined, agent)
		}
	}
}

// offerKey hands the key over, unless that has been done in this session.
func (s *session) offerKey(key sign.Key) {
	m := &sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_KeyOffer{KeyOffer: &sentinelpb.KeyOffer{KeyId: key.ID, Secret: key.Secret()}}}
	s.offered.Store(&key) // before the answer can come
	if !s.offer(m) {
		s.g.joinAgain(s.agent)
	}
}

// takeKeyProof makes the offered key the active one.
func (s *session) takeKeyProof(ctx context.Context, p *sentinelpb.KeyProof) error {
	key := s.offered.Load()
	if key == nil || key.ID != p.GetKeyId() {
		return nil // an answer to an offer that another one has replaced
	}
	if !key.VerifySession(s.agent, s.agentNonce, s.nonce, p.GetMac()) {
		s.g.metrics.refused("key_proof").Inc()
		return status.Error(codes.Unauthenticated, "the proof of the offered key is not valid")
	}
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	s.activate(ctx, *key)
	return nil
}

// activate makes a proven key the agent's active one and tells it. Where that
// cannot be kept now the key is offered again.
func (s *session) activate(ctx context.Context, key sign.Key) {
	err := s.g.deps.Rotation.Activate(ctx, s.agent, key.ID)
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return // revoked meanwhile
	}
	if err != nil {
		s.log.Warn("new key could not be activated, trying again", "key", key.ID, "error", err)
		s.g.joinAgain(s.agent)
		return
	}
	s.g.metrics.rotated.Inc()
	s.log.Info("agent has a new key", "key", key.ID)
	if !s.offer(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_KeyAccepted{KeyAccepted: &sentinelpb.KeyAccepted{KeyId: key.ID}}}) {
		s.end("the session is too slow to be told of its new key", 0)
	}
}
