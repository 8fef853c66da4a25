// Package alerts joins what alerting is made of: the database in which people write
// rules, the stream of incidents, the engine's owners and those who tell people.
package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/alerting/pack"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	courierEvery = time.Second
	// courierWhole is how often everything is compared, whatever the versions say: a
	// bucket may have been wiped.
	courierWhole = 20 * time.Second
	askPatience  = 5 * time.Second
)

// Keys of broker.BucketAlerting beside live.KeyRules.
const (
	keyNotification = "notification" // a storedConfig
	keySilences     = "silences"     // a list of notify.Silence
	keyAcks         = "acks"         // a list of ack
)

// storedConfig is the notification file as it lies in the broker's bucket: sealed.
type storedConfig struct {
	Version int64  `json:"version"`
	Sealed  []byte `json:"sealed"`
}

// ack is an acknowledgement as it lies in the broker's bucket.
type ack struct {
	Fingerprint string    `json:"fingerprint"`
	FiredAt     time.Time `json:"fired_at"`
	By          string    `json:"by"`
	Comment     string    `json:"comment,omitempty"`
}

// Courier brings what alerting has to know from the database to the broker's buckets,
// where it is found while the database is down. Any number may run: one at a time does
// the work.
type Courier struct {
	DB     *postgres.DB
	Broker *broker.Broker
	Log    *slog.Logger

	fleet, alerting *broker.Bucket
	fleetVersion    int64
	alertVersion    int64
	wholeAt         time.Time
	store           string
	members         map[string][]byte // as they lie in the bucket
}

// Run works until ctx ends; then it returns nil.
func (c *Courier) Run(ctx context.Context) error {
	c.fleet, c.alerting = c.Broker.Bucket(broker.BucketFleet), c.Broker.Bucket(broker.BucketAlerting)
	return alone(ctx, c.Broker, "courier", c.Log, func(ctx context.Context) error {
		c.fleetVersion, c.alertVersion, c.members = 0, 0, nil
		clock := time.NewTicker(courierEvery)
		defer clock.Stop()
		failing := false
		for {
			err := c.once(ctx)
			if err != nil && ctx.Err() == nil && !failing {
				c.Log.Warn("what has changed in the database cannot be passed on, waiting", "error", err)
			}
			failing = err != nil
			select {
			case <-ctx.Done():
				return nil
			case <-clock.C:
			}
		}
	})
}

func (c *Courier) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 6*askPatience)
	defer cancel()
	if err := c.start(ctx); err != nil {
		return err
	}
	if store := c.Broker.Store(); store != c.store || time.Since(c.wholeAt) > courierWhole {
		c.store, c.wholeAt, c.fleetVersion, c.alertVersion = store, time.Now(), 0, 0
	}
	version, err := c.DB.FleetVersion(ctx)
	if err != nil {
		return err
	}
	if version != c.fleetVersion {
		if err := c.bringFleet(ctx); err != nil {
			return err
		}
		c.fleetVersion = version
	}
	if version, err = c.DB.AlertVersion(ctx); err != nil || version == c.alertVersion {
		return err
	}
	if version, err = c.bringRules(ctx); err != nil {
		return err
	}
	if err := c.bringNotification(ctx); err != nil {
		return err
	}
	if err := c.bringSilences(ctx); err != nil {
		return err
	}
	c.alertVersion = version
	return nil
}

// start installs the starter pack where nobody has made a rule yet.
func (c *Courier) start(ctx context.Context) error {
	if c.alertVersion != 0 {
		return nil
	}
	rules, err := Rows("starter pack", pack.YAML())
	if err != nil {
		return err
	}
	by := postgres.Entry{Actor: postgres.Actor{Kind: postgres.ActorConsole, Name: "starter pack"}, Action: "rule.install", Details: map[string]any{"rules": len(rules)}}
	done, err := c.DB.StartAlertRules(ctx, by, rules)
	if done {
		c.Log.Info("the starter pack of rules is installed", "rules", len(rules))
	}
	return err
}

