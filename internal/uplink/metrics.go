package uplink

import (
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

type uplinkMetrics struct {
	reg         *telemetry.Registry
	sessions    telemetry.Counter
	sent        telemetry.Counter
	sentBytes   telemetry.Counter
	envelopes   telemetry.Counter // bytes of signed envelopes, payload included
	deadLetters telemetry.Counter
	stalls      telemetry.Counter
	rotations   telemetry.Counter
	keyErrors   telemetry.Counter // keys that could not be kept
}

func newMetrics(reg *telemetry.Registry, u *Uplink) *uplinkMetrics {
	reg.Gauge("sentinel_agent_connected", func() float64 {
		if u.Status().Connected {
			return 1
		}
		return 0
	})
	reg.Gauge("sentinel_agent_clock_ahead_seconds", func() float64 { return u.Status().Clock.Seconds() })
	return &uplinkMetrics{
		reg:         reg,
		sessions:    reg.Counter("sentinel_agent_sessions_total"),
		sent:        reg.Counter("sentinel_agent_batches_sent_total"),
		sentBytes:   reg.Counter("sentinel_agent_payload_bytes_sent_total"),
		envelopes:   reg.Counter("sentinel_agent_envelope_bytes_sent_total"),
		deadLetters: reg.Counter("sentinel_agent_dead_letters_total"),
		rotations:   reg.Counter("sentinel_agent_key_rotations_total"),
		keyErrors:   reg.Counter("sentinel_agent_key_errors_total"),
		stalls:      reg.Counter("sentinel_agent_stalls_total"),
	}
}

// receipt counts receipts by code.
func (m *uplinkMetrics) receipt(code sentinelpb.Code) telemetry.Counter {
	return m.reg.Counter("sentinel_agent_receipts_total", "code", strings.ToLower(strings.TrimPrefix(code.String(), "CODE_")))
}
