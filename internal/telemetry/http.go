package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Check is one thing that must hold for a process to be ready.
type Check struct {
	Name string
	// Ask returns why it does not hold. It must obey ctx.
	Ask func(ctx context.Context) error
}

// Handler serves /metrics, /healthz (the process lives) and /readyz (every check
// passes; 503 and the failing ones where not).
func Handler(reg *Registry, healthy, ready []Check) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		reg.Write(w)
	})
	mux.HandleFunc("GET /healthz", answer(healthy))
	mux.HandleFunc("GET /readyz", answer(ready))
	return mux
}

func answer(checks []Check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		status, body := http.StatusOK, ""
		for _, c := range checks {
			if err := c.Ask(ctx); err != nil {
				status = http.StatusServiceUnavailable
				body += fmt.Sprintf("%s: %v\n", c.Name, err)
				continue
			}
			body += c.Name + ": ok\n"
		}
		if body == "" {
			body = "ok\n"
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the client may be gone
	}
}

const (
	readPatience  = time.Minute     // for a request to be sent as a whole
	writePatience = 2 * time.Minute // for it to be answered, and the answer to be taken
)

// Serve serves HTTP on the listener until ctx ends, then lets running requests
// finish for a few seconds and returns nil. It takes the listener over. Clients that
// send or take too slowly are cut off; a handler that answers for longer than a
// minute must move both deadlines itself, through http.ResponseController.
func Serve(ctx context.Context, lis net.Listener, h http.Handler) error {
	// Not ctx itself: what is running would be given up at once.
	base, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: readPatience, WriteTimeout: writePatience,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, BaseContext: func(net.Listener) context.Context { return base }}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}
