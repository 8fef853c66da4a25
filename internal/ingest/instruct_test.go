package ingest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// spareKeys is a rotation that the test holds in its hands: at most one key of
// ag-one that waits or was activated.
type spareKeys struct {
	mu        sync.Mutex
	version   int64
	key       sign.Key
	state     string // "", pending or active
	fail      error  // of Activate
	activated chan string
}

func (s *spareKeys) offer(key sign.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.key, s.state, s.activated = key, "pending", make(chan string, 10)
}

func (s *spareKeys) Version(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version, nil
}

func (s *spareKeys) Pending(_ context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID]sign.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[sentinel.AgentID]sign.Key{}
	for _, a := range agents {
		if a == "ag-one" && s.state == "pending" {
			out[a] = s.key
		}
	}
	return out, nil
}

func (s *spareKeys) Activate(_ context.Context, agent sentinel.AgentID, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fail; err != nil {
		s.fail = nil
		return err
	}
	if agent != "ag-one" || id != s.key.ID {
		return sentinel.Errorf(sentinel.NotFound, "no such key")
	}
	s.state = "active"
	s.activated <- id
	return nil
}

type keysBeside struct {
	keyTable
	spare *spareKeys
}

func (s *spareKeys) beside(t keyTable) ingest.Keys { return keysBeside{t, s} }

func (k keysBeside) Key(ctx context.Context, agent sentinel.AgentID, id string) (sign.Key, error) {
	k.spare.mu.Lock()
	defer k.spare.mu.Unlock()
	if agent == "ag-one" && k.spare.state != "" && k.spare.key.ID == id {
		return k.spare.key, nil
	}
	return k.keyTable.Key(ctx, agent, id)
}

// until returns the first message that pick takes.
func until[T any](c *client, pick func(*sentinelpb.ConnectResponse) *T) *T {
	c.g.t.Helper()
	for {
		if m := pick(c.receive()); m != nil {
			return m
		}
	}
}

func (c *client) challenge() (nonce, challenge []byte) {
	c.g.t.Helper()
	nonce = c.hello(c.g.agent, c.key.ID)
	challenge = c.receive().GetChallenge().GetNonce()
	c.prove(c.key.Session(c.g.agent, nonce, challenge))
	if c.receive().GetWelcome() == nil {
		c.g.t.Fatal("no welcome")
	}
	return nonce, challenge
}

func (c *client) proveKey(id string, mac []byte) {
	c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_KeyProof{KeyProof: &sentinelpb.KeyProof{KeyId: id, Mac: mac}}})
}

// TestP18AKeyIsActiveWhenItIsProven hands a key over in a session that is open, and
// in one that opens later, and lets the first try to keep the proof fail.
func TestP18AKeyIsActiveWhenItIsProven(t *testing.T) {
	for _, open := range []string{"while the session is open", "before the session opens"} {
		t.Run(open, func(t *testing.T) {
			g := start(t, nil)
			next := sign.NewKey()
			if open == "before the session opens" {
				g.spare.offer(next)
			}
			c := g.dial()
			nonce, challenge := c.challenge()
			if open == "while the session is open" {
				g.spare.offer(next)
			}
			g.spare.mu.Lock()
			g.spare.fail = sentinel.Errorf(sentinel.Unavailable, "out")
			g.spare.mu.Unlock()
			for range 2 { // the outage makes the gateway offer it again
				offer := until(c, (*sentinelpb.ConnectResponse).GetKeyOffer)
				if offer.GetKeyId() != next.ID || string(offer.GetSecret()) != string(next.Secret()) {
					t.Fatalf("another key was offered: %s", offer.GetKeyId())
				}
				c.proveKey(next.ID, next.Session(g.agent, nonce, challenge))
			}
			if id := <-g.spare.activated; id != next.ID {
				t.Errorf("key %s was activated", id)
			}
			if a := until(c, (*sentinelpb.ConnectResponse).GetKeyAccepted); a.GetKeyId() != next.ID {
				t.Errorf("accepted %s", a.GetKeyId())
			}
		})
	}
}

func TestP18AWrongProofActivatesNothing(t *testing.T) {
	g := start(t, nil)
	next := sign.NewKey()
	g.spare.offer(next)
	c := g.dial()
	nonce, challenge := c.challenge()
	until(c, (*sentinelpb.ConnectResponse).GetKeyOffer)
	c.proveKey("k-other", next.Session(g.agent, nonce, challenge)) // passed over
	c.proveKey(next.ID, c.key.Session(g.agent, nonce, challenge))  // the old key's
	if err := c.end(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the session ended with %v", err)
	}
	if len(g.spare.activated) != 0 {
		t.Error("a key was activated that nobody proved")
	}
}

