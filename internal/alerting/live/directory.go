package live

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Member is what alerting has to know of an agent, as it lies in the broker's bucket
// under the agent's name. Secrets are sealed.
type Member struct {
	Row      int64            `json:"row"`
	Hostname string           `json:"hostname"`
	Labels   []sentinel.Label `json:"labels,omitempty"`
	Keys     []MemberKey      `json:"keys,omitempty"`
}

// MemberKey is one key of an agent that has not been revoked.
type MemberKey struct {
	ID      string    `json:"id"`
	Secret  []byte    `json:"secret"`
	Expires time.Time `json:"expires,omitzero"`
}

// Directory knows the fleet from the broker's bucket. Safe for concurrent use.
type Directory struct {
	bucket *broker.Bucket
	vault  *sign.Vault
	log    *slog.Logger
	ready  chan struct{}
	once   sync.Once

	mu      sync.RWMutex
	members map[sentinel.AgentID]*member
	fresh   map[sentinel.AgentID]*member // while what there is comes in anew
	version uint64                       // moves with every change
}

type member struct {
	Member
	agent alerting.Agent

	mu   sync.Mutex
	keys map[string]sign.Key // opened so far
}

// NewDirectory returns an empty directory; Run fills it.
func NewDirectory(b *broker.Broker, vault *sign.Vault, log *slog.Logger) *Directory {
	return &Directory{bucket: b.Bucket(broker.BucketFleet), vault: vault, log: log, ready: make(chan struct{}), members: map[sentinel.AgentID]*member{}}
}

// Ready is closed once the directory has been filled.
func (d *Directory) Ready() <-chan struct{} { return d.ready }

// DirectoryMark stands in the bucket once it has been filled.
const DirectoryMark = "_filled"

// Run follows the bucket until ctx ends; then it returns nil.
func (d *Directory) Run(ctx context.Context) error {
	return d.bucket.Watch(ctx, d.take,
		func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.fresh = map[sentinel.AgentID]*member{}
		},
		func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			// A bucket that was wiped says nothing: whom we knew, we know until it is filled.
			if len(d.fresh) > 0 {
				d.members = d.fresh
				d.version++
			}
			d.fresh = nil
		})
}

func (d *Directory) take(e broker.BucketEntry) {
	if e.Key == DirectoryMark {
		d.once.Do(func() { close(d.ready) })
		return
	}
	id := sentinel.AgentID(e.Key)
	d.mu.Lock()
	defer d.mu.Unlock()
	into := d.members
	if d.fresh != nil {
		into = d.fresh
	}
	d.version++
	if e.Value == nil {
		delete(into, id)
		return
	}
	m := &member{keys: map[string]sign.Key{}}
	if err := json.Unmarshal(e.Value, &m.Member); err != nil {
		d.log.Error("an agent in the broker's bucket cannot be read", "agent", e.Key, "error", err)
		return
	}
	m.agent = alerting.Agent{ID: id, Hostname: m.Hostname, Labels: m.Labels}
	into[id] = m
}

func (d *Directory) get(id sentinel.AgentID) *member {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.members[id]
}

// Agent returns an agent that is registered.
func (d *Directory) Agent(id sentinel.AgentID) (alerting.Agent, int64, bool) {
	m := d.get(id)
	if m == nil {
		return alerting.Agent{}, 0, false
	}
	return m.agent, m.Row, true
}

// Version moves with every change.
func (d *Directory) Version() uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.version
}

// of returns the agents of a partition and their rows.
func (d *Directory) of(partition, partitions int) map[sentinel.AgentID]int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := map[sentinel.AgentID]int64{}
	for id, m := range d.members {
		if broker.Partition(id, partitions) == partition {
			out[id] = m.Row
		}
	}
	return out
}

// Lookup implements delivery.Keys.
func (d *Directory) Lookup(_ context.Context, agent sentinel.AgentID, keyID string, at time.Time) (int64, sign.Key, error) {
	m := d.get(agent)
	if m == nil {
		return 0, sign.Key{}, sentinel.Errorf(sentinel.NotFound, "agent %q is not known here", agent)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.Keys {
		if k.ID != keyID || !k.Expires.IsZero() && at.After(k.Expires) {
			continue
		}
		key, ok := m.keys[keyID]
		if !ok {
			var err error
			if key, err = d.vault.Open(agent, keyID, k.Secret); err != nil {
				return 0, sign.Key{}, sentinel.Errorf(sentinel.Unavailable, "the key %.64q of agent %q is sealed under another master key", keyID, agent)
			}
			m.keys[keyID] = key
		}
		return m.Row, key, nil
	}
	return 0, sign.Key{}, sentinel.Errorf(sentinel.NotFound, "agent %q has no key %.64q that is known here", agent, keyID)
}
