package pipeline

import "github.com/sentinelgo/sentinel/internal/telemetry"

type writerMetrics struct {
	reg           *telemetry.Registry
	messages      telemetry.Counter // of the broker, settled and acknowledged
	storedCycles  telemetry.Counter
	storedSamples telemetry.Counter
	duplicates    telemetry.Counter
	lost          telemetry.Counter
	outages       telemetry.Counter
	fetchErrors   telemetry.Counter
	ackErrors     telemetry.Counter
	markErrors    telemetry.Counter
	commitSeconds telemetry.Histogram
	lagSeconds    telemetry.Histogram
}

func newMetrics(reg *telemetry.Registry) *writerMetrics {
	return &writerMetrics{
		reg:           reg,
		messages:      reg.Counter("sentinel_writer_messages_total"),
		storedCycles:  reg.Counter("sentinel_writer_cycles_stored_total"),
		storedSamples: reg.Counter("sentinel_writer_samples_stored_total"),
		duplicates:    reg.Counter("sentinel_writer_duplicate_records_total"),
		lost:          reg.Counter("sentinel_writer_records_declared_lost_total"),
		outages:       reg.Counter("sentinel_writer_outages_total"),
		fetchErrors:   reg.Counter("sentinel_writer_fetch_errors_total"),
		ackErrors:     reg.Counter("sentinel_writer_ack_errors_total"),
		markErrors:    reg.Counter("sentinel_writer_mark_errors_total"),
		commitSeconds: reg.Histogram("sentinel_writer_commit_seconds"),
		lagSeconds:    reg.Histogram("sentinel_writer_lag_seconds"),
	}
}

// rejected counts batches that were not stored, by reason.
func (m *writerMetrics) rejected(reason string) telemetry.Counter {
	return m.reg.Counter("sentinel_writer_batches_rejected_total", "reason", reason)
}
