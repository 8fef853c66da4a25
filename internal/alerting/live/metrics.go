package live

import "github.com/sentinelgo/sentinel/internal/telemetry"

type metrics struct {
	reg         *telemetry.Registry
	taken       telemetry.Counter // partitions that this worker began to own
	lost        telemetry.Counter // and lost to another
	conflicts   telemetry.Counter // another had written about an incident
	interrupted telemetry.Counter // a partition had to wait for the broker
	cycles      telemetry.Counter
	transitions telemetry.Counter
	seconds     telemetry.Histogram // from the gateway to the verdict
	takeover    telemetry.Histogram
}

func newMetrics(reg *telemetry.Registry, w *Worker) *metrics {
	reg.Gauge("sentinel_alerter_partitions", func() float64 { return float64(w.Owned()) })
	return &metrics{
		reg:         reg,
		taken:       reg.Counter("sentinel_alerter_partitions_taken_total"),
		lost:        reg.Counter("sentinel_alerter_partitions_lost_total"),
		conflicts:   reg.Counter("sentinel_alerter_conflicts_total"),
		interrupted: reg.Counter("sentinel_alerter_interruptions_total"),
		cycles:      reg.Counter("sentinel_alerter_cycles_total"),
		transitions: reg.Counter("sentinel_alerter_transitions_total"),
		seconds:     reg.Histogram("sentinel_alerter_lag_seconds"),
		takeover:    reg.Histogram("sentinel_alerter_takeover_seconds"),
	}
}

// skipped counts batches that were not judged, by reason.
func (m *metrics) skipped(reason string) telemetry.Counter {
	return m.reg.Counter("sentinel_alerter_batches_skipped_total", "reason", reason)
}
