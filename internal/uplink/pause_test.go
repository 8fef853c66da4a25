package uplink

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentinelgo/sentinel/internal/backoff"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// A nudge ends the wait between two tries, or the next one, once.
func TestNudgeEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := New(DefaultConfig(), Deps{Metrics: telemetry.NewRegistry()})
		wait := backoff.Backoff{Base: time.Hour, Max: time.Hour, Floor: time.Hour}
		start := time.Now()
		go func() {
			time.Sleep(time.Second)
			u.Nudge()
		}()
		if !u.pause(t.Context(), &wait) || time.Since(start) != time.Second {
			t.Errorf("it waited for %s", time.Since(start))
		}
		u.Nudge()
		u.Nudge()
		if !u.pause(t.Context(), &wait) || time.Since(start) != time.Second {
			t.Errorf("an earlier nudge does not count: it waited for %s", time.Since(start))
		}
		if u.pause(t.Context(), &wait) || time.Since(start) != time.Hour+time.Second {
			t.Errorf("without a nudge it waited for %s", time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if u.pause(ctx, &wait) || time.Since(start) != time.Hour+time.Second {
			t.Error("it waits although it is to stop")
		}
	})
}
