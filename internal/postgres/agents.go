package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Agent is one registered agent.
type Agent struct {
	ID         int64 // what the other tables and methods name it by
	Name       sentinel.AgentID
	Hostname   string
	Labels     []sentinel.Label // sorted by name
	Info       AgentInfo
	CreatedAt  time.Time
	LastSeenAt time.Time      // zero: never
	DisabledAt time.Time      // zero: it may speak
	ClockAhead *time.Duration // of the gateway's, at the last report; nil: not known
	Config     AgentConfigState
	Synthetic  bool // no host: the service's own
}

// AgentConfigState is what an agent said of the configurations it was told.
type AgentConfigState struct {
	Applied uint64 // the version it runs with; 0: what its host says alone
	Refused uint64 // the last version that it did not apply; 0: none
	Error   string // why not
}

// SilentAfter is how long after its last heartbeat an agent counts as silent: three
// heartbeats, rounded up.
const SilentAfter = 2 * time.Minute

// AgentState is what an agent is found to be.
type AgentState string

const (
	AgentUp       AgentState = "up"
	AgentSilent   AgentState = "silent" // no report for SilentAfter
	AgentUnseen   AgentState = "never seen"
	AgentDisabled AgentState = "disabled"
)

// State returns what the agent is at this time.
func (a Agent) State(now time.Time) AgentState {
	switch {
	case !a.DisabledAt.IsZero():
		return AgentDisabled
	case a.LastSeenAt.IsZero():
		return AgentUnseen
	case now.Sub(a.LastSeenAt) > SilentAfter:
		return AgentSilent
	}
	return AgentUp
}

// AgentInfo is what an agent says of itself and its host.
type AgentInfo struct{ Version, OS, Arch, Platform string }

const agentColumns = `id, name, hostname, labels, version, os, arch, platform, created_at, last_seen_at, disabled_at, clock_ahead_ms,
	config_version, config_refused, config_error, synthetic`

func scanAgent(row pgx.CollectableRow) (Agent, error) {
	var a Agent
	var labels []byte
	var seen, disabled *time.Time
	var clock *int64
	err := row.Scan(&a.ID, &a.Name, &a.Hostname, &labels, &a.Info.Version, &a.Info.OS, &a.Info.Arch, &a.Info.Platform,
		&a.CreatedAt, &seen, &disabled, &clock, &a.Config.Applied, &a.Config.Refused, &a.Config.Error, &a.Synthetic)
	if err != nil {
		return a, err
	}
	a.LastSeenAt, a.DisabledAt = orZero(seen), orZero(disabled)
	if clock != nil {
		ahead := time.Duration(*clock) * time.Millisecond
		a.ClockAhead = &ahead
	}
	a.Labels, err = parseLabels(labels)
	return a, err
}

// NewAgent is what CreateAgent needs to know.
type NewAgent struct {
	Name     sentinel.AgentID
	Hostname string
	Labels   []sentinel.Label
	Info     AgentInfo
	// Synthetic makes it no host: only what names it finds it.
	Synthetic bool
}

// CreateAgent registers an agent together with its first key: both or neither.
// A name that is taken is a Conflict, never somebody else's agent.
func (db *DB) CreateAgent(ctx context.Context, a NewAgent, key NewKey) (Agent, error) {
	if err := a.Name.Validate(); err != nil {
		return Agent{}, err
	}
	labels, err := labelsJSON(a.Labels)
	if err != nil {
		return Agent{}, err
	}
	var created Agent
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		created, err = insertAgent(ctx, tx, a, labels, key)
		return err
	})
	if err != nil {
		return Agent{}, failed(fmt.Sprintf("create agent %s", a.Name), err)
	}
	return created, nil
}

func insertAgent(ctx context.Context, tx pgx.Tx, a NewAgent, labels string, key NewKey) (Agent, error) {
	rows, err := tx.Query(ctx, `INSERT INTO agents (name, hostname, labels, version, os, arch, platform, synthetic)
		VALUES ($1, $2, $3::text::jsonb, $4, $5, $6, $7, $8) RETURNING `+agentColumns,
		a.Name, a.Hostname, labels, a.Info.Version, a.Info.OS, a.Info.Arch, a.Info.Platform, a.Synthetic)
	if err != nil {
		return Agent{}, err
	}
	created, err := pgx.CollectExactlyOneRow(rows, scanAgent)
	if err != nil {
		return Agent{}, err
	}
	return created, insertKey(ctx, tx, created.ID, key)
}

