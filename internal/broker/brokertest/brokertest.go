// Package brokertest gives tests a broker of their own.
package brokertest

import (
	"log/slog"
	"testing"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/broker/embedded"
)

// Open returns a broker in this process, and its server. Both end with the test.
func Open(t testing.TB) (*broker.Broker, embedded.Server) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	nats, err := embedded.Start(embedded.Config{Dir: t.TempDir(), MaxBytes: 8 << 30}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nats.Stop)
	cfg := broker.DefaultConfig()
	cfg.InProcess = nats
	b, err := broker.Open(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, nats
}
