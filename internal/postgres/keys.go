package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
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
	Agent     int64
	CreatedAt time.Time
	ExpiresAt time.Time // zero: none
}

func insertKey(ctx context.Context, tx pgx.Tx, agent int64, k NewKey) error {
	_, err := tx.Exec(ctx, `INSERT INTO agent_keys (agent_id, key_id, secret, master_key_id, state)
		VALUES ($1, $2, $3, $4, $5)`, agent, k.KeyID, k.Secret, k.MasterKeyID, k.State)
	return err
}

// AddKey keeps another key of an agent. A key id that the agent has already is a
// Conflict, an unknown agent NotFound.
func (db *DB) AddKey(ctx context.Context, agent int64, k NewKey) error {
	return failed("add a key", pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error { return insertKey(ctx, tx, agent, k) }))
}

// AgentKeys returns all keys of an agent, oldest first, revoked ones included;
// none for an unknown agent.
func (db *DB) AgentKeys(ctx context.Context, agent int64) ([]AgentKey, error) {
	rows, err := db.pool.Query(ctx, `SELECT agent_id, key_id, secret, master_key_id, state, created_at, expires_at
		FROM agent_keys WHERE agent_id = $1 ORDER BY created_at, key_id`, agent)
	if err != nil {
		return nil, failed("read keys", err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (AgentKey, error) {
		var k AgentKey
		var expires *time.Time
		err := row.Scan(&k.Agent, &k.KeyID, &k.Secret, &k.MasterKeyID, &k.State, &k.CreatedAt, &expires)
		k.ExpiresAt = orZero(expires)
		return k, err
	})
	return keys, failed("read keys", err)
}

// ActivateKey makes a pending key the active one and lets the keys that were
// active retire until graceEnds, in one transaction. It is idempotent. A key
// that does not exist, or that is on its way out, is NotFound.
func (db *DB) ActivateKey(ctx context.Context, agent int64, keyID string, graceEnds time.Time) error {
	return failed("activate a key", pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var state KeyState
		if err := tx.QueryRow(ctx, `SELECT state FROM agent_keys WHERE agent_id = $1 AND key_id = $2 AND state IN ('pending', 'active')
			FOR UPDATE`, agent, keyID).Scan(&state); err != nil || state == KeyActive {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE agent_keys SET state = 'retiring', expires_at = $2
			WHERE agent_id = $1 AND state = 'active'`, agent, graceEnds); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE agent_keys SET state = 'active' WHERE agent_id = $1 AND key_id = $2`, agent, keyID)
		return err
	}))
}

// RevokeKey makes a key refused from now on. It is idempotent; an unknown key is
// NotFound.
func (db *DB) RevokeKey(ctx context.Context, agent int64, keyID string) error {
	return db.change(ctx, "revoke a key", `UPDATE agent_keys SET state = 'revoked' WHERE agent_id = $1 AND key_id = $2`, agent, keyID)
}

// FleetVersion returns a number that moves with every committed change to a key,
// and when an agent is disabled, enabled or removed. Keys that are read after it
// are at least as new as it says.
func (db *DB) FleetVersion(ctx context.Context) (int64, error) {
	var v int64
	err := db.pool.QueryRow(ctx, `SELECT version FROM fleet_version`).Scan(&v)
	return v, failed("read the fleet's version", err)
}
