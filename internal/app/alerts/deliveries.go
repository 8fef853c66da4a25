package alerts

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

const (
	maxDeliveries  = 20_000 // that wait for the database; more are counted and dropped
	deliveriesEach = time.Second
)

// deliveryLog brings the attempts to tell people into the database, for people to look
// at: nothing depends on it.
type deliveryLog struct {
	db      *postgres.DB
	dropped telemetry.Counter
	log     *slog.Logger

	mu      sync.Mutex
	waiting []postgres.Delivery
}

func newDeliveryLog(db *postgres.DB, reg *telemetry.Registry, log *slog.Logger) *deliveryLog {
	return &deliveryLog{db: db, log: log, dropped: reg.Counter("sentinel_notify_deliveries_dropped_total")}
}

// note takes an attempt. It does not wait.
func (l *deliveryLog) note(d notify.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= maxDeliveries {
		l.dropped.Inc()
		return
	}
	l.waiting = append(l.waiting, postgres.Delivery{At: d.Time, Channel: d.Channel, Key: d.Key, GroupKey: d.GroupKey, Reason: string(d.Reason), Alerts: int32(min(d.Alerts, 1<<30)),
		Attempt: int32(min(d.Attempt, 1<<30)), TookMS: d.Took.Milliseconds(), Error: d.Error, GaveUp: d.GaveUp})
}

// run keeps what was noted until ctx ends, and then what is left.
func (l *deliveryLog) run(ctx context.Context) error {
	clock := time.NewTicker(deliveriesEach)
	defer clock.Stop()
	for over := false; !over; {
		select {
		case <-ctx.Done():
			over = true
		case <-clock.C:
		}
		l.mu.Lock()
		list := l.waiting[:min(len(l.waiting), 1000)]
		l.mu.Unlock()
		if len(list) == 0 {
			continue
		}
		keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), askPatience)
		err := l.db.NoteDeliveries(keep, list)
		cancel()
		if err != nil && postgres.Classify(err) != postgres.Poison {
			continue // they wait
		}
		if err != nil {
			l.log.Error("the database refuses the list of deliveries", "error", err)
			l.dropped.Add(len(list))
		}
		l.mu.Lock()
		l.waiting = l.waiting[len(list):]
		l.mu.Unlock()
	}
	return nil
}
