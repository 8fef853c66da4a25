package ingest_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

// TestSessionsAreAnnounced: who listens hears within seconds that an agent is there,
// and that it sends what it had to keep.
func TestSessionsAreAnnounced(t *testing.T) {
	g := start(t, nil)
	heard := make(chan *sentinelpb.Session, 100)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- g.broker.Listen(ctx, broker.TopicSessions, func(data []byte) {
			var m sentinelpb.Sessions
			if err := proto.Unmarshal(data, &m); err != nil {
				t.Error(err)
			}
			for _, s := range m.GetSessions() {
				heard <- s
			}
		})
	}()
	wait := func(backlog bool) {
		t.Helper()
		for end := time.After(15 * time.Second); ; {
			select {
			case s := <-heard:
				if s.GetAgentId() == "ag-one" && s.GetBacklog() == backlog {
					return
				}
			case <-end:
				t.Fatalf("nobody says that the agent is there, backlog %t", backlog)
			}
		}
	}
	c, _ := g.connect()
	wait(false)
	e := c.envelope(1)
	c.key.Batch(e)
	c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Batch{Batch: &sentinelpb.Batch{Envelope: e, Lane: sentinelpb.Lane_LANE_BACKLOG}}})
	wait(true)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
