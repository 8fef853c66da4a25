// Package embedded runs a NATS server with JetStream inside this process, for the
// all-in-one binary and for tests. It owns the NATS server library.
package embedded

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Config says where the server keeps its data and whether it can be reached.
type Config struct {
	// Dir holds the streams.
	Dir string
	// Listen is a port on loopback: 0 means none at all (connections come from
	// this process alone), -1 any free port.
	Listen int
	// MaxBytes bounds what all streams hold on disk.
	MaxBytes int64
}

// Server is a running NATS server.
type Server struct{ *server.Server }

// Start starts a server and returns once it accepts connections. The caller ends
// it with Stop. The server itself satisfies nats.InProcessConnProvider.
func Start(cfg Config, log *slog.Logger) (Server, error) {
	s, err := server.NewServer(&server.Options{
		ServerName:         "sentinel",
		Host:               "127.0.0.1",
		Port:               cfg.Listen,
		DontListen:         cfg.Listen == 0,
		JetStream:          true,
		StoreDir:           cfg.Dir,
		JetStreamMaxStore:  cfg.MaxBytes,
		JetStreamMaxMemory: 64 << 20,
		NoSigs:             true,
		MaxPayload:         1 << 20,
	})
	if err != nil {
		return Server{}, fmt.Errorf("start embedded broker: %w", err)
	}
	s.SetLoggerV2(logger{log}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		s.Shutdown()
		return Server{}, sentinel.Errorf(sentinel.Unavailable, "start embedded broker: not ready after 20 s, see its log lines above")
	}
	return Server{s}, nil
}

// Stop ends the server and returns after its streams are on disk.
func (s Server) Stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// logger passes the server's warnings and errors on.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(string, ...any) {}
func (l logger) Debugf(string, ...any)  {}
func (l logger) Tracef(string, ...any)  {}
func (l logger) Warnf(f string, a ...any) {
	l.log.Warn("embedded broker", "message", fmt.Sprintf(f, a...))
}
func (l logger) Errorf(f string, a ...any) {
	l.log.Error("embedded broker", "message", fmt.Sprintf(f, a...))
}
func (l logger) Fatalf(f string, a ...any) {
	l.log.Error("embedded broker", "message", fmt.Sprintf(f, a...))
}
