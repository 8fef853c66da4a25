package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// PluginBundle is a bundle that somebody has uploaded. Its content never changes.
type PluginBundle struct {
	ID        int64
	Name      string
	Version   string
	Digest    string // of what is signed
	Signer    string
	Manifest  string // YAML
	Size      int    // bytes
	CreatedAt time.Time
}

// AddPlugin keeps a bundle. The same content again takes its place, whoever signed it; another one of the same
// name and version is a Conflict.
func (db *DB) AddPlugin(ctx context.Context, by Entry, b PluginBundle, content []byte) (PluginBundle, error) {
	err := db.audited(ctx, "keep a plugin", &by, func(tx pgx.Tx) error {
		by.Details = map[string]any{"version": b.Version, "digest": b.Digest, "signer": b.Signer}
		err := tx.QueryRow(ctx, `INSERT INTO plugin_bundles (name, version, digest, signer, manifest, content) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (name, version) DO UPDATE SET signer = excluded.signer, content = excluded.content WHERE plugin_bundles.digest = excluded.digest
			RETURNING id, length(content), created_at`, b.Name, b.Version, b.Digest, b.Signer, b.Manifest, content).Scan(&b.ID, &b.Size, &b.CreatedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return sentinel.Errorf(sentinel.Conflict, "version %s of %s is there with another content: publish this one under a higher number", b.Version, b.Name)
		}
		return err
	})
	return b, err
}

// Rollout is which agents are to run a plugin, and how far that has come.
type Rollout struct {
	Name      string
	Version   string
	Digest    string
	Previous  string // version that those run whose turn has not come; empty for none
	Selector  []sentinel.Label
	Stages    []int32       // percent of the agents, rising, the last is 100
	Stage     int           // its place in Stages, from 1 on
	Hold      time.Duration // that a stage lasts at the least
	Halted    string        // why it goes no further; empty where it does
	ChangedAt time.Time
	PluginCounts
}

// PluginCounts are agents, of those that have the roll-out's labels.
type PluginCounts struct {
	Agents  int // all of them
	Running int // run this version
	Failed  int // say that they do not
	Waiting int // have their turn and have not said anything yet
}

// PutRollout says which agents are to run a version of a plugin, from the first stage on.
// What another version reached before its agents keep until their turn comes.
func (db *DB) PutRollout(ctx context.Context, by Entry, r Rollout) error {
	selector, err := labelsJSON(r.Selector)
	if err != nil {
		return err
	}
	return db.audited(ctx, "roll a plugin out", &by, func(tx pgx.Tx) error {
		by.Details = map[string]any{"version": r.Version, "stages": fmt.Sprint(r.Stages)}
		tag, err := tx.Exec(ctx, `INSERT INTO plugin_rollouts (name, bundle_id, selector, stages, hold_seconds)
			SELECT name, id, $3::text::jsonb, $4, $5 FROM plugin_bundles WHERE name = $1 AND version = $2
			ON CONFLICT (name) DO UPDATE SET selector = excluded.selector, stages = excluded.stages, hold_seconds = excluded.hold_seconds, halted = '',
				previous_id = CASE WHEN plugin_rollouts.bundle_id = excluded.bundle_id THEN plugin_rollouts.previous_id ELSE plugin_rollouts.bundle_id END,
				bundle_id = excluded.bundle_id, stage = 1, stage_at = now(), changed_at = now()`,
			r.Name, r.Version, selector, r.Stages, int(r.Hold.Seconds()))
		if err == nil && tag.RowsAffected() == 0 {
			err = sentinel.Errorf(sentinel.NotFound, "there is no version %s of the plugin %s", r.Version, r.Name)
		}
		if err == nil { // what an agent said of it in an earlier attempt does not count
			_, err = tx.Exec(ctx, `DELETE FROM plugin_reports WHERE name = $1 AND state <> 'running'`, r.Name)
		}
		return err
	})
}

