package server

import (
	"context"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// plugins joins the gateway to what plugins agents are to run.
type plugins struct{ db *postgres.DB }

// Wanted implements ingest.Plugins.
func (p plugins) Wanted(ctx context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID][]ingest.PluginRef, error) {
	rows, err := p.db.WantedPlugins(ctx, agents)
	if err != nil {
		return nil, err
	}
	out := make(map[sentinel.AgentID][]ingest.PluginRef, len(rows))
	for agent, list := range rows {
		for _, b := range list {
			out[agent] = append(out[agent], ingest.PluginRef{Name: b.Name, Version: b.Version, Digest: b.Digest, Size: b.Size, Attempt: b.Attempt})
		}
	}
	return out, nil
}

// Chunk implements ingest.Plugins.
func (p plugins) Chunk(ctx context.Context, digest string, offset int) ([]byte, error) {
	return p.db.PluginChunk(ctx, digest, offset, ingest.PluginChunk)
}

// Reported implements ingest.Plugins.
func (p plugins) Reported(ctx context.Context, agent sentinel.AgentID, states []ingest.PluginState) error {
	rows := make([]postgres.PluginState, len(states))
	for i, s := range states {
		rows[i] = postgres.PluginState{Name: s.Name, Version: s.Version, Digest: s.Digest, State: s.State, Error: s.Error, Unsigned: s.Unsigned}
	}
	return p.db.ReportPlugins(ctx, agent, rows)
}

// readPlugin says what an uploaded bundle is, or why agents could not take it: it must
// be signed, by whomever. Whom to trust is up to them.
func readPlugin(raw []byte) (out api.Bundle, err error) {
	b, err := plugin.DecodeBundle(raw)
	if err != nil {
		return out, err
	}
	if !b.Signed() {
		return out, sentinel.Errorf(sentinel.Invalid, "nobody has signed the bundle; `sentinelctl plugin sign` does")
	}
	signer := plugin.PublicKey(b.Key)
	if err := b.Verify([]plugin.PublicKey{signer}); err != nil {
		return out, sentinel.Errorf(sentinel.Invalid, "%w", err)
	}
	m, err := plugin.ParseManifest(b.RawManifest)
	if err != nil {
		return out, err
	}
	s, err := plugin.CheckModule(b.Module, m.MemoryMiB)
	if err == nil {
		err = s.Check(m.Capabilities)
	}
	if err != nil {
		return out, sentinel.Errorf(sentinel.Invalid, "%w", err)
	}
	return api.Bundle{Name: m.Name, Version: m.Version, Digest: b.Digest(), Signer: signer.String(), Manifest: string(b.RawManifest)}, nil
}
