package ingest

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

const (
	// PluginChunk is how many bytes of a bundle travel in one message.
	PluginChunk = 128 << 10

	maxPluginStates   = 300 // in one report
	pluginReportRate  = 1   // reports in a second, in the long run
	pluginReportBurst = 20
)

// PluginRef names a bundle that an agent is to run.
type PluginRef struct {
	Name, Version, Digest string
	Size                  int
	Attempt               uint64 // another number asks for another try
}

// PluginState is how a plugin stands on an agent, as it says itself.
type PluginState struct {
	Name, Version, Digest, State, Error string
	Unsigned                            bool
}

// Plugins are what plugins agents are to run.
type Plugins interface {
	// Wanted returns the bundles that each of these agents is to run.
	Wanted(ctx context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID][]PluginRef, error)
	// Chunk returns a part of a bundle, of at most PluginChunk bytes. It is NotFound
	// where there is no such bundle any more.
	Chunk(ctx context.Context, digest string, offset int) ([]byte, error)
	// Reported keeps how all plugins of an agent stand.
	Reported(ctx context.Context, agent sentinel.AgentID, states []PluginState) error
}

// offerPlugins tells agents which plugins they are to run, where that is not what they
// were told in this session.
func (g *Gateway) offerPlugins(ctx context.Context, agents []sentinel.AgentID) error {
	if g.deps.Plugins == nil || len(agents) == 0 {
		return nil
	}
	wanted, err := g.deps.Plugins.Wanted(ctx, agents)
	if err != nil {
		return err
	}
	for _, agent := range agents {
		s := g.session(agent)
		if s == nil {
			continue
		}
		set := &sentinelpb.PluginSet{}
		for _, p := range wanted[agent] {
			set.Plugins = append(set.Plugins, &sentinelpb.PluginRef{Name: p.Name, Version: p.Version, Digest: p.Digest, Size: uint32(p.Size), Attempt: p.Attempt})
		}
		s.key.PluginSet(agent, set)
		if proto.Equal(s.plugins.Load(), set) {
			continue
		}
		before := s.plugins.Swap(set) // before its questions can come
		if !s.offer(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_PluginSet{PluginSet: set}}) {
			s.plugins.Store(before)
			g.joinAgain(agent)
		}
	}
	return nil
}

// takePluginWant answers with a part of a bundle that the agent was told to run.
func (s *session) takePluginWant(ctx context.Context, w *sentinelpb.PluginWant) error {
	known := false
	for _, p := range s.plugins.Load().GetPlugins() {
		known = known || p.GetDigest() == w.GetDigest() && w.GetOffset() < p.GetSize()
	}
	chunk := &sentinelpb.PluginChunk{Digest: w.GetDigest(), Offset: w.GetOffset()}
	if known {
		ctx, cancel := context.WithTimeout(ctx, askPatience)
		defer cancel()
		var err error
		chunk.Data, err = s.g.deps.Plugins.Chunk(ctx, w.GetDigest(), int(w.GetOffset()))
		if err != nil && sentinel.CodeOf(err) != sentinel.NotFound {
			s.log.Warn("a plugin cannot be read now, the agent asks again", "error", err)
			return nil
		}
	}
	s.send(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_PluginChunk{PluginChunk: chunk}})
	return nil
}

// takePluginReport keeps what the agent says of its plugins.
func (s *session) takePluginReport(ctx context.Context, r *sentinelpb.PluginReport) error {
	if len(r.GetPlugins()) > maxPluginStates || !s.pluginSpeed.Allow() {
		return status.Errorf(codes.ResourceExhausted, "an agent reports on at most %d plugins, once in a while", maxPluginStates)
	}
	if s.g.deps.Plugins == nil {
		return nil
	}
	states := make([]PluginState, 0, len(r.GetPlugins()))
	for _, p := range r.GetPlugins() {
		states = append(states, PluginState{p.GetName(), p.GetVersion(), p.GetDigest(), p.GetState(), p.GetError(), p.GetUnsigned()})
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	if err := s.g.deps.Plugins.Reported(ctx, s.agent, states); err != nil {
		s.log.Warn("what an agent says of its plugins could not be kept", "error", err)
	}
	return nil
}