// rolloutCounts joins agents, by what they last said, to each roll-out r of a bundle b.
const rolloutCounts = `LEFT JOIN LATERAL (
		SELECT count(*) AS agents, count(*) FILTER (WHERE p.state = 'running') AS running, count(*) FILTER (WHERE p.state <> 'running') AS failed,
			count(*) FILTER (WHERE p.state IS NULL AND plugin_turn(a.name, r.name) < r.stages[r.stage] AND a.last_seen_at > now() - interval '2 minutes') AS waiting,
			min(a.name || ': ' || p.error) FILTER (WHERE p.state <> 'running') AS example
		FROM agents a LEFT JOIN plugin_reports p ON p.agent_id = a.id AND p.name = r.name AND p.digest = b.digest
		WHERE a.disabled_at IS NULL AND NOT a.synthetic AND a.labels @> r.selector
	) c ON true`

// Rollouts returns all roll-outs, by name.
func (db *DB) Rollouts(ctx context.Context) ([]Rollout, error) {
	rows, err := db.pool.Query(ctx, `SELECT r.name, b.version, b.digest, coalesce(o.version, ''), r.selector, r.stages, r.stage, r.hold_seconds, r.halted, r.changed_at,
			c.agents, c.running, c.failed, c.waiting
		FROM plugin_rollouts r JOIN plugin_bundles b ON b.id = r.bundle_id LEFT JOIN plugin_bundles o ON o.id = r.previous_id `+rolloutCounts+` ORDER BY r.name`)
	if err != nil {
		return nil, failed("list plugins", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Rollout, error) {
		var r Rollout
		var selector []byte
		var hold int
		err := row.Scan(&r.Name, &r.Version, &r.Digest, &r.Previous, &selector, &r.Stages, &r.Stage, &hold, &r.Halted, &r.ChangedAt, &r.Agents, &r.Running, &r.Failed, &r.Waiting)
		r.Hold = time.Duration(hold) * time.Second
		if err == nil {
			r.Selector, err = parseLabels(selector)
		}
		return r, err
	})
	return list, failed("list plugins", err)
}

// AdvanceRollouts takes each roll-out to its next stage where all agents of this one run
// it, and halts it where more than a tenth of those that answered do not. Any number of
// callers may do so at once.
func (db *DB) AdvanceRollouts(ctx context.Context) error {
	_, err := db.pool.Exec(ctx, `WITH due AS (
			SELECT r.name, c.running, c.failed, c.waiting, c.example FROM plugin_rollouts r JOIN plugin_bundles b ON b.id = r.bundle_id `+rolloutCounts+`
			WHERE r.halted = '' AND r.stage < cardinality(r.stages)
		)
		UPDATE plugin_rollouts r SET
			halted = CASE WHEN due.failed * 10 > due.running + due.failed
				THEN left(format('%s of %s agents do not run it; %s', due.failed, due.running + due.failed, due.example), 1000) ELSE '' END,
			stage = CASE WHEN due.failed * 10 > due.running + due.failed THEN r.stage ELSE r.stage + 1 END,
			stage_at = now()
		FROM due
		WHERE r.name = due.name AND r.halted = '' AND r.stage < cardinality(r.stages)
			AND (due.failed * 10 > due.running + due.failed OR due.waiting = 0 AND r.stage_at + make_interval(secs => r.hold_seconds) <= now())`)
	return failed("go on with roll-outs", err)
}

// DeletePlugin removes a plugin with all its versions, or answers NotFound. Its agents
// remove it too.
func (db *DB) DeletePlugin(ctx context.Context, by Entry, name string) error {
	return db.audited(ctx, "delete a plugin", &by, func(tx pgx.Tx) error {
		for _, sql := range []string{`DELETE FROM plugin_rollouts WHERE name = $1`, `DELETE FROM plugin_reports WHERE name = $1`} {
			if _, err := tx.Exec(ctx, sql, name); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, `DELETE FROM plugin_bundles WHERE name = $1`, name)
		if err == nil && tag.RowsAffected() == 0 {
			err = sentinel.Errorf(sentinel.NotFound, "no such row")
		}
		return err
	})
}