// bringFleet makes the bucket say what the database says of agents.
func (c *Courier) bringFleet(ctx context.Context) error {
	list, err := c.DB.FleetMembers(ctx)
	if err != nil {
		return err
	}
	if c.members == nil || c.fleetVersion == 0 {
		entries, err := c.fleet.All(ctx, "")
		if err != nil {
			return err
		}
		c.members = make(map[string][]byte, len(entries))
		for _, e := range entries {
			c.members[e.Key] = e.Value
		}
	}
	there := make(map[string]bool, len(list))
	for _, m := range list {
		member := live.Member{Row: m.ID, Hostname: m.Hostname, Labels: m.Labels}
		for _, k := range m.Keys {
			member.Keys = append(member.Keys, live.MemberKey{ID: k.KeyID, Secret: k.Secret, Expires: k.ExpiresAt})
		}
		raw, err := json.Marshal(member)
		if err != nil {
			return fmt.Errorf("encode an agent: %w", err)
		}
		there[string(m.Name)] = true
		if err := c.bring(ctx, c.fleet, string(m.Name), raw); err != nil {
			return err
		}
	}
	for key := range c.members {
		if there[key] || key == live.DirectoryMark {
			continue
		}
		if err := c.fleet.Delete(ctx, key); err != nil {
			return err
		}
		delete(c.members, key)
	}
	return c.bring(ctx, c.fleet, live.DirectoryMark, []byte("{}"))
}

// bring writes an agent's value where it is another one.
func (c *Courier) bring(ctx context.Context, b *broker.Bucket, key string, raw []byte) error {
	if before, ok := c.members[key]; ok && bytes.Equal(before, raw) {
		return nil
	}
	if _, err := b.Put(ctx, key, raw); err != nil {
		return err
	}
	c.members[key] = raw
	return nil
}

// put writes a value of alerting where it is another one.
func (c *Courier) put(ctx context.Context, key string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	before, err := c.alerting.Get(ctx, key)
	if err != nil && sentinel.CodeOf(err) != sentinel.NotFound {
		return err
	}
	if err == nil && bytes.Equal(before.Value, raw) {
		return nil
	}
	_, err = c.alerting.Put(ctx, key, raw)
	return err
}

func (c *Courier) bringRules(ctx context.Context) (int64, error) {
	rules, version, err := c.DB.AlertRules(ctx)
	if err != nil {
		return 0, err
	}
	stored, err := live.StoreRules(RuleVersion(rules), File(rules))
	if err != nil {
		return 0, err
	}
	return version, c.put(ctx, live.KeyRules, stored)
}

// RuleVersion is that of the rules alone, by which people see that theirs hold.
func RuleVersion(rules []postgres.AlertRule) int64 {
	v := int64(len(rules))
	for _, r := range rules {
		v += r.Version
	}
	return v
}

func (c *Courier) bringNotification(ctx context.Context) error {
	cfg, err := c.DB.NotificationConfig(ctx)
	if err != nil && sentinel.CodeOf(err) != sentinel.NotFound {
		return err
	}
	return c.put(ctx, keyNotification, storedConfig{cfg.Version, cfg.Sealed})
}

func (c *Courier) bringSilences(ctx context.Context) error {
	rows, err := c.DB.Silences(ctx, time.Now().Add(-time.Hour))
	if err != nil {
		return err
	}
	bodies := make([]json.RawMessage, 0, len(rows))
	for _, s := range rows {
		bodies = append(bodies, s.Body)
	}
	if err := c.put(ctx, keySilences, bodies); err != nil {
		return err
	}
	acked, err := c.DB.Acknowledged(ctx)
	if err != nil {
		return err
	}
	acks := make([]ack, 0, len(acked))
	for _, in := range acked {
		acks = append(acks, ack{in.Fingerprint, in.FiredAt, in.AckedBy, in.AckComment})
	}
	return c.put(ctx, keyAcks, acks)
}
