package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// KeyState is where a key stands in its life; it only moves forward.
type KeyState string

const (
	KeyPending  KeyState = "pending"  // made, not yet proven by the agent
	KeyActive   KeyState = "active"   // what the agent signs with
	KeyRetiring KeyState = "retiring" // still accepted until ExpiresAt
	KeyRevoked  KeyState = "revoked"  // refused
)

// NewKey is a key to be kept. Secret is sealed by the caller: this package
// never sees a secret in clear.
type NewKey struct {
	KeyID       string
	Secret      []byte
	MasterKeyID string // which master key sealed it
	State       KeyState
}

// AgentKey is a kept key, still sealed.
type AgentKey struct {
	NewKey
	Agent       int64
	CreatedAt   time.Time
	ActivatedAt time.Time // zero: pending, or revoked while it was
	ExpiresAt   time.Time // zero: none
}

func insertKey(ctx context.Context, tx pgx.Tx, agent int64, k NewKey) error {
	_, err := tx.Exec(ctx, `INSERT INTO agent_keys (agent_id, key_id, secret, master_key_id, state, activated_at)
		VALUES ($1, $2, $3, $4, $5, CASE WHEN $5 <> 'pending' THEN now() END)`, agent, k.KeyID, k.Secret, k.MasterKeyID, k.State)
	return err
}

