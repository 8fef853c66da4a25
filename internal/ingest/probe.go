package ingest

import (
	"context"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// Probe takes a batch as a session of its agent would: the layout is made known, the
// batch is checked and goes to the broker with the others. It returns once the batch has
// been checked; acknowledged then waits for the broker. What is refused is counted as
// from any agent.
func (g *Gateway) Probe(ctx context.Context, agent sentinel.AgentID, layout []byte, e *sentinelpb.Envelope) (acknowledged func(context.Context) error, err error) {
	s := &session{g: g, log: g.deps.Log.With("agent", agent), agent: agent, layouts: map[sentinel.LayoutHash]int{}}
	h := wire.HashLayout(layout)
	if err := s.takeLayout(ctx, &sentinelpb.Layout{Hash: h[:], Definition: layout}); err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "make the layout known: %w", err)
	}
	if len(s.layouts) == 0 {
		return nil, sentinel.Errorf(sentinel.Unavailable, "the broker did not take the layout")
	}
	if r := s.check(ctx, e); r != nil {
		g.metrics.rejected(r.reason).Inc()
		return nil, sentinel.Errorf(sentinel.Invalid, "the gateway refuses the batch: %s", r.receipt.GetDetail())
	}
	done := make(chan error, 1)
	g.publish.submit(ctx, agent, &sentinelpb.Delivery{Envelope: e, ReceivedUnixMs: g.deps.Now().UnixMilli()}, func(err error) { done <- err })
	return func(ctx context.Context) error {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}
