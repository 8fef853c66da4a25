package ingest

import (
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Config bounds what agents may do to a gateway.
type Config struct {
	// MaxSessions is how many agents one gateway carries.
	MaxSessions int `yaml:"max_sessions"`
	// MaxHandshakes is how many sessions may be opening at one time.
	MaxHandshakes int `yaml:"max_handshakes"`
	// HandshakeTimeout is how long an agent may take to prove who it is.
	HandshakeTimeout time.Duration `yaml:"handshake_timeout"`
	// EnrolmentsPerSecond is how many agents may ask for an identity.
	EnrolmentsPerSecond int `yaml:"enrolments_per_second"`
	// Heartbeat is how often agents report.
	Heartbeat time.Duration `yaml:"heartbeat"`
	// MaxUnacknowledged is how many batches one agent may have without a receipt.
	MaxUnacknowledged int `yaml:"max_unacknowledged"`
	// BacklogCredits is how many batches of the backlog one agent may send ahead.
	BacklogCredits int `yaml:"backlog_credits"`
	// MaxInFlightBytes bounds the batches on their way to the broker.
	MaxInFlightBytes int64 `yaml:"max_in_flight_bytes"`
	// AgentBatchesPerSecond and AgentBytesPerSecond are one agent's long-term rates;
	// bursts of ten seconds' worth are allowed.
	AgentBatchesPerSecond float64 `yaml:"agent_batches_per_second"`
	AgentBytesPerSecond   float64 `yaml:"agent_bytes_per_second"`
	// BytesPerSecond is the rate of all agents together.
	BytesPerSecond float64 `yaml:"bytes_per_second"`
	// BacklogBatchesPerSecond paces the credits of all agents together.
	BacklogBatchesPerSecond float64 `yaml:"backlog_batches_per_second"`
	// MaxSampleAge and MaxSampleFuture bound samples' times.
	MaxSampleAge    time.Duration `yaml:"max_sample_age"`
	MaxSampleFuture time.Duration `yaml:"max_sample_future"`
}

// DefaultConfig returns limits for some thousands of agents.
func DefaultConfig() Config {
	l := sentinel.DefaultLimits()
	return Config{
		MaxSessions: 20_000, MaxHandshakes: 512, HandshakeTimeout: 10 * time.Second, EnrolmentsPerSecond: 100, Heartbeat: 30 * time.Second,
		MaxUnacknowledged: 8, BacklogCredits: 8, MaxInFlightBytes: 256 << 20,
		AgentBatchesPerSecond: 50, AgentBytesPerSecond: 4 << 20, BytesPerSecond: 256 << 20, BacklogBatchesPerSecond: 2000,
		MaxSampleAge: l.MaxAge, MaxSampleFuture: l.MaxFuture,
	}
}

// Validate says which key is wrong and what is allowed.
func (c Config) Validate() error {
	for _, f := range []struct {
		key string
		ok  bool
	}{
		{"max_sessions", c.MaxSessions > 0}, {"max_handshakes", c.MaxHandshakes > 0},
		{"handshake_timeout", c.HandshakeTimeout > 0}, {"enrolments_per_second", c.EnrolmentsPerSecond > 0}, {"heartbeat", c.Heartbeat >= time.Second},
		{"max_unacknowledged", c.MaxUnacknowledged > 0 && c.MaxUnacknowledged <= 256},
		{"backlog_credits", c.BacklogCredits > 0 && c.BacklogCredits <= 256},
		{"max_in_flight_bytes", c.MaxInFlightBytes >= 16<<20},
		{"agent_batches_per_second", c.AgentBatchesPerSecond > 0}, {"agent_bytes_per_second", c.AgentBytesPerSecond > 0},
		{"bytes_per_second", c.BytesPerSecond > 0}, {"backlog_batches_per_second", c.BacklogBatchesPerSecond > 0},
		{"max_sample_age", c.MaxSampleAge > 0}, {"max_sample_future", c.MaxSampleFuture >= 0},
	} {
		if !f.ok {
			return sentinel.Errorf(sentinel.Invalid, "%s: is out of range; config.example.yml shows the default", f.key)
		}
	}
	return nil
}

// limits returns what holds for one agent's messages.
func (c Config) limits() sentinel.Limits {
	l := sentinel.DefaultLimits()
	l.MaxAge, l.MaxFuture = c.MaxSampleAge, c.MaxSampleFuture
	return l
}

// maxMessageBytes is the largest gRPC message: a layout or a payload, and room
// for the fields around it.
func (c Config) maxMessageBytes() int {
	l := c.limits()
	return max(l.MaxLayoutBytes, l.MaxPayloadBytes) + 16<<10
}
