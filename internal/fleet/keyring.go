package fleet

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

const (
	keyFresh   = 3 * time.Second // a revoked key is refused after this at the latest
	keyStale   = 24 * time.Hour  // how long known keys serve while the database is out
	maxKeyring = 50_000          // agents held in memory
)

// Keyring finds agents' keys. It keeps them for a few seconds, and through an
// outage of the database for a day, so that agents that are known go on working.
// Safe for concurrent use.
type Keyring struct {
	db    *postgres.DB
	vault *sign.Vault
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex
	agents map[sentinel.AgentID]*ring
}

// ring is what is known of one agent; keys is empty for one that does not exist.
type ring struct {
	id     int64
	keys   map[string]heldKey
	loaded time.Time
}

type heldKey struct {
	key     sign.Key
	expires time.Time
}

// NewKeyring returns an empty keyring.
func NewKeyring(db *postgres.DB, vault *sign.Vault, log *slog.Logger) *Keyring {
	return &Keyring{db: db, vault: vault, log: log, now: time.Now, agents: map[sentinel.AgentID]*ring{}}
}

// Key returns the key; see Lookup.
func (k *Keyring) Key(ctx context.Context, agent sentinel.AgentID, keyID string) (sign.Key, error) {
	_, key, err := k.Lookup(ctx, agent, keyID)
	return key, err
}

// Lookup returns the agent's row and the key with this id. The error is
// Unauthenticated where agent or key do not exist, are disabled, revoked or past
// their grace, and Unavailable where that cannot be known now.
func (k *Keyring) Lookup(ctx context.Context, agent sentinel.AgentID, keyID string) (int64, sign.Key, error) {
	r, err := k.ring(ctx, agent)
	if err != nil {
		return 0, sign.Key{}, err
	}
	held, ok := r.keys[keyID]
	if !ok || (!held.expires.IsZero() && k.now().After(held.expires)) {
		return 0, sign.Key{}, sentinel.Errorf(sentinel.Unauthenticated, "agent %q has no valid key %.64q", agent, keyID)
	}
	return r.id, held.key, nil
}

// ID returns the agent's row, as Lookup does.
func (k *Keyring) ID(ctx context.Context, agent sentinel.AgentID) (int64, error) {
	r, err := k.ring(ctx, agent)
	if err != nil {
		return 0, err
	}
	if r.id == 0 {
		return 0, sentinel.Errorf(sentinel.NotFound, "agent %q is not registered", agent)
	}
	return r.id, nil
}

func (k *Keyring) ring(ctx context.Context, agent sentinel.AgentID) (*ring, error) {
	if agent.Validate() != nil {
		return &ring{}, nil
	}
	k.mu.Lock()
	known := k.agents[agent]
	k.mu.Unlock()
	if known != nil && k.now().Sub(known.loaded) < keyFresh {
		return known, nil
	}
	loaded, err := k.load(ctx, agent)
	if err != nil {
		if known != nil && known.id != 0 && k.now().Sub(known.loaded) < keyStale {
			return known, nil
		}
		return nil, sentinel.Errorf(sentinel.Unavailable, "look up agent %q: %w", agent, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.agents) >= maxKeyring {
		clear(k.agents)
	}
	k.agents[agent] = loaded
	return loaded, nil
}

func (k *Keyring) load(ctx context.Context, agent sentinel.AgentID) (*ring, error) {
	r := &ring{keys: map[string]heldKey{}, loaded: k.now()}
	a, err := k.db.AgentByName(ctx, agent)
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	r.id = a.ID
	if !a.DisabledAt.IsZero() {
		return r, nil
	}
	keys, err := k.db.AgentKeys(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	for _, row := range keys {
		if row.State == postgres.KeyRevoked {
			continue
		}
		key, err := k.vault.Open(agent, row.KeyID, row.Secret)
		if err != nil {
			k.log.Error("a key cannot be opened, its agent cannot connect", "agent", agent, "key", row.KeyID,
				"sealed_under", row.MasterKeyID, "master_key", k.vault.ID(), "error", err)
			continue
		}
		r.keys[row.KeyID] = heldKey{key, row.ExpiresAt}
	}
	return r, nil
}
