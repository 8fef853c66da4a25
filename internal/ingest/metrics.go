package ingest

import "github.com/sentinelgo/sentinel/internal/telemetry"

type gatewayMetrics struct {
	reg             *telemetry.Registry
	accepted        telemetry.Counter
	acceptedRecords telemetry.Counter
	displaced       telemetry.Counter
	enrolled        telemetry.Counter
	eventsDropped   telemetry.Counter
	rotated         telemetry.Counter
	resets          telemetry.Counter
	reportErrors    telemetry.Counter
	publishSeconds  telemetry.Histogram
}

func newMetrics(reg *telemetry.Registry, g *Gateway) *gatewayMetrics {
	reg.Gauge("sentinel_gateway_sessions", func() float64 { return float64(g.Sessions()) })
	return &gatewayMetrics{
		reg:             reg,
		accepted:        reg.Counter("sentinel_gateway_batches_accepted_total"),
		acceptedRecords: reg.Counter("sentinel_gateway_records_accepted_total"),
		enrolled:        reg.Counter("sentinel_gateway_agents_enrolled_total"),
		eventsDropped:   reg.Counter("sentinel_gateway_events_dropped_total"),
		rotated:         reg.Counter("sentinel_gateway_keys_rotated_total"),
		displaced:       reg.Counter("sentinel_gateway_sessions_displaced_total"),
		resets:          reg.Counter("sentinel_gateway_broker_resets_total"),
		reportErrors:    reg.Counter("sentinel_gateway_report_errors_total"),
		publishSeconds:  reg.Histogram("sentinel_gateway_publish_seconds"),
	}
}

// rejected counts batches that were not accepted, by reason.
func (m *gatewayMetrics) rejected(reason string) telemetry.Counter {
	return m.reg.Counter("sentinel_gateway_batches_rejected_total", "reason", reason)
}

// refused counts sessions and enrolments that did not come about, by reason.
func (m *gatewayMetrics) refused(reason string) telemetry.Counter {
	return m.reg.Counter("sentinel_gateway_sessions_refused_total", "reason", reason)
}
