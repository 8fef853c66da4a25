package backoff_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentinelgo/sentinel/internal/backoff"
)

func TestWaitsGrowAreJitteredAndBounded(t *testing.T) {
	sums := make([]time.Duration, 80)
	for range 200 {
		b := backoff.Backoff{Base: time.Second, Max: time.Minute}
		for n := range sums {
			w := b.Next()
			if ceiling := min(time.Minute, time.Second<<min(n, 6)); w < 0 || w > ceiling {
				t.Fatalf("wait %d is %s, want 0 to %s", n, w, ceiling)
			}
			sums[n] += w
		}
	}
	if sums[5] < 3*sums[1] {
		t.Errorf("waits do not grow: %s then %s", sums[1]/200, sums[5]/200)
	}
}

func TestFloorAndReset(t *testing.T) {
	b := backoff.Backoff{Base: time.Millisecond, Max: time.Second, Floor: time.Minute}
	if w := b.Next(); w != time.Minute {
		t.Errorf("wait is %s, want the floor", w)
	}
	b.Reset()
	if w := b.Next(); w > time.Millisecond || b.Tries() != 1 {
		t.Errorf("after a reset the wait is %s after %d tries", w, b.Tries())
	}
}

func TestWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b := backoff.Backoff{Base: time.Hour, Max: time.Hour, Floor: time.Hour}
		if err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
