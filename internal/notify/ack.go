package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Ack says that somebody has taken an incident on: it is neither repeated nor
// escalated until it changes. It ends with the incident.
type Ack struct {
	Fingerprint string    `json:"fingerprint"`
	StartsAt    time.Time `json:"starts_at"`
	By          string    `json:"by"`
	Comment     string    `json:"comment,omitempty"`
	At          time.Time `json:"at"`
}

// acks is the set of acknowledgements. Safe for concurrent use.
type acks struct {
	store Store

	mu sync.RWMutex
	by map[string]stored[Ack] // by fingerprint
}

func (a *acks) load(ctx context.Context) error {
	entries, err := a.store.All(ctx, ackPrefix)
	if err != nil {
		return fmt.Errorf("load acknowledgements: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.by = map[string]stored[Ack]{}
	for _, e := range entries {
		var ack Ack
		if json.Unmarshal(e.Value, &ack) == nil && ack.Fingerprint != "" {
			a.by[ack.Fingerprint] = stored[Ack]{ack, e.Revision}
		}
	}
	return nil
}

func (a *acks) of(alert Alert) (Ack, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	e, ok := a.by[alert.Fingerprint]
	return e.value, ok && e.value.StartsAt.Equal(alert.StartsAt)
}

func (a *acks) put(ctx context.Context, ack Ack) error {
	a.mu.RLock()
	before := a.by[ack.Fingerprint]
	a.mu.RUnlock()
	raw, err := json.Marshal(ack)
	if err != nil {
		return fmt.Errorf("encode acknowledgement: %w", err)
	}
	rev, err := a.store.Put(ctx, ackPrefix+hashed(ack.Fingerprint), raw, before.revision)
	if err != nil {
		return fmt.Errorf("write acknowledgement: %w", err)
	}
	a.mu.Lock()
	a.by[ack.Fingerprint] = stored[Ack]{ack, rev}
	a.mu.Unlock()
	return nil
}

// prune forgets what was acknowledged long ago and does not fire any more. fires is
// asked without the lock: the dispatcher takes its own before this one.
func (a *acks) prune(ctx context.Context, now time.Time, fires func(Ack) bool) error {
	var old []Ack
	a.mu.RLock()
	for _, e := range a.by {
		if now.Sub(e.value.At) > time.Hour {
			old = append(old, e.value)
		}
	}
	a.mu.RUnlock()
	for _, ack := range slices.DeleteFunc(old, fires) {
		a.mu.Lock()
		unchanged := a.by[ack.Fingerprint].value == ack
		if unchanged {
			delete(a.by, ack.Fingerprint)
		}
		a.mu.Unlock()
		if !unchanged {
			continue
		}
		if err := a.store.Delete(ctx, ackPrefix+hashed(ack.Fingerprint)); err != nil {
			return fmt.Errorf("remove acknowledgement: %w", err)
		}
	}
	return nil
}

// Acknowledge notes that somebody has taken on the incident that fires under this
// fingerprint. The error is NotFound where none does.
func (d *Dispatcher) Acknowledge(ctx context.Context, fingerprint, by, comment string) (Ack, error) {
	if by == "" || len(by) > maxName || len(comment) > maxLabel {
		return Ack{}, sentinel.Errorf(sentinel.Invalid, "by: want 1 to %d bytes, and a comment of at most %d", maxName, maxLabel)
	}
	d.mu.Lock()
	alert, ok := d.firing[fingerprint]
	d.mu.Unlock()
	if !ok {
		return Ack{}, sentinel.Errorf(sentinel.NotFound, "nothing fires under %.60q", fingerprint)
	}
	ack := Ack{Fingerprint: fingerprint, StartsAt: alert.StartsAt, By: Truncate(by, maxName), Comment: Truncate(comment, maxLabel), At: time.Now().UTC()}
	if err := d.acks.put(ctx, ack); err != nil {
		return Ack{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, g := range d.groups {
		if _, member := g.members[fingerprint]; !member {
			continue
		}
		list := d.tellable(g, now)
		for _, ch := range d.channels[g.route.Receiver] {
			if ch.SendAcknowledged {
				d.offer(g, ch, list, now)
			}
		}
	}
	return ack, nil
}