// RequestKey keeps a pending key and returns the agent's pending key: this one, or
// the one that waits already. An agent without an active key, which nothing can be
// handed to, is a Conflict; an unknown one NotFound.
func (db *DB) RequestKey(ctx context.Context, by Entry, agent int64, k NewKey) (AgentKey, error) {
	var pending AgentKey
	err := db.audited(ctx, "request a key", &by, func(tx pgx.Tx) error {
		var active bool
		// The agent's row is the lock that orders what happens to its keys.
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM agent_keys WHERE agent_id = a.id AND state = 'active')
			FROM agents a WHERE id = $1 FOR UPDATE`, agent).Scan(&active); err != nil {
			return err
		}
		if !active {
			return sentinel.Errorf(sentinel.Conflict, "the agent has no active key to replace: it must enrol again")
		}
		keys, err := keysOf(ctx, tx, `WHERE agent_id = $1 AND state = 'pending'`, agent)
		if err != nil {
			return err
		}
		if len(keys) == 1 {
			pending = keys[0]
			return nil
		}
		k.State = KeyPending
		pending = AgentKey{NewKey: k, Agent: agent}
		return insertKey(ctx, tx, agent, k)
	})
	return pending, err
}

func keysOf(ctx context.Context, q querier, where string, args ...any) ([]AgentKey, error) {
	rows, err := q.Query(ctx, `SELECT agent_id, key_id, secret, master_key_id, state, created_at, activated_at, expires_at
		FROM agent_keys `+where+` ORDER BY created_at, key_id`, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (AgentKey, error) {
		var k AgentKey
		var activated, expires *time.Time
		err := row.Scan(&k.Agent, &k.KeyID, &k.Secret, &k.MasterKeyID, &k.State, &k.CreatedAt, &activated, &expires)
		k.ActivatedAt, k.ExpiresAt = orZero(activated), orZero(expires)
		return k, err
	})
}

// AgentKeys returns all keys of an agent, oldest first, revoked ones included;
// none for an unknown agent.
func (db *DB) AgentKeys(ctx context.Context, agent int64) ([]AgentKey, error) {
	keys, err := keysOf(ctx, db.pool, `WHERE agent_id = $1`, agent)
	return keys, failed("read keys", err)
}

// PendingKeys returns the pending keys of these agents, by the agents' names; for
// those that have none there is no entry.
func (db *DB) PendingKeys(ctx context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID]AgentKey, error) {
	rows, err := db.pool.Query(ctx, `SELECT a.name, k.agent_id, k.key_id, k.secret, k.master_key_id
		FROM agent_keys k JOIN agents a ON a.id = k.agent_id
		WHERE k.state = 'pending' AND a.disabled_at IS NULL AND a.name = ANY($1)`, agents)
	if err != nil {
		return nil, failed("read pending keys", err)
	}
	out := map[sentinel.AgentID]AgentKey{}
	var name sentinel.AgentID
	k := AgentKey{NewKey: NewKey{State: KeyPending}}
	_, err = pgx.ForEachRow(rows, []any{&name, &k.Agent, &k.KeyID, &k.Secret, &k.MasterKeyID}, func() error {
		out[name] = k
		k.Secret = nil // the next row's gets its own bytes
		return nil
	})
	return out, failed("read pending keys", err)
}

// AgentsWithOldKeys returns up to limit agents whose active key was activated
// before, that may speak, and that have no pending key.
func (db *DB) AgentsWithOldKeys(ctx context.Context, before time.Time, limit int) (map[sentinel.AgentID]int64, error) {
	rows, err := db.pool.Query(ctx, `SELECT a.name, a.id FROM agent_keys k JOIN agents a ON a.id = k.agent_id
		WHERE k.state = 'active' AND k.activated_at < $1 AND a.disabled_at IS NULL AND NOT a.synthetic
			AND NOT EXISTS (SELECT 1 FROM agent_keys p WHERE p.agent_id = a.id AND p.state = 'pending')
		ORDER BY k.activated_at LIMIT $2`, before, limit)
	if err != nil {
		return nil, failed("find old keys", err)
	}
	out := map[sentinel.AgentID]int64{}
	var name sentinel.AgentID
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&name, &id}, func() error { out[name] = id; return nil })
	return out, failed("find old keys", err)
}

// RevokeExpiredKeys marks the keys as revoked whose grace ended before, and returns
// how many there were. They have been refused since it ended.
func (db *DB) RevokeExpiredKeys(ctx context.Context, before time.Time) (int, error) {
	tag, err := db.pool.Exec(ctx, `UPDATE agent_keys SET state = 'revoked' WHERE state = 'retiring' AND expires_at < $1`, before)
	return int(tag.RowsAffected()), failed("revoke expired keys", err)
}

// NamedKey is a key with its agent's name.
type NamedKey struct {
	AgentKey
	AgentName sentinel.AgentID
}

// KeysNotUnder returns up to limit keys that are sealed under another master key
// than this, revoked ones included.
func (db *DB) KeysNotUnder(ctx context.Context, masterKeyID string, limit int) ([]NamedKey, error) {
	rows, err := db.pool.Query(ctx, `SELECT a.name, k.agent_id, k.key_id, k.secret, k.master_key_id, k.state
		FROM agent_keys k JOIN agents a ON a.id = k.agent_id WHERE k.master_key_id <> $1 ORDER BY k.agent_id, k.key_id LIMIT $2`, masterKeyID, limit)
	if err != nil {
		return nil, failed("find keys to seal anew", err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (NamedKey, error) {
		var k NamedKey
		err := row.Scan(&k.AgentName, &k.Agent, &k.KeyID, &k.Secret, &k.MasterKeyID, &k.State)
		return k, err
	})
	return keys, failed("find keys to seal anew", err)
}

// ResealKey replaces the sealed form of a key's secret, unless it has been replaced
// since it was read.
func (db *DB) ResealKey(ctx context.Context, k AgentKey, secret []byte, masterKeyID string) error {
	_, err := db.pool.Exec(ctx, `UPDATE agent_keys SET secret = $4, master_key_id = $5
		WHERE agent_id = $1 AND key_id = $2 AND secret = $3`, k.Agent, k.KeyID, k.Secret, secret, masterKeyID)
	return failed("seal a key anew", err)
}

// ActivateKey makes a pending key the active one and lets the keys that were
// active retire until graceEnds, in one transaction. It is idempotent. A key
// that does not exist, or that is on its way out, is NotFound.
func (db *DB) ActivateKey(ctx context.Context, agent int64, keyID string, graceEnds time.Time) error {
	return failed("activate a key", pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var state KeyState
		if _, err := tx.Exec(ctx, `SELECT 1 FROM agents WHERE id = $1 FOR UPDATE`, agent); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT state FROM agent_keys WHERE agent_id = $1 AND key_id = $2 AND state IN ('pending', 'active')`,
			agent, keyID).Scan(&state); err != nil || state == KeyActive {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE agent_keys SET state = 'retiring', expires_at = $2
			WHERE agent_id = $1 AND state = 'active'`, agent, graceEnds); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE agent_keys SET state = 'active', activated_at = now() WHERE agent_id = $1 AND key_id = $2`, agent, keyID)
		return err
	}))
}

// RevokeKey makes a key refused from now on. It is idempotent; an unknown key is
// NotFound.
func (db *DB) RevokeKey(ctx context.Context, by Entry, agent int64, keyID string) error {
	return db.changeBy(ctx, "revoke a key", by, `UPDATE agent_keys SET state = 'revoked' WHERE agent_id = $1 AND key_id = $2`, agent, keyID)
}

// FleetVersion returns a number that moves with every committed change to a key,
// and when an agent is disabled, enabled or removed. Keys that are read after it
// are at least as new as it says.
func (db *DB) FleetVersion(ctx context.Context) (int64, error) {
	var v int64
	err := db.pool.QueryRow(ctx, `SELECT version FROM fleet_version`).Scan(&v)
	return v, failed("read the fleet's version", err)
}
