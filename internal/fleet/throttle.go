package fleet

import (
	"fmt"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	freeFailures = 3 // before the first delay
	firstDelay   = time.Second
	longestDelay = 15 * time.Minute
	maxWatched   = 10_000 // pairs of user and address
	// Of all together, whoever they are: what the hashes and the audit log bear.
	attemptsBurst = 60
	attemptsEvery = 500 * time.Millisecond
)

// Throttled says when the next attempt may be made.
type Throttled struct{ After time.Duration }

// Error implements error.
func (t *Throttled) Error() string {
	return fmt.Sprintf("too many attempts; try again in %s", t.After.Round(time.Second))
}

// RetryAfter returns how long to wait.
func (t *Throttled) RetryAfter() time.Duration { return t.After }

// throttle slows guessing down: each failure beyond a few of the same user from the
// same address doubles the time until the next attempt is looked at, and all
// attempts together have a rate. Each process counts for itself.
type throttle struct {
	now func() time.Time

	mu      sync.Mutex
	watched map[watchKey]*watch
	tokens  float64 // attempts that all together may make at once
	at      time.Time
}

type watchKey struct{ user, remote string }

type watch struct {
	failures int
	until    time.Time // no attempt is looked at before
}

func newThrottle() *throttle {
	return &throttle{now: time.Now, watched: map[watchKey]*watch{}, tokens: attemptsBurst}
}

// attempt is one try. It counts as failed until one of its methods says otherwise,
// so that many at once do not get more tries than one after the other.
type attempt struct {
	t      *throttle
	key    watchKey
	before watch
}

// begin counts an attempt, or says when the next one may be made, by a
// ResourceExhausted error that is a Throttled.
func (t *throttle) begin(user, remote string) (attempt, error) {
	if len(user) > 64 {
		user = user[:64] // nobody's
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now, key := t.now(), watchKey{user, remote}
	w := t.watched[key]
	if w != nil && now.Before(w.until) {
		return attempt{}, throttled(w.until.Sub(now))
	}
	if !t.at.IsZero() {
		t.tokens = min(attemptsBurst, t.tokens+float64(now.Sub(t.at))/float64(attemptsEvery))
	}
	t.at = now
	if t.tokens < 1 {
		return attempt{}, throttled(attemptsEvery)
	}
	t.tokens--
	if w == nil {
		t.makeRoom(now)
		w = &watch{}
		t.watched[key] = w
	}
	a := attempt{t, key, *w}
	w.failures++
	w.until = now
	if over := w.failures - freeFailures; over > 0 {
		w.until = now.Add(min(longestDelay, firstDelay<<min(over-1, 20)))
	}
	return a, nil
}

// makeRoom forgets those whose delay is long over, and where that does not do any.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.watched) < maxWatched {
		return
	}
	for key, w := range t.watched {
		if now.Sub(w.until) > longestDelay {
			delete(t.watched, key)
		}
	}
	for key := range t.watched {
		if len(t.watched) < maxWatched {
			return
		}
		delete(t.watched, key)
	}
}

func throttled(after time.Duration) error {
	return sentinel.Errorf(sentinel.ResourceExhausted, "log in: %w", &Throttled{max(after, time.Second)})
}

// succeed forgets the failures before.
func (a attempt) succeed() {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	delete(a.t.watched, a.key)
}

// forget undoes the attempt: nothing was looked at.
func (a attempt) forget() {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	if w := a.t.watched[a.key]; w != nil {
		w.failures = max(0, w.failures-1)
		w.until = a.before.until
	}
}
