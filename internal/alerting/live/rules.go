package live

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/broker"
)

// KeyRules is where the rules lie in the broker's bucket, as a StoredRules.
const KeyRules = "rules"

// StoredRules are all rules as they lie in the broker's bucket.
type StoredRules struct {
	Version int64  `json:"version"`
	YAML    []byte `json:"yaml"` // in the form of alerting.ParseRules, compressed
}

// StoreRules makes what lies in the bucket of a file of rules.
func StoreRules(version int64, yaml []byte) (StoredRules, error) {
	raw, err := squeeze(yaml)
	return StoredRules{version, raw}, err
}

// Rules are those that hold now. Safe for concurrent use.
type Rules struct {
	bucket *broker.Bucket
	log    *slog.Logger
	ready  chan struct{}

	mu      sync.RWMutex
	set     *alerting.RuleSet
	version int64
}

// NewRules returns rules that Run fills.
func NewRules(b *broker.Broker, log *slog.Logger) *Rules {
	return &Rules{bucket: b.Bucket(broker.BucketAlerting), log: log, ready: make(chan struct{}), set: &alerting.RuleSet{}}
}

// Ready is closed once the rules are known.
func (r *Rules) Ready() <-chan struct{} { return r.ready }

// Run follows the bucket until ctx ends; then it returns nil.
func (r *Rules) Run(ctx context.Context) error {
	var once sync.Once
	nothing := func() {}
	return r.bucket.Watch(ctx, func(e broker.BucketEntry) {
		if e.Key != KeyRules || e.Value == nil { // a bucket that was wiped takes no rule away
			return
		}
		var s StoredRules
		err := json.Unmarshal(e.Value, &s)
		var text []byte
		if err == nil {
			text, err = stretch(s.YAML)
		}
		var set *alerting.RuleSet
		if err == nil {
			set, err = alerting.ParseRules("rules", text)
		}
		if err != nil {
			r.log.Error("rules cannot be read, those before hold", "version", s.Version, "error", err)
			return
		}
		r.mu.Lock()
		r.set, r.version = set, s.Version
		r.mu.Unlock()
		once.Do(func() { close(r.ready) })
		r.log.Info("rules hold", "version", s.Version, "rules", len(set.Rules))
	}, nothing, nothing)
}

// Set returns the rules that hold. They are never changed.
func (r *Rules) Set() *alerting.RuleSet {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.set
}

// Version returns that of the rules that hold.
func (r *Rules) Version() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.version
}
