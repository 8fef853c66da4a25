package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	maxSilences = 10_000
	// keepExpired is how long a silence stays visible after its end.
	keepExpired = 5 * 24 * time.Hour
)

// Silence holds back the alerts that match, from StartsAt up to EndsAt.
type Silence struct {
	ID        string    `json:"id"`
	Matchers  Matchers  `json:"matchers"`
	Author    string    `json:"author"`
	Comment   string    `json:"comment"`
	StartsAt  time.Time `json:"starts_at"`
	EndsAt    time.Time `json:"ends_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// State returns pending, active or expired.
func (s Silence) State(now time.Time) string {
	switch {
	case now.Before(s.StartsAt):
		return "pending"
	case now.Before(s.EndsAt):
		return "active"
	}
	return "expired"
}

// Validate says what is missing. A silence that would match everything, or labels that
// are not there, is refused.
func (s Silence) Validate() error {
	switch {
	case len(s.Matchers) == 0:
		return sentinel.Errorf(sentinel.Invalid, "matchers: is missing")
	case len(s.Matchers) > maxLabels:
		return sentinel.Errorf(sentinel.Invalid, "matchers: %d, want at most %d", len(s.Matchers), maxLabels)
	case !slices.ContainsFunc(s.Matchers, func(m Matcher) bool { return !m.Matches(nil) }):
		return sentinel.Errorf(sentinel.Invalid, "matchers: at least one must want a label that is not empty")
	case strings.TrimSpace(s.Author) == "" || len(s.Author) > maxName:
		return sentinel.Errorf(sentinel.Invalid, "author: want 1 to %d bytes", maxName)
	case strings.TrimSpace(s.Comment) == "" || len(s.Comment) > maxLabel:
		return sentinel.Errorf(sentinel.Invalid, "comment: want 1 to %d bytes; say why", maxLabel)
	case s.StartsAt.IsZero() || s.EndsAt.IsZero():
		return sentinel.Errorf(sentinel.Invalid, "starts_at and ends_at: both are needed")
	case !s.EndsAt.After(s.StartsAt):
		return sentinel.Errorf(sentinel.Invalid, "ends_at: is not after starts_at")
	}
	return nil
}

// Silences is the set of silences. Safe for concurrent use.
type Silences struct {
	store Store

	mu   sync.RWMutex
	byID map[string]stored[Silence]
}

type stored[T any] struct {
	value    T
	revision uint64
}

// NewSilences returns an empty set that is kept in the store; see Load.
func NewSilences(store Store) *Silences {
	return &Silences{store: store, byID: map[string]stored[Silence]{}}
}

// Load reads all silences from the store. It may be called again at any time: what is
// in the store replaces what is here.
func (s *Silences) Load(ctx context.Context) error {
	entries, err := s.store.All(ctx, silencePrefix)
	if err != nil {
		return fmt.Errorf("load silences: %w", err)
	}
	fresh := make(map[string]stored[Silence], len(entries))
	for _, e := range entries {
		var sil Silence
		if json.Unmarshal(e.Value, &sil) == nil && sil.Validate() == nil {
			fresh[sil.ID] = stored[Silence]{sil, e.Revision}
		}
	}
	s.mu.Lock()
	s.byID = fresh
	s.mu.Unlock()
	return nil
}

// Add makes a silence and returns it with its ID. One that starts in the past starts
// now. The error is Invalid for one that Validate refuses or that has ended already.
func (s *Silences) Add(ctx context.Context, sil Silence) (Silence, error) {
	now := time.Now().UTC()
	if sil.StartsAt.Before(now) {
		sil.StartsAt = now
	}
	if !sil.EndsAt.IsZero() && !sil.EndsAt.After(now) {
		return sil, sentinel.Errorf(sentinel.Invalid, "ends_at: has passed already")
	}
	if err := sil.Validate(); err != nil {
		return sil, err
	}
	sil.ID, sil.UpdatedAt = "sil-"+sentinel.RandomName(10), now
	s.mu.RLock()
	full := len(s.byID) >= maxSilences
	s.mu.RUnlock()
	if full {
		return sil, sentinel.Errorf(sentinel.ResourceExhausted, "there are %d silences already; expire some", maxSilences)
	}
	return sil, s.put(ctx, sil, 0)
}

// Expire ends a silence now, if it has not ended already. One that never began is made
// to begin and end now. The error is NotFound for one that is not there.
func (s *Silences) Expire(ctx context.Context, id string) error {
	s.mu.RLock()
	e, ok := s.byID[id]
	s.mu.RUnlock()
	now := time.Now().UTC()
	if !ok {
		return sentinel.Errorf(sentinel.NotFound, "there is no silence %.60q", id)
	}
	sil := e.value
	switch sil.State(now) {
	case "expired":
		return nil
	case "pending":
		sil.StartsAt = now.Add(-time.Millisecond)
	}
	sil.EndsAt, sil.UpdatedAt = now, now
	return s.put(ctx, sil, e.revision)
}

func (s *Silences) put(ctx context.Context, sil Silence, revision uint64) error {
	raw, err := json.Marshal(sil)
	if err != nil {
		return fmt.Errorf("encode silence: %w", err)
	}
	rev, err := s.store.Put(ctx, silencePrefix+sil.ID, raw, revision)
	if err != nil {
		return fmt.Errorf("write silence: %w", err)
	}
	s.mu.Lock()
	s.byID[sil.ID] = stored[Silence]{sil, rev}
	s.mu.Unlock()
	return nil
}

// List returns the silences, those that end last first.
func (s *Silences) List() []Silence {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Silence, 0, len(s.byID))
	for _, e := range s.byID {
		out = append(out, e.value)
	}
	slices.SortFunc(out, func(a, b Silence) int {
		if c := b.EndsAt.Compare(a.EndsAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// silencedBy returns the IDs of the silences that hold back an alert at a time.
func (s *Silences) silencedBy(labels map[string]string, now time.Time) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var ids []string
	for id, e := range s.byID {
		if e.value.State(now) == "active" && e.value.Matchers.Matches(labels) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// prune forgets silences that ended long ago.
func (s *Silences) prune(ctx context.Context, now time.Time) error {
	s.mu.Lock()
	var old []string
	for id, e := range s.byID {
		if now.Sub(e.value.EndsAt) > keepExpired {
			old = append(old, id)
			delete(s.byID, id)
		}
	}
	s.mu.Unlock()
	for _, id := range old {
		if err := s.store.Delete(ctx, silencePrefix+id); err != nil {
			return fmt.Errorf("remove silence: %w", err)
		}
	}
	return nil
}

// ReloadSilences reads the silences anew, for who changes them behind the dispatcher.
func (d *Dispatcher) ReloadSilences(ctx context.Context) error { return d.silences.Load(ctx) }
