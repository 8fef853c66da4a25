package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Activities follow each other, however long one takes to stop: the keeper has one
// caller at a time.
func TestPartRunsOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart()
		var running, runs atomic.Int32
		activity := func(ctx context.Context) error {
			runs.Add(1)
			if running.Add(1) != 1 {
				t.Error("two run at a time")
			}
			<-ctx.Done()
			time.Sleep(time.Second)
			running.Add(-1)
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.run(ctx, activity) }()
		start := time.Now()
		for i := range 5 {
			synctest.Wait()
			p.replace(activity)
			if d := time.Since(start); d != time.Duration(i+1)*time.Second {
				t.Errorf("replacement %d was reported after %s, before the last one had stopped", i, d)
			}
		}
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil || runs.Load() != 6 || running.Load() != 0 {
			t.Errorf("%d activities ran, %d run still: %v", runs.Load(), running.Load(), err)
		}
		p.replace(activity) // nothing happens, and nobody waits
	})
}

// An activity that ends by itself ends the part, with its error.
func TestPartEndsWithItsActivity(t *testing.T) {
	want := errors.New("certificates")
	p := newPart()
	if err := p.run(t.Context(), func(context.Context) error { return want }); !errors.Is(err, want) {
		t.Errorf("the error is %v", err)
	}
}
