package ingest_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

// shelf has one bundle, which every agent is to run.
type shelf struct{ reports chan []ingest.PluginState }

const bundleText = "a bundle, whatever that is"

func (s shelf) Wanted(_ context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID][]ingest.PluginRef, error) {
	out := map[sentinel.AgentID][]ingest.PluginRef{}
	for _, a := range agents {
		out[a] = []ingest.PluginRef{{Name: "room", Version: "1.0.0", Digest: "d", Size: len(bundleText), Attempt: 3}}
	}
	return out, nil
}

func (s shelf) Chunk(_ context.Context, digest string, offset int) ([]byte, error) {
	if digest != "d" {
		return nil, fmt.Errorf("asked for %q", digest)
	}
	return []byte(bundleText[offset:]), nil
}

func (s shelf) Reported(_ context.Context, _ sentinel.AgentID, states []ingest.PluginState) error {
	s.reports <- states
	return nil
}

func want(digest string, offset uint32) *sentinelpb.ConnectRequest {
	return &sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_PluginWant{PluginWant: &sentinelpb.PluginWant{Digest: digest, Offset: offset}}}
}

func TestPluginsAreToldAndHandedOut(t *testing.T) {
	s := shelf{make(chan []ingest.PluginState, 100)}
	g := startWith(t, nil, s)
	c, _ := g.connect()
	set := until(c, (*sentinelpb.ConnectResponse).GetPluginSet)
	if len(set.GetPlugins()) != 1 || set.GetPlugins()[0].GetAttempt() != 3 || !c.key.VerifyPluginSet("ag-one", set) || c.key.VerifyPluginSet("ag-two", set) {
		t.Errorf("told %v", set)
	}
	for _, tt := range []struct {
		digest string
		offset uint32
		data   string
	}{{"d", 0, bundleText}, {"d", 9, bundleText[9:]}, {"d", uint32(len(bundleText)), ""}, {"d", 1 << 31, ""}, {"another's", 0, ""}, {"", 0, ""}} {
		c.send(want(tt.digest, tt.offset))
		if got := until(c, (*sentinelpb.ConnectResponse).GetPluginChunk); string(got.GetData()) != tt.data || got.GetDigest() != tt.digest || got.GetOffset() != tt.offset {
			t.Errorf("%q from %d: %v", tt.digest, tt.offset, got)
		}
	}
	c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_PluginReport{PluginReport: &sentinelpb.PluginReport{Plugins: []*sentinelpb.PluginState{{Name: "room", State: "running"}}}}})
	if got := <-s.reports; len(got) != 1 || got[0].State != "running" {
		t.Errorf("kept %+v", got)
	}
}

// P23: what an agent says of its plugins costs writes to the database.
func TestP23PluginReportsAreBounded(t *testing.T) {
	for name, states := range map[string]int{"many": 1, "large": 301} {
		s := shelf{make(chan []ingest.PluginState, 1000)}
		g := startWith(t, nil, s)
		c, _ := g.connect()
		r := &sentinelpb.PluginReport{}
		for range states {
			r.Plugins = append(r.Plugins, &sentinelpb.PluginState{Name: "x"})
		}
		for range 200 {
			c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_PluginReport{PluginReport: r}})
		}
		if err := c.end(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: the session ended with %v", name, err)
		}
		if n := len(s.reports); n > 50 {
			t.Errorf("%s: %d reports were kept", name, n)
		}
	}
}
