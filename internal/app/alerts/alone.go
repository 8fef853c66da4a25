package alerts

import (
	"context"
	"log/slog"
	"time"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// alone runs f while this process holds the lease of that name, which one process has
// at a time. When another has it, or the broker cannot be asked in time, f's context
// ends. alone returns nil when ctx ends; an error of f is logged and f begins anew.
func alone(ctx context.Context, b *broker.Broker, name string, log *slog.Logger, f func(context.Context) error) error {
	owners, id := b.Bucket(broker.BucketOwners), []byte(sentinel.RandomName(5))
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	for ctx.Err() == nil {
		if revision, err := owners.Swap(ctx, name, id, 0); err == nil {
			hold(ctx, owners, name, id, revision, log, f)
		}
		select {
		case <-ctx.Done():
		case <-clock.C:
		}
	}
	return nil
}

// hold runs f and renews the lease until f or the lease ends.
func hold(ctx context.Context, owners *broker.Bucket, name string, id []byte, revision uint64, log *slog.Logger, f func(context.Context) error) {
	run, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := f(run); err != nil && run.Err() == nil {
			log.Warn("begins anew", "activity", name, "error", err)
		}
	}()
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	renewed, lost := time.Now(), false
	for !lost {
		select {
		case <-ended:
			give(ctx, owners, name, revision)
			return
		case <-clock.C:
		}
		begun := time.Now()
		now, err := owners.Swap(run, name, id, revision)
		switch {
		case err == nil:
			revision, renewed = now, begun
		case sentinel.CodeOf(err) == sentinel.Conflict || time.Since(renewed) > broker.LeaseTime-time.Second:
			lost = true
		}
	}
	if ctx.Err() == nil {
		log.Warn("another process does this now", "activity", name)
	}
	stop()
	<-ended
}

func give(ctx context.Context, owners *broker.Bucket, name string, revision uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = owners.Give(ctx, name, revision) // it goes by itself
}
