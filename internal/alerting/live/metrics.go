package live

import (
	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

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
	for name, of := range map[string]func(alerting.Stats) int{
		"sentinel_alerter_agents":        func(s alerting.Stats) int { return s.Agents },
		"sentinel_alerter_series":        func(s alerting.Stats) int { return s.Series }, // pairs of a rule and a series
		"sentinel_alerter_incidents":     func(s alerting.Stats) int { return s.Incidents },
		"sentinel_alerter_window_points": func(s alerting.Stats) int { return s.Points },
		"sentinel_alerter_bytes":         func(s alerting.Stats) int { return s.Bytes },
	} {
		reg.Gauge(name, func() float64 { return float64(w.sum(of)) })
	}
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
