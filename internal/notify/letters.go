package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

const maxLetters = 1000

// Letter is a message that was given up.
type Letter struct {
	ID           string        `json:"id"` // the message's key
	Channel      string        `json:"channel"`
	Error        string        `json:"error"`
	At           time.Time     `json:"at"`
	Notification *Notification `json:"notification"`
}

// letters are the dead letters in the store, the newest maxLetters of them.
type letters struct {
	store   Store
	evicted telemetry.Counter

	mu sync.Mutex
	at map[string]time.Time // by ID
}

func (l *letters) load(ctx context.Context) error {
	all, err := l.list(ctx, "")
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = map[string]time.Time{}
	for _, letter := range all {
		l.at[letter.ID] = letter.At
	}
	return nil
}

func (l *letters) list(ctx context.Context, id string) ([]Letter, error) {
	entries, err := l.store.All(ctx, letterPrefix+id)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	var out []Letter
	for _, e := range entries {
		var letter Letter
		if json.Unmarshal(e.Value, &letter) == nil && letter.Notification != nil {
			out = append(out, letter)
		}
	}
	slices.SortFunc(out, func(a, b Letter) int { return b.At.Compare(a.At) })
	return out, nil
}

func (l *letters) add(ctx context.Context, letter Letter) error {
	raw, err := json.Marshal(letter)
	if err != nil {
		return fmt.Errorf("encode dead letter: %w", err)
	}
	if _, err := l.store.Put(ctx, letterPrefix+letter.ID, raw, 0); err != nil && sentinel.CodeOf(err) != sentinel.Conflict {
		return fmt.Errorf("write dead letter: %w", err)
	}
	l.mu.Lock()
	l.at[letter.ID] = letter.At
	oldest := letter.ID
	for id, at := range l.at {
		if at.Before(l.at[oldest]) {
			oldest = id
		}
	}
	full := len(l.at) > maxLetters
	l.mu.Unlock()
	if !full {
		return nil
	}
	l.evicted.Inc()
	return l.remove(ctx, oldest)
}

func (l *letters) remove(ctx context.Context, id string) error {
	l.mu.Lock()
	delete(l.at, id)
	l.mu.Unlock()
	if err := l.store.Delete(ctx, letterPrefix+id); err != nil {
		return fmt.Errorf("remove dead letter: %w", err)
	}
	return nil
}

// Letters returns the messages that were given up, the newest first.
func (d *Dispatcher) Letters(ctx context.Context) ([]Letter, error) { return d.letters.list(ctx, "") }

// Replay sends a dead letter once more, with its old key, and removes it when that
// works. The error is NotFound for a letter or a channel that is not there any more,
// and Unavailable where it fails again.
func (d *Dispatcher) Replay(ctx context.Context, id string) error {
	found, err := d.letters.list(ctx, id)
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0].ID != id {
		return sentinel.Errorf(sentinel.NotFound, "there is no dead letter %.60q", id)
	}
	if err := d.once(ctx, found[0].Channel, found[0].Notification); err != nil {
		return err
	}
	return d.letters.remove(ctx, id)
}

// Discard removes a dead letter.
func (d *Dispatcher) Discard(ctx context.Context, id string) error { return d.letters.remove(ctx, id) }

// Test sends a test message through a channel and returns what came of it.
func (d *Dispatcher) Test(ctx context.Context, channelID string) error {
	return d.once(ctx, channelID, TestMessage(channelID, d.opts.ExternalURL))
}

func (d *Dispatcher) once(ctx context.Context, channelID string, n *Notification) error {
	ch := d.channel(channelID)
	if ch == nil {
		return sentinel.Errorf(sentinel.NotFound, "there is no channel %.60q any more", channelID)
	}
	ctx, cancel := context.WithTimeout(ctx, ch.Timeout)
	defer cancel()
	began := time.Now()
	err := notifyOnce(ctx, ch.Notifier, n)
	out := Delivery{Time: began, Channel: ch.ID, Key: n.Key, GroupKey: n.GroupKey, Reason: n.Reason, Alerts: len(n.Alerts), Attempt: 1, Took: time.Since(began)}
	if err != nil {
		out.Error = Truncate(err.Error(), 500)
		err = sentinel.Errorf(sentinel.Unavailable, "send through %s: %w", ch.ID, err)
	}
	d.opts.Delivered(out)
	return err
}

// TestMessage is the message that Test sends: one alert that has ended already, so
// that no service keeps an incident open.
func TestMessage(receiver, externalURL string) *Notification {
	now := time.Now().UTC().Truncate(time.Second)
	labels := map[string]string{"alertname": "SentinelTest", "severity": "info"}
	return &Notification{Key: sentinel.RandomName(20), Reason: ReasonTest, Receiver: receiver, GroupKey: "test:" + receiver, GroupLabels: labels,
		Time: now, ExternalURL: externalURL, Note: "This is a test of the way that alerts take. Nothing is wrong.",
		Alerts: []Alert{{Fingerprint: "test", Labels: labels, State: Resolved, StartsAt: now.Add(-time.Minute), EndsAt: now,
			Annotations: map[string]string{"summary": "Sentinel can reach you here"}}}}
}

// Check returns nil once the dispatcher has shown that it lives, or ctx's error. It is
// what a dead man's switch asks.
func (d *Dispatcher) Check(ctx context.Context) error {
	beat := make(chan struct{})
	d.mu.Lock()
	d.at(time.Now(), func(time.Time) { close(beat) })
	d.mu.Unlock()
	select {
	case <-beat:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
