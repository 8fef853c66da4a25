package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// AgentConfig is what agents with certain labels are told to collect.
type AgentConfig struct {
	ID        int64
	Name      string
	Selector  []sentinel.Label // for the agents that have all of these
	Priority  int              // of those that fit, the highest counts, then the oldest
	Content   string           // YAML
	Version   uint64           // of the content: no other ever has it
	CreatedAt time.Time
	ChangedAt time.Time
}

const configColumns = `id, name, selector, priority, content, version, created_at, changed_at`

func scanConfig(row pgx.CollectableRow) (AgentConfig, error) {
	var c AgentConfig
	var selector []byte
	err := row.Scan(&c.ID, &c.Name, &selector, &c.Priority, &c.Content, &c.Version, &c.CreatedAt, &c.ChangedAt)
	if err != nil {
		return c, err
	}
	c.Selector, err = parseLabels(selector)
	return c, err
}

// AgentConfigs returns all configurations, in the order in which they count.
func (db *DB) AgentConfigs(ctx context.Context) ([]AgentConfig, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+configColumns+` FROM agent_configs ORDER BY priority DESC, id`)
	if err != nil {
		return nil, failed("list agent configurations", err)
	}
	list, err := pgx.CollectRows(rows, scanConfig)
	return list, failed("list agent configurations", err)
}

// PutAgentConfig makes the configuration of this name, or changes it: of c it takes
// name, selector, priority and content. Another content gets another version.
func (db *DB) PutAgentConfig(ctx context.Context, by Entry, c AgentConfig) (AgentConfig, error) {
	selector, err := labelsJSON(c.Selector)
	if err != nil {
		return AgentConfig{}, err
	}
	var kept AgentConfig
	err = db.audited(ctx, "keep an agent configuration", &by, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `INSERT INTO agent_configs (name, selector, priority, content) VALUES ($1, $2::text::jsonb, $3, $4)
			ON CONFLICT (name) DO UPDATE SET selector = excluded.selector, priority = excluded.priority, content = excluded.content, changed_at = now(),
				version = CASE WHEN agent_configs.content = excluded.content THEN agent_configs.version ELSE nextval('agent_config_version') END
			RETURNING `+configColumns, c.Name, selector, c.Priority, c.Content)
		if err != nil {
			return err
		}
		kept, err = pgx.CollectExactlyOneRow(rows, scanConfig)
		by.Details = map[string]any{"version": strconv.FormatUint(kept.Version, 10), "priority": kept.Priority}
		return err
	})
	return kept, err
}

// DeleteAgentConfig removes the configuration of this name, or answers NotFound. Its
// agents go back to what else fits, or to what their hosts say.
func (db *DB) DeleteAgentConfig(ctx context.Context, by Entry, name string) error {
	return db.changeBy(ctx, "delete an agent configuration", by, `DELETE FROM agent_configs WHERE name = $1`, name)
}

// WantedConfig is what an agent is told to collect; version 0 is nothing.
type WantedConfig struct {
	Version uint64
	Content string
	Applied uint64 // the version that it runs with, as far as is known
}

// WantedConfigs returns what each of these agents is told to collect.
func (db *DB) WantedConfigs(ctx context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID]WantedConfig, error) {
	rows, err := db.pool.Query(ctx, `SELECT a.name, coalesce(c.version, 0), coalesce(c.content, ''), a.config_version FROM agents a
		LEFT JOIN LATERAL (
			SELECT version, content FROM agent_configs WHERE a.labels @> selector ORDER BY priority DESC, id LIMIT 1
		) c ON true
		WHERE a.name = ANY($1)`, agents)
	if err != nil {
		return nil, failed("read agent configurations", err)
	}
	out := make(map[sentinel.AgentID]WantedConfig, len(agents))
	var name sentinel.AgentID
	var c WantedConfig
	_, err = pgx.ForEachRow(rows, []any{&name, &c.Version, &c.Content, &c.Applied}, func() error { out[name] = c; return nil })
	return out, failed("read agent configurations", err)
}

// ReportConfig keeps what an agent says of its configuration: the version it runs
// with where why is empty, else the version that it did not apply and why.
func (db *DB) ReportConfig(ctx context.Context, agent sentinel.AgentID, version uint64, why string) error {
	_, err := db.pool.Exec(ctx, `UPDATE agents SET
			config_version = CASE WHEN $3 = '' THEN $2 ELSE config_version END,
			config_refused = CASE WHEN $3 = '' THEN 0 ELSE $2 END, config_error = $3
		WHERE name = $1`, agent, version, printable(why, 1000))
	return failed("note an agent's configuration", err)
}
