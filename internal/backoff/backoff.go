// Package backoff paces retries: exponential growth with full jitter, so that a
// fleet that lost its server does not come back all at once.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff draws the waits between tries: the n-th wait is uniform in
// [0, min(Max, Base·2ⁿ)), and never under Floor. The zero value is not usable;
// not safe for concurrent use. The scheme is "full jitter" of the AWS
// architecture blog, "Exponential Backoff And Jitter" (2015).
type Backoff struct {
	Base, Max time.Duration
	// Floor is the shortest wait; a server's retry-after goes here.
	Floor time.Duration
	tries int
}

// Next returns the next wait.
func (b *Backoff) Next() time.Duration {
	ceiling := b.Max
	if b.tries < 62 && b.Base<<b.tries > 0 {
		ceiling = min(b.Max, b.Base<<b.tries)
	}
	b.tries++
	return max(b.Floor, time.Duration(rand.Int64N(int64(ceiling)+1)))
}

// Tries returns how many waits were drawn since the last Reset.
func (b *Backoff) Tries() int { return b.tries }

// Reset starts again from Base after a success.
func (b *Backoff) Reset() { b.tries, b.Floor = 0, 0 }

// Wait sleeps for the next wait, or until ctx ends, whose error it returns.
func (b *Backoff) Wait(ctx context.Context) error {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