// TestP18AHandshakeProvesThePendingKey: the agent kept the key, and its proof or the
// answer got lost.
func TestP18AHandshakeProvesThePendingKey(t *testing.T) {
	g := start(t, nil)
	next := sign.NewKey()
	g.spare.offer(next)
	c := g.dial()
	c.key = next
	c.challenge()
	if id := <-g.spare.activated; id != next.ID {
		t.Errorf("key %s was activated", id)
	}
}

// buyers sells an identity for one token.
type buyers struct{ fail error }

func (b *buyers) Enrol(_ context.Context, token string, r sign.Request, info *sentinelpb.AgentInfo) (sentinel.AgentID, error) {
	switch {
	case b.fail != nil:
		return "", b.fail
	case token != "right" || len(r.Nonce) != sign.NonceSize || strings.ContainsAny(info.GetHostname(), "\x00\n"):
		return "", sentinel.Errorf(sentinel.Unauthenticated, "not valid")
	}
	return "ag-new", nil
}

func TestEnrolRefuses(t *testing.T) {
	g := start(t, func(c *ingest.Config) { c.EnrolmentsPerSecond = 1000 })
	conn, err := grpc.NewClient(g.addr, grpc.WithTransportCredentials(credentials.NewTLS(g.clientTLS())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	good := func() *sentinelpb.EnrollRequest {
		return &sentinelpb.EnrollRequest{Token: "right", Nonce: sign.NewNonce(), KeyId: "k-a", Secret: sign.NewKey().Secret(), Info: &sentinelpb.AgentInfo{Hostname: "a\nb"}}
	}
	for _, tt := range []struct {
		name   string
		change func(*sentinelpb.EnrollRequest)
		want   codes.Code
	}{
		{"good", func(*sentinelpb.EnrollRequest) {}, codes.OK},
		{"a wrong token", func(r *sentinelpb.EnrollRequest) { r.Token = "wrong" }, codes.Unauthenticated},
		{"a token of 1 MB", func(r *sentinelpb.EnrollRequest) { r.Token = strings.Repeat("a", 1<<20) }, codes.Unauthenticated},
		{"no nonce", func(r *sentinelpb.EnrollRequest) { r.Nonce = nil }, codes.InvalidArgument},
		{"a long nonce", func(r *sentinelpb.EnrollRequest) { r.Nonce = make([]byte, 1000) }, codes.InvalidArgument},
		{"a short secret", func(r *sentinelpb.EnrollRequest) { r.Secret = r.Secret[1:] }, codes.InvalidArgument},
		{"no key id", func(r *sentinelpb.EnrollRequest) { r.KeyId = "" }, codes.InvalidArgument},
		{"a key id with a line break", func(r *sentinelpb.EnrollRequest) { r.KeyId = "k\n" }, codes.InvalidArgument},
		{"an empty request", func(r *sentinelpb.EnrollRequest) { r.Reset() }, codes.InvalidArgument},
	} {
		r := good()
		tt.change(r)
		answer, err := sentinelpb.NewGatewayClient(conn).Enroll(t.Context(), r)
		if status.Code(err) != tt.want || (err == nil && answer.GetAgentId() != "ag-new") {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	g.buyers.fail = sentinel.Errorf(sentinel.Unavailable, "password=hunter2 is out")
	if _, err := sentinelpb.NewGatewayClient(conn).Enroll(t.Context(), good()); status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("an outage is answered %v", err)
	}
}

func TestEnrolIsPaced(t *testing.T) {
	g := start(t, func(c *ingest.Config) { c.EnrolmentsPerSecond = 1 })
	conn, err := grpc.NewClient(g.addr, grpc.WithTransportCredentials(credentials.NewTLS(g.clientTLS())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var turned atomic.Int64
	var group sync.WaitGroup
	for range 20 { // the gateway waits 3 s at the most
		group.Go(func() {
			_, err := sentinelpb.NewGatewayClient(conn).Enroll(t.Context(), &sentinelpb.EnrollRequest{Token: "wrong", Nonce: sign.NewNonce(), KeyId: "k-a", Secret: sign.NewKey().Secret()})
			if status.Code(err) == codes.ResourceExhausted {
				turned.Add(1)
			}
		})
	}
	group.Wait()
	if n := turned.Load(); n < 10 || n == 20 {
		t.Errorf("%d of 20 that came at once were turned away, at one in a second", n)
	}
}

// told is what ag-one is told to collect.
type told struct {
	mu      sync.Mutex
	events  []ingest.Event
	out     bool // of what keeps events
	config  ingest.AgentConfig
	reports chan string
}

func (c *told) Wanted(_ context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID]ingest.AgentConfig, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[sentinel.AgentID]ingest.AgentConfig{}
	for _, a := range agents {
		if a == "ag-one" {
			out[a] = c.config
		}
	}
	return out, nil
}

func (c *told) Reported(_ context.Context, agent sentinel.AgentID, version uint64, why string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if why == "" {
		c.config.Applied = version
	}
	c.reports <- fmt.Sprintf("%s %d %s", agent, version, why)
	return nil
}

// TestConfigIsToldOnceAndSigned: an agent is told what it does not run with, once in
// a session, signed for it alone, and what it answers is kept.
func TestConfigIsToldOnceAndSigned(t *testing.T) {
	g := start(t, nil)
	g.told.config = ingest.AgentConfig{Version: 7, Content: "interval: 20s"}
	c := g.dial()
	c.challenge()
	m := until(c, (*sentinelpb.ConnectResponse).GetConfig)
	if m.GetVersion() != 7 || string(m.GetContent()) != "interval: 20s" || !c.key.VerifyConfig("ag-one", m) || c.key.VerifyConfig("ag-two", m) {
		t.Errorf("told %v", m)
	}
	report := func(version uint64, applied bool, why string) {
		c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_ConfigReport{ConfigReport: &sentinelpb.ConfigReport{Version: version, Applied: applied, Detail: why}}})
	}
	report(7, false, "not here")
	if got := <-g.told.reports; got != "ag-one 7 not here" {
		t.Errorf("kept %q", got)
	}
	// Another change somewhere makes the gateway look again: it is not told again.
	next := sign.NewKey()
	g.spare.offer(next)
	for {
		m := c.receive()
		if m.GetConfig() != nil {
			t.Fatal("it is told again what it has refused")
		}
		if m.GetKeyOffer() != nil {
			break
		}
	}
	g.told.mu.Lock()
	g.told.config.Version, g.told.config.Content = 0, ""
	g.told.mu.Unlock()
	report(7, true, "")
	if got := <-g.told.reports; got != "ag-one 7 " {
		t.Errorf("kept %q", got)
	}
	g.spare.offer(sign.NewKey())
	if m := until(c, (*sentinelpb.ConnectResponse).GetConfig); m.GetVersion() != 0 || len(m.GetContent()) != 0 {
		t.Errorf("told %v, not that nothing is wanted any more", m)
	}
}

// TestP23ReportsAreBounded: each one costs a write to the database.
func TestP23ReportsAreBounded(t *testing.T) {
	g := start(t, nil)
	c := g.dial()
	c.challenge()
	for range 1100 {
		c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_ConfigReport{ConfigReport: &sentinelpb.ConfigReport{Version: 1}}})
	}
	if err := c.end(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("the session ended with %v", err)
	}
	if n := len(g.told.reports); n > 1000 {
		t.Errorf("%d reports were kept", n)
	}
}