// Agent returns one agent, or NotFound.
func (db *DB) Agent(ctx context.Context, id int64) (Agent, error) {
	return db.oneAgent(ctx, `SELECT `+agentColumns+` FROM agents WHERE id = $1`, id)
}

// AgentByName returns one agent, or NotFound.
func (db *DB) AgentByName(ctx context.Context, name sentinel.AgentID) (Agent, error) {
	return db.oneAgent(ctx, `SELECT `+agentColumns+` FROM agents WHERE name = $1`, name)
}

func (db *DB) oneAgent(ctx context.Context, sql string, arg any) (Agent, error) {
	rows, err := db.pool.Query(ctx, sql, arg)
	if err != nil {
		return Agent{}, failed("read an agent", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAgent)
	return a, failed("read an agent", err)
}

// AgentFilter selects a page of agents. Zero fields select everything.
type AgentFilter struct {
	Search  string           // part of name or hostname, in any case
	Labels  []sentinel.Label // all of these, with these values
	Without []sentinel.Label // none of these with these values
	State   AgentState
	After   int64 // only ids above this: the last one of the page before
	Limit   int   // agents per page [100], at most 1000
	Enabled bool  // only those that are not disabled
}

// Agents returns a page of agents by ascending id.
func (db *DB) Agents(ctx context.Context, f AgentFilter) ([]Agent, error) {
	labels, err := labelsJSON(f.Labels)
	if err != nil {
		return nil, err
	}
	names, values := make([]string, 0, len(f.Without)), make([]string, 0, len(f.Without))
	for _, l := range f.Without {
		names, values = append(names, l.Name), append(values, l.Value)
	}
	rows, err := db.pool.Query(ctx, `SELECT `+agentColumns+` FROM agents
		WHERE id > $1 AND NOT synthetic
			AND labels @> $2::text::jsonb
			AND ($3 = '' OR strpos(lower(name || ' ' || hostname), lower($3)) > 0)
			AND (NOT $4 OR disabled_at IS NULL)
			AND NOT EXISTS (SELECT FROM unnest($6::text[], $7::text[]) AS w(name, value) WHERE labels ->> w.name = w.value)
			AND ($8 = '' OR $8 = CASE WHEN disabled_at IS NOT NULL THEN 'disabled' WHEN last_seen_at IS NULL THEN 'never seen'
				WHEN last_seen_at < now() - $9::interval THEN 'silent' ELSE 'up' END)
		ORDER BY id LIMIT $5`, f.After, labels, f.Search, f.Enabled, pageSize(f.Limit), names, values, string(f.State), SilentAfter)
	if err != nil {
		return nil, failed("list agents", err)
	}
	agents, err := pgx.CollectRows(rows, scanAgent)
	return agents, failed("list agents", err)
}

// SetAgentDisabled forbids or allows an agent to speak. It is idempotent; the
// time of the first call stays. An unknown agent is NotFound.
func (db *DB) SetAgentDisabled(ctx context.Context, id int64, disabled bool) error {
	return db.change(ctx, "disable an agent", `UPDATE agents
		SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, now()) END WHERE id = $1`, id, disabled)
}

// SetAgentLabels replaces an agent's labels. An unknown agent is NotFound.
func (db *DB) SetAgentLabels(ctx context.Context, id int64, labels []sentinel.Label) error {
	raw, err := labelsJSON(labels)
	if err != nil {
		return err
	}
	return db.change(ctx, "label an agent", `UPDATE agents SET labels = $2::text::jsonb WHERE id = $1`, id, raw)
}

// change runs a statement that must change a row, and answers NotFound when it
// does not.
func (db *DB) change(ctx context.Context, doing, sql string, args ...any) error {
	tag, err := db.pool.Exec(ctx, sql, args...)
	if err != nil {
		return failed(doing, err)
	}
	if tag.RowsAffected() == 0 {
		return sentinel.Errorf(sentinel.NotFound, "%s: no such row", doing)
	}
	return nil
}

// pageSize bounds what a caller asks for.
func pageSize(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
