package server

import (
	"context"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// configs joins the gateway to what agents are told to collect.
type configs struct{ db *postgres.DB }

// Wanted implements ingest.Configs.
func (c configs) Wanted(ctx context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID]ingest.AgentConfig, error) {
	rows, err := c.db.WantedConfigs(ctx, agents)
	if err != nil {
		return nil, err
	}
	out := make(map[sentinel.AgentID]ingest.AgentConfig, len(rows))
	for agent, row := range rows {
		out[agent] = ingest.AgentConfig{Version: row.Version, Content: row.Content, Applied: row.Applied}
	}
	return out, nil
}

// Reported implements ingest.Configs.
func (c configs) Reported(ctx context.Context, agent sentinel.AgentID, version uint64, why string) error {
	return c.db.ReportConfig(ctx, agent, version, why)
}

// checkConfig says why no agent could take this YAML as what it is told to collect.
func checkConfig(text []byte) error {
	return config.Decode("content", text, new(collector.Overlay))
}