// Plugins returns all bundles, by name, the newest upload first.
func (db *DB) Plugins(ctx context.Context) ([]PluginBundle, error) {
	rows, err := db.pool.Query(ctx, `SELECT id, name, version, digest, signer, manifest, length(content), created_at FROM plugin_bundles ORDER BY name, id DESC`)
	if err != nil {
		return nil, failed("list bundles", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PluginBundle])
	return list, failed("list bundles", err)
}

// WantedPlugin is a bundle that an agent is to run.
type WantedPlugin struct {
	PluginBundle
	Attempt uint64 // another one with each roll-out
}

// WantedPlugins returns the bundles that each of these agents is to run.
func (db *DB) WantedPlugins(ctx context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID][]WantedPlugin, error) {
	rows, err := db.pool.Query(ctx, `SELECT a.name, b.name, b.version, b.digest, length(b.content), (extract(epoch FROM r.changed_at) * 1000)::int8 FROM agents a
		JOIN plugin_rollouts r ON a.labels @> r.selector
		JOIN plugin_bundles b ON b.id = CASE WHEN plugin_turn(a.name, r.name) < r.stages[r.stage] THEN r.bundle_id ELSE r.previous_id END
		WHERE a.name = ANY($1) ORDER BY a.name, b.name`, agents)
	if err != nil {
		return nil, failed("read plugins of agents", err)
	}
	out := make(map[sentinel.AgentID][]WantedPlugin, len(agents))
	var agent sentinel.AgentID
	var b WantedPlugin
	_, err = pgx.ForEachRow(rows, []any{&agent, &b.Name, &b.Version, &b.Digest, &b.Size, &b.Attempt}, func() error { out[agent] = append(out[agent], b); return nil })
	return out, failed("read plugins of agents", err)
}

// PluginChunk returns up to n bytes of the bundle with this digest, from offset on. It is
// NotFound where there is none.
func (db *DB) PluginChunk(ctx context.Context, digest string, offset, n int) ([]byte, error) {
	var chunk []byte
	err := db.pool.QueryRow(ctx, `SELECT substring(content FROM $2 FOR $3) FROM plugin_bundles WHERE digest = $1`, digest, offset+1, n).Scan(&chunk)
	return chunk, failed("read a bundle", err)
}

// PluginState is how a plugin stands on an agent.
type PluginState struct {
	Agent      sentinel.AgentID
	Name       string
	Version    string
	Digest     string
	State      string
	Error      string
	Unsigned   bool
	ReportedAt time.Time
}

// ReportPlugins keeps what an agent says of all its plugins. What it said before is gone.
func (db *DB) ReportPlugins(ctx context.Context, agent sentinel.AgentID, states []PluginState) error {
	return failed("keep what an agent says of its plugins", pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var id int64
		if err := tx.QueryRow(ctx, `SELECT id FROM agents WHERE name = $1 FOR UPDATE`, agent).Scan(&id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM plugin_reports WHERE agent_id = $1`, id); err != nil {
			return err
		}
		for _, s := range states {
			_, err := tx.Exec(ctx, `INSERT INTO plugin_reports (agent_id, name, version, digest, state, error, unsigned) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT DO NOTHING`, id, printable(s.Name, 64), printable(s.Version, 64), printable(s.Digest, 64), printable(s.State, 32), printable(s.Error, 500), s.Unsigned)
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// PluginStates returns how a plugin stands on each agent, or all plugins where name is
// empty; those that do not run first.
func (db *DB) PluginStates(ctx context.Context, name string) ([]PluginState, error) {
	rows, err := db.pool.Query(ctx, `SELECT a.name, p.name, p.version, p.digest, p.state, p.error, p.unsigned, p.reported_at
		FROM plugin_reports p JOIN agents a ON a.id = p.agent_id WHERE $1 = '' OR p.name = $1
		ORDER BY p.state = 'running', p.name, a.name LIMIT 10000`, name)
	if err != nil {
		return nil, failed("read how plugins stand", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PluginState])
	return list, failed("read how plugins stand", err)
}
