package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// KeysConfig says how keys change.
type KeysConfig struct {
	// RotateAfter is the age at which an agent's key is replaced; 0 is never.
	RotateAfter time.Duration `yaml:"rotate_after"`
	// Grace is how long the old key is accepted after the new one is proven.
	Grace time.Duration `yaml:"grace"`
}

// DefaultKeysConfig replaces no key by itself.
func DefaultKeysConfig() KeysConfig { return KeysConfig{Grace: time.Hour} }

// Validate says which key is wrong and what is allowed.
func (c KeysConfig) Validate() error {
	switch {
	case c.RotateAfter != 0 && c.RotateAfter < time.Hour:
		return sentinel.Errorf(sentinel.Invalid, "rotate_after: %s, want 1h or more, or 0s for never", c.RotateAfter)
	case c.Grace < time.Minute || c.Grace > 30*24*time.Hour:
		return sentinel.Errorf(sentinel.Invalid, "grace: %s, want 1m to 30d", c.Grace)
	}
	return nil
}

// Rotation replaces agents' keys: a pending key is made, handed over in the
// agent's session, and active once the agent has proven that it holds it; only
// then the old key's grace begins. Every step is in the database, so that any
// process may take the next one and a crash loses none. Safe for concurrent use.
type Rotation struct {
	*Registry
	cfg KeysConfig
	log *slog.Logger
}

// NewRotation returns the rotation of the registry's keys.
func NewRotation(r *Registry, cfg KeysConfig, log *slog.Logger) *Rotation {
	return &Rotation{r, cfg, log}
}

const (
	rotateEvery = time.Minute
	rotateBatch = 500 // agents whose keys are replaced in one pass
)

// Rotate makes a pending key for the agent and returns its id, or that of the one
// that waits already. An agent without an active key is a Conflict.
func (r *Registry) Rotate(ctx context.Context, by postgres.Entry, id int64, agent sentinel.AgentID) (string, error) {
	k, err := r.db.RequestKey(ctx, by, id, r.sealed(agent, sign.NewKey(), postgres.KeyPending))
	if err != nil {
		return "", fmt.Errorf("rotate the key of %s: %w", agent, err)
	}
	return k.KeyID, nil
}

// Version returns a number that moves with every change of a key.
func (r *Rotation) Version(ctx context.Context) (int64, error) { return r.db.FleetVersion(ctx) }

// Pending returns the keys that wait to be handed to these agents.
func (r *Rotation) Pending(ctx context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID]sign.Key, error) {
	rows, err := r.db.PendingKeys(ctx, agents)
	if err != nil {
		return nil, err
	}
	out := make(map[sentinel.AgentID]sign.Key, len(rows))
	for agent, row := range rows {
		key, err := r.vault.Open(agent, row.KeyID, row.Secret)
		if err != nil {
			r.log.Error("a pending key cannot be opened, it is not handed over", "agent", agent, "key", row.KeyID, "error", err)
			continue
		}
		out[agent] = key
	}
	return out, nil
}

// Activate makes a proven key the active one; it is idempotent. The keys before it
// are accepted for the time of grace.
func (r *Rotation) Activate(ctx context.Context, agent sentinel.AgentID, keyID string) error {
	a, err := r.db.AgentByName(ctx, agent)
	if err != nil {
		return err
	}
	return r.db.ActivateKey(ctx, a.ID, keyID, time.Now().Add(r.cfg.Grace))
}

// Run replaces keys that are due and marks expired ones, until ctx ends; then it
// returns nil. Any number of processes may do so.
func (r *Rotation) Run(ctx context.Context) error {
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for {
		if err := r.pass(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("keys could not be rotated, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r *Rotation) pass(ctx context.Context) error {
	// The margin lets workers finish what was received before the grace ended.
	revoked, err := r.db.RevokeExpiredKeys(ctx, time.Now().Add(-revokeMargin))
	if err != nil {
		return err
	}
	if revoked > 0 {
		r.log.Info("keys have reached the end of their grace", "keys", revoked)
	}
	if r.cfg.RotateAfter == 0 {
		return nil
	}
	due, err := r.db.AgentsWithOldKeys(ctx, time.Now().Add(-r.cfg.RotateAfter), rotateBatch)
	if err != nil {
		return err
	}
	for agent, id := range due {
		by := postgres.Entry{Actor: postgres.Actor{Kind: postgres.ActorConsole, Name: "schedule"}, Action: "key.rotate", Target: string(agent)}
		if _, err := r.Rotate(ctx, by, id, agent); err != nil && sentinel.CodeOf(err) != sentinel.Conflict && sentinel.CodeOf(err) != sentinel.NotFound {
			return err
		}
	}
	if len(due) > 0 {
		r.log.Info("keys are due and will be replaced", "agents", len(due))
	}
	return nil
}

// revokeMargin is how long an expired key is still known: batches that came in
// before its grace ended may wait for the database that long and are verified
// against the time at which they came in.
const revokeMargin = 7 * 24 * time.Hour

// Reseal seals every secret that is sealed under an older master key under the one
// that seals now, and returns how many there were. It is idempotent and may be
// interrupted: all master keys of the vault open what there is meanwhile. progress,
// where set, is told now and then how many are done.
func (r *Registry) Reseal(ctx context.Context, progress func(done int)) (int, error) {
	done := 0
	for {
		rows, err := r.db.KeysNotUnder(ctx, r.vault.ID(), resealBatch)
		if err != nil || len(rows) == 0 {
			return done, err
		}
		for _, row := range rows {
			key, err := r.vault.Open(row.AgentName, row.KeyID, row.Secret)
			if err != nil {
				return done, sentinel.Errorf(sentinel.Invalid, "key %s of agent %s is sealed under master key %s, which the master key file lacks", row.KeyID, row.AgentName, row.MasterKeyID)
			}
			if err := r.db.ResealKey(ctx, row.AgentKey, r.vault.Seal(row.AgentName, key), r.vault.ID()); err != nil {
				return done, err
			}
			done++
		}
		if progress != nil {
			progress(done)
		}
	}
}

const resealBatch = 500
