package ingest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
)

const (
	lookEvery   = time.Second
	askPatience = 5 * time.Second // for one question to the database
	askedNames  = 2000            // agents in one question
	maxReports  = 1000            // of one session on its configuration
)

// AgentConfig is what an agent is told to collect; version 0 is nothing beyond what
// its host says.
type AgentConfig struct {
	Version uint64
	Content string // YAML
	Applied uint64 // the version that it is known to run with
}

// Configs are what agents are told to collect.
type Configs interface {
	// Wanted returns what these agents are told.
	Wanted(ctx context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID]AgentConfig, error)
	// Reported keeps what an agent says: that it runs with a version where why is
	// empty, else why it does not.
	Reported(ctx context.Context, agent sentinel.AgentID, version uint64, why string) error
}

// instruct tells the agents that are connected here what has changed for them, until
// ctx ends: it hands over pending keys, configurations and what plugins they are to run. It looks when something
// has changed somewhere, and for the agents that have just come.
func (g *Gateway) instruct(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var seen int64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		agents := g.takeJoined()
		ask, cancel := context.WithTimeout(ctx, askPatience)
		version, err := g.deps.Rotation.Version(ask)
		if err == nil && version != seen {
			agents = g.connected()
		}
		for some := range slices.Chunk(agents, askedNames) {
			if err == nil {
				err = g.offerKeys(ask, some)
			}
			if err == nil {
				err = g.offerConfigs(ask, some)
			}
			if err == nil {
				err = g.offerPlugins(ask, some)
			}
		}
		cancel()
		if err != nil { // the database is out: all this waits
			g.joinAgain(agents...)
			continue
		}
		seen = version
	}
}

func (g *Gateway) offerKeys(ctx context.Context, agents []sentinel.AgentID) error {
	pending, err := g.deps.Rotation.Pending(ctx, agents)
	if err != nil {
		return err
	}
	for agent, key := range pending {
		s := g.session(agent)
		if s == nil {
			continue
		}
		if s.key.ID == key.ID { // proven by the handshake
			s.activate(ctx, key)
			continue
		}
		s.offerKey(key)
	}
	return nil
}

func (g *Gateway) offerConfigs(ctx context.Context, agents []sentinel.AgentID) error {
	wanted, err := g.deps.Configs.Wanted(ctx, agents)
	if err != nil {
		return err
	}
	for agent, c := range wanted {
		s := g.session(agent)
		if s == nil {
			continue
		}
		runs := s.config.Load()
		if c.Applied != runs { // its report was lost
			if err := g.deps.Configs.Reported(ctx, agent, runs, ""); err != nil {
				return err
			}
		}
		if c.Version == runs || s.told != nil && *s.told == c.Version {
			continue
		}
		m := &sentinelpb.AgentConfig{Version: c.Version, Content: []byte(c.Content)}
		s.key.Config(agent, m)
		if !s.offer(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Config{Config: m}}) {
			g.joinAgain(agent)
			continue
		}
		s.told = &m.Version
	}
	return nil
}

// takeConfigReport keeps what the agent says of its configuration.
func (s *session) takeConfigReport(ctx context.Context, r *sentinelpb.ConfigReport) error {
	if s.reports++; s.reports > maxReports || r.GetVersion() >= 1<<63 {
		return status.Errorf(codes.InvalidArgument, "a session reports on its configuration at most %d times, by versions it was told", maxReports)
	}
	why := ""
	if r.GetApplied() {
		s.config.Store(r.GetVersion())
		s.g.happened(EventConfigApplied, s.agent, fmt.Sprint("version ", r.GetVersion()))
		s.log.Info("agent runs with another configuration", "version", r.GetVersion())
	} else {
		why = cmp.Or(r.GetDetail(), "it gave no reason")
		s.g.happened(EventConfigRefused, s.agent, fmt.Sprintf("version %d: %s", r.GetVersion(), why))
		s.log.Warn("agent does not apply its configuration", "version", r.GetVersion(), "reason", why)
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	if err := s.g.deps.Configs.Reported(ctx, s.agent, r.GetVersion(), why); err != nil {
		s.log.Warn("the report could not be kept", "error", err)
		s.g.joinAgain(s.agent)
	}
	return nil
}

// session returns the agent's session, nil where it has none here.
func (g *Gateway) session(agent sentinel.AgentID) *session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions[agent]
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
	ctx, cancel := context.WithTimeout(ctx, askPatience)
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
	s.g.happened(EventKeyRotated, s.agent, key.ID)
	s.log.Info("agent has a new key", "key", key.ID)
	if !s.offer(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_KeyAccepted{KeyAccepted: &sentinelpb.KeyAccepted{KeyId: key.ID}}}) {
		s.end("the session is too slow to be told of its new key", 0)
	}
}
