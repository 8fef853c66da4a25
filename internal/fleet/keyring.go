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
	keyFresh     = 2 * time.Second // a revoked key is refused after this and versionFresh at the latest
	versionFresh = time.Second
	keyStale     = 24 * time.Hour // how long known keys serve while the database is out
	maxKeyring   = 50_000         // agents held in memory
	maxUnknown   = 10_000         // names held in memory that belong to no agent
)

// Keyring finds agents' keys. It keeps them for as long as the database's fleet
// version, which it asks for every few seconds, stays the same, and through an
// outage of the database for a day, so that agents that are known go on working.
// Names that anybody may make up are kept apart, so that they push no agent out.
// Safe for concurrent use.
type Keyring struct {
	db    *postgres.DB
	vault *sign.Vault
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	agents  map[sentinel.AgentID]*ring     // at most maxAgents
	unknown map[sentinel.AgentID]time.Time // when it was looked up; at most maxUnknown

	maxAgents, maxUnknown int

	// One at a time asks for the version, for everybody.
	versionMu sync.Mutex
	version   int64
	failed    error // of the last asking
	versionAt time.Time
}

// ring is what is known of one agent. Only loaded and tried change, under the
// keyring's lock.
type ring struct {
	id      int64 // 0 for one that does not exist
	keys    map[string]heldKey
	version int64     // of the fleet, read before the keys
	loaded  time.Time // or found to be unchanged
	tried   time.Time // when loading it anew failed; zero: it did not
}

// heldKey is a key, or that there is one which this process cannot open: it has
// another master key than the process that sealed it.
type heldKey struct {
	key     sign.Key
	sealed  bool
	expires time.Time
}

// NewKeyring returns an empty keyring.
func NewKeyring(db *postgres.DB, vault *sign.Vault, log *slog.Logger) *Keyring {
	return &Keyring{db: db, vault: vault, log: log, now: time.Now, agents: map[sentinel.AgentID]*ring{},
		unknown: map[sentinel.AgentID]time.Time{}, maxAgents: maxKeyring, maxUnknown: maxUnknown}
}

// Key returns the key as it is valid now; see Lookup.
func (k *Keyring) Key(ctx context.Context, agent sentinel.AgentID, keyID string) (sign.Key, error) {
	_, key, err := k.Lookup(ctx, agent, keyID, k.now())
	return key, err
}

// Lookup returns the agent's row and the key with this id. The error is
// Unauthenticated where agent or key do not exist, are disabled or revoked, or
// where the key's grace had ended at the given time, and Unavailable where that
// cannot be known now, for want of the database or of the master key. A key is only said to be unknown after the database was
// asked: one that has just been made is found.
func (k *Keyring) Lookup(ctx context.Context, agent sentinel.AgentID, keyID string, at time.Time) (int64, sign.Key, error) {
	r, err := k.ring(ctx, agent)
	if err != nil {
		return 0, sign.Key{}, err
	}
	held, ok := r.keys[keyID]
	if !ok && r.id != 0 {
		if r, err = k.again(ctx, agent, r); err != nil {
			return 0, sign.Key{}, err
		}
		held, ok = r.keys[keyID]
	}
	if !ok || (!held.expires.IsZero() && at.After(held.expires)) {
		return 0, sign.Key{}, sentinel.Errorf(sentinel.Unauthenticated, "agent %q has no valid key %.64q", agent, keyID)
	}
	if held.sealed {
		return 0, sign.Key{}, sentinel.Errorf(sentinel.Unavailable, "the key %.64q of agent %q is sealed under another master key", keyID, agent)
	}
	return r.id, held.key, nil
}

// again returns what is known of an agent, read anew where the fleet has changed
// since it was read.
func (k *Keyring) again(ctx context.Context, agent sentinel.AgentID, known *ring) (*ring, error) {
	version, err := k.db.FleetVersion(ctx)
	if err == nil && version == known.version {
		return known, nil
	}
	var loaded *ring
	if err == nil {
		loaded, err = k.load(ctx, agent)
	}
	if err != nil {
		return nil, sentinel.Errorf(sentinel.Unavailable, "look up agent %q: %w", agent, err)
	}
	loaded.version = version
	k.keep(agent, loaded)
	return loaded, nil
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
	now := k.now()
	known, fresh := k.recall(agent, now)
	if fresh {
		return known, nil
	}
	version, err := k.fleetVersion(ctx)
	if err == nil && known != nil && known.version == version {
		k.mu.Lock()
		known.loaded, known.tried = now, time.Time{}
		k.mu.Unlock()
		return known, nil
	}
	var loaded *ring
	if err == nil {
		loaded, err = k.load(ctx, agent)
	}
	if err == nil {
		loaded.version = version
		k.keep(agent, loaded)
		return loaded, nil
	}
	if k.serves(ctx, known, now) {
		return known, nil
	}
	return nil, sentinel.Errorf(sentinel.Unavailable, "look up agent %q: %w", agent, err)
}

// serves reports whether what is known of an agent has to do, because the
// database does not answer.
func (k *Keyring) serves(ctx context.Context, known *ring, now time.Time) bool {
	if known == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(known.loaded) >= keyStale {
		return false
	}
	// While the database is out each try may take seconds: one now and then is
	// enough, but not one that a caller gave up itself.
	if ctx.Err() == nil {
		known.tried = k.now()
	}
	return true
}

// fleetVersion returns the fleet's version as it was a moment ago at the most.
func (k *Keyring) fleetVersion(ctx context.Context) (int64, error) {
	k.versionMu.Lock()
	defer k.versionMu.Unlock()
	now := k.now()
	if age := now.Sub(k.versionAt); age >= 0 && age < versionFresh && !k.versionAt.IsZero() {
		return k.version, k.failed
	}
	v, err := k.db.FleetVersion(ctx)
	if err != nil && ctx.Err() != nil {
		return 0, err // the caller gave up: that says nothing to the others
	}
	k.version, k.failed, k.versionAt = v, err, k.now()
	return v, err
}

// recall returns what is known of an agent, and whether it is to be believed
// without asking the database.
func (k *Keyring) recall(agent sentinel.AgentID, now time.Time) (r *ring, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if at, ok := k.unknown[agent]; ok && now.Sub(at) < keyFresh {
		return &ring{}, true
	}
	r = k.agents[agent]
	if r == nil {
		return nil, false
	}
	waiting := !r.tried.IsZero() && now.Sub(r.tried) < keyFresh && now.Sub(r.loaded) < keyStale
	return r, waiting || now.Sub(r.loaded) < keyFresh
}

func (k *Keyring) keep(agent sentinel.AgentID, r *ring) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.id == 0 {
		delete(k.agents, agent)
		if len(k.unknown) >= k.maxUnknown {
			clear(k.unknown)
		}
		k.unknown[agent] = r.loaded
		return
	}
	delete(k.unknown, agent)
	if _, held := k.agents[agent]; !held {
		for other := range k.agents { // any will do: it is looked up again when it speaks
			if len(k.agents) < k.maxAgents {
				break
			}
			delete(k.agents, other)
		}
	}
	k.agents[agent] = r
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
			r.keys[row.KeyID] = heldKey{sealed: true, expires: row.ExpiresAt}
			k.log.Error("a key cannot be opened, its agent has to wait: security.master_key_file lacks the key that sealed it", "agent", agent, "key", row.KeyID,
				"sealed_under", row.MasterKeyID, "master_key", k.vault.ID(), "error", err)
			continue
		}
		r.keys[row.KeyID] = heldKey{key: key, expires: row.ExpiresAt}
	}
	return r, nil
}
