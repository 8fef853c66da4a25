package notify

import "github.com/sentinelgo/sentinel/internal/telemetry"

type dispatcherMetrics struct {
	reg         *telemetry.Registry
	refused     telemetry.Counter
	storeErrors telemetry.Counter
	conflicts   telemetry.Counter
	evicted     telemetry.Counter
}

func newMetrics(reg *telemetry.Registry, d *Dispatcher) *dispatcherMetrics {
	count := func(f func() int) func() float64 {
		return func() float64 {
			d.mu.Lock()
			defer d.mu.Unlock()
			return float64(f())
		}
	}
	reg.Gauge("sentinel_notify_groups", count(func() int { return len(d.groups) }))
	reg.Gauge("sentinel_notify_firing_alerts", count(func() int { return len(d.firing) }))
	return &dispatcherMetrics{
		reg:         reg,
		refused:     reg.Counter("sentinel_notify_alerts_refused_total"),
		storeErrors: reg.Counter("sentinel_notify_store_errors_total"),
		conflicts:   reg.Counter("sentinel_notify_store_conflicts_total"),
		evicted:     reg.Counter("sentinel_notify_dead_letters_evicted_total"),
	}
}

// suppressed counts alerts that a flush left out, by what held them back.
func (m *dispatcherMetrics) suppressed(by string) telemetry.Counter {
	return m.reg.Counter("sentinel_notify_alerts_suppressed_total", "by", by)
}

// untold counts incidents of whose begin and end nobody was told: brief ones ended
// before the route wanted them told, of late ones nobody could tell until long after.
func (m *dispatcherMetrics) untold(why string) telemetry.Counter {
	return m.reg.Counter("sentinel_notify_incidents_untold_total", "why", why)
}

// sent counts messages that were delivered.
func (m *dispatcherMetrics) sent(kind string) telemetry.Counter {
	return m.reg.Counter("sentinel_notify_messages_sent_total", "kind", kind)
}

// failed counts attempts that failed, by whether another try makes sense.
func (m *dispatcherMetrics) failed(kind, how string) telemetry.Counter {
	return m.reg.Counter("sentinel_notify_attempts_failed_total", "kind", kind, "failure", how)
}

// givenUp counts messages that became dead letters.
func (m *dispatcherMetrics) givenUp(kind string) telemetry.Counter {
	return m.reg.Counter("sentinel_notify_dead_letters_total", "kind", kind)
}

// full counts how often a message found the queue of its channel full.
func (m *dispatcherMetrics) full(kind string) telemetry.Counter {
	return m.reg.Counter("sentinel_notify_queue_full_total", "kind", kind)
}

// seconds is how long attempts took.
func (m *dispatcherMetrics) seconds(kind string) telemetry.Histogram {
	return m.reg.Histogram("sentinel_notify_attempt_seconds", "kind", kind)
}