func (c *told) Keep(_ context.Context, events []ingest.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out {
		return sentinel.Errorf(sentinel.Unavailable, "out")
	}
	c.events = append(c.events, events...)
	return nil
}

// TestEventsWaitForTheirKeeper: what happens while they cannot be kept is kept later,
// in its order, and what happens at the end too.
func TestEventsWaitForTheirKeeper(t *testing.T) {
	g := start(t, nil)
	g.told.out = true
	c := g.dial()
	c.challenge()
	again := g.dial()
	again.challenge() // in its place
	if err := c.end(); err == nil {
		t.Fatal("the first session goes on")
	}
	g.told.mu.Lock()
	g.told.out = false
	g.told.mu.Unlock()
	want := []ingest.EventKind{ingest.EventConnected, ingest.EventDisplaced, ingest.EventConnected, ingest.EventDisconnected}
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		g.told.mu.Lock()
		var got []ingest.EventKind
		for _, e := range g.told.events {
			got = append(got, e.Kind)
		}
		g.told.mu.Unlock()
		if len(got) >= len(want) {
			slices.Sort(got[2:4]) // the end of the one session and the welcome of the other come at once
			slices.Sort(want[2:4])
			if !slices.Equal(got, want) {
				t.Errorf("events %v, want %v", got, want)
			}
			return
		}
		select {
		case <-deadline:
			t.Fatalf("events %v, want %v", got, want)
		case <-tick.C:
		}
	}
}
