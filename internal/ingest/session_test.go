package ingest_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/wire"
)

func TestWelcomeCarriesMarksAndLimits(t *testing.T) {
	g := start(t, nil)
	g.memory.marks = map[sentinel.AgentID][]sentinel.Mark{"ag-one": {{Epoch: 7, Settled: []sentinel.SeqRange{{First: 1, Last: 2}}}}}
	_, w := g.connect()
	if len(w.GetMarks()) != 1 || w.GetMarks()[0].GetEpoch() != 7 || w.GetMarks()[0].GetSettled()[0].GetLast() != 2 {
		t.Errorf("marks: %v", w.GetMarks())
	}
	if w.GetLimits().GetMaxPayloadBytes() == 0 || w.GetMaxUnacknowledged() == 0 || w.GetBacklogCredits() == 0 || w.GetSessionId() == "" {
		t.Errorf("welcome: %v", w)
	}
	g.memory.mu.Lock()
	defer g.memory.mu.Unlock()
	if r := g.memory.reports[0]; r.Agent != "ag-one" || len(r.Positions) != 1 || r.Positions[0].Appended != 3 || r.Info.GetHostname() != "host" {
		t.Errorf("report: %+v", r)
	}
}

func TestASessionStartsWithoutTheDatabase(t *testing.T) {
	g := start(t, nil)
	g.memory.fail = sentinel.Errorf(sentinel.Unavailable, "out")
	c, _ := g.connect()
	e := c.envelope(1)
	c.key.Batch(e)
	c.batch(e)
	if r := c.receipt(); r.GetCode() != sentinelpb.Code_CODE_OK {
		t.Errorf("receipt: %v", r)
	}
}

// TestP16OneRefusalForEveryStranger: who cannot prove who they are learns nothing
// about why.
func TestP16OneRefusalForEveryStranger(t *testing.T) {
	g := start(t, nil)
	ask := func(agent sentinel.AgentID, keyID string, prove func(nonce, server []byte) []byte) error {
		c := g.dial()
		nonce := c.hello(agent, keyID)
		m, err := c.stream.Recv()
		if err != nil {
			return err
		}
		c.prove(prove(nonce, m.GetChallenge().GetNonce()))
		return c.end()
	}
	one, two := g.keys["ag-one"], g.keys["ag-two"]
	var texts []string
	for name, err := range map[string]error{
		"unknown agent":        ask("ag-nobody", one.ID, func(n, s []byte) []byte { return one.Session("ag-nobody", n, s) }),
		"unknown key":          ask("ag-one", "k-none", func(n, s []byte) []byte { return one.Session("ag-one", n, s) }),
		"wrong proof":          ask("ag-one", one.ID, func(n, s []byte) []byte { return two.Session("ag-one", n, s) }),
		"no proof":             ask("ag-one", one.ID, func(n, s []byte) []byte { return nil }),
		"another agent's":      ask("ag-two", two.ID, func(n, s []byte) []byte { return two.Session("ag-one", n, s) }),
		"nonces the other way": ask("ag-one", one.ID, func(n, s []byte) []byte { return one.Session("ag-one", s, n) }),
		"an impossible name":   ask("AG ONE\x00", one.ID, func(n, s []byte) []byte { return one.Session("ag-one", n, s) }),
	} {
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
		texts = append(texts, fmt.Sprint(err))
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("the refusals differ: %q and %q", text, texts[0])
		}
	}
	if n := g.counted(`sentinel_gateway_sessions_refused_total{reason="unauthenticated"}`); n != "7" {
		t.Errorf("counted %s refusals, want 7", n)
	}
	if err := ask("ag-outage", "k", func(n, s []byte) []byte { return nil }); status.Code(err) != codes.Unavailable {
		t.Errorf("an outage of the keys is answered %v", err)
	}
}

func TestP22HostileHandshakes(t *testing.T) {
	g := start(t, func(c *ingest.Config) { c.HandshakeTimeout = 500 * time.Millisecond })
	var many []*sentinelpb.Position
	for i := range 300 {
		many = append(many, &sentinelpb.Position{Epoch: uint64(i + 1)})
	}
	hello := func(h *sentinelpb.Hello) *sentinelpb.ConnectRequest {
		return &sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Hello{Hello: h}}
	}
	for name, m := range map[string]*sentinelpb.ConnectRequest{
		"nothing":            {},
		"a batch first":      {Message: &sentinelpb.ConnectRequest_Batch{Batch: &sentinelpb.Batch{}}},
		"an empty hello":     hello(&sentinelpb.Hello{}),
		"a short nonce":      hello(&sentinelpb.Hello{AgentId: "ag-one", Nonce: []byte{1}}),
		"too many positions": hello(&sentinelpb.Hello{AgentId: "ag-one", Nonce: sign.NewNonce(), Positions: many}),
		"a huge message":     hello(&sentinelpb.Hello{AgentId: strings.Repeat("a", 4<<20)}),
	} {
		c := g.dial()
		c.send(m)
		if err := c.end(); status.Code(err) == codes.OK || status.Code(err) == codes.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	silent := g.dial()
	if err := silent.end(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a client that says nothing: %v", err)
	}
	if _, w := g.connect(); w == nil {
		t.Error("after all that an honest agent cannot connect")
	}
}

func TestTLSIsNeeded(t *testing.T) {
	g := start(t, nil)
	conn, err := grpc.NewClient(g.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := sentinelpb.NewGatewayClient(conn).Connect(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a client without TLS: %v", err)
	}
	old := g.clientTLS()
	old.MaxVersion = tls.VersionTLS12
	raw, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", g.addr, old)
	if err == nil {
		raw.Close()
		t.Error("TLS 1.2 is taken")
	}
}

func TestANewerSessionTakesOver(t *testing.T) {
	g := start(t, nil)
	first, _ := g.connect()
	second, _ := g.connect()
	if bye := first.receive().GetGoodbye(); bye == nil || !strings.Contains(bye.GetDetail(), "took over") {
		t.Errorf("the older session was told %v", bye)
	}
	e := second.envelope(1)
	second.key.Batch(e)
	second.batch(e)
	if r := second.receipt(); r.GetCode() != sentinelpb.Code_CODE_OK {
		t.Errorf("receipt: %v", r)
	}
}

func TestMarksReachTheirAgent(t *testing.T) {
	g := start(t, nil)
	c, _ := g.connect()
	raw, err := proto.Marshal(&sentinelpb.AgentMarks{Marks: []*sentinelpb.AgentMark{
		{AgentId: "ag-two", Mark: &sentinelpb.Mark{Epoch: 1}},
		{AgentId: "ag-one", Mark: &sentinelpb.Mark{Epoch: 2, Settled: []*sentinelpb.SeqRange{{First: 1, Last: 9}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *sentinelpb.Mark, 1)
	go func() {
		for {
			m, err := c.stream.Recv()
			if err != nil {
				return
			}
			if mark := m.GetMark(); mark != nil {
				got <- mark
				return
			}
		}
	}()
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C { // marks are hints: repeated until heard
		if err := g.broker.PublishMarks([]byte("not marks")); err != nil {
			t.Fatal(err)
		}
		if err := g.broker.PublishMarks(raw); err != nil {
			t.Fatal(err)
		}
		select {
		case mark := <-got:
			if mark.GetEpoch() != 2 {
				t.Errorf("got another agent's mark: %v", mark)
			}
			return
		default:
		}
	}
}

func TestHeartbeatsAreStoredAndAnsweredWithMarks(t *testing.T) {
	g := start(t, nil)
	g.memory.marks = map[sentinel.AgentID][]sentinel.Mark{"ag-one": {{Epoch: 5, Settled: []sentinel.SeqRange{{First: 1, Last: 4}}}}}
	c, _ := g.connect()
	c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Heartbeat{Heartbeat: &sentinelpb.Heartbeat{
		Positions: []*sentinelpb.Position{{Epoch: 5, Appended: 4}, {Epoch: 0, Appended: 4}}, UnixMs: time.Now().Add(time.Hour).UnixMilli()}}})
	mark := c.receive().GetMark()
	if mark.GetEpoch() != 5 || mark.GetSettled()[0].GetLast() != 4 {
		t.Errorf("mark: %v", mark)
	}
	g.memory.mu.Lock()
	defer g.memory.mu.Unlock()
	last := g.memory.reports[len(g.memory.reports)-1]
	if len(last.Positions) != 1 || last.Clock < 59*time.Minute {
		t.Errorf("report: %+v", last)
	}
}

// TestP9AResetEndsSessions: after the broker may have lost what it acknowledged,
// agents must come back and start from what is settled.
func TestP9AResetEndsSessions(t *testing.T) {
	g := start(t, nil)
	c, _ := g.connect()
	if err := g.nats.DisconnectClientByID(1); err != nil {
		t.Logf("%v", err)
	}
	for id := uint64(2); id < 12; id++ {
		_ = g.nats.DisconnectClientByID(id) // whichever is the gateway's
	}
	for {
		m, err := c.stream.Recv()
		if err != nil {
			t.Fatalf("the stream ended without a goodbye: %v", err)
		}
		if bye := m.GetGoodbye(); bye != nil {
			if !strings.Contains(bye.GetDetail(), "reset") {
				t.Errorf("goodbye: %v", bye)
			}
			return
		}
	}
}

func TestLayoutsAreChecked(t *testing.T) {
	g := start(t, nil)
	good := wire.EncodeLayout(g.layout)
	h := wire.HashLayout(good)
	twice := append(sentinel.Layout{}, g.layout[0], g.layout[0])
	for name, l := range map[string]*sentinelpb.Layout{
		"wrong hash":    {Hash: make([]byte, 16), Definition: good},
		"short hash":    {Hash: h[:4], Definition: good},
		"not a layout":  {Hash: hash([]byte("junk")), Definition: []byte("junk")},
		"series twice":  {Hash: hash(wire.EncodeLayout(twice)), Definition: wire.EncodeLayout(twice)},
		"reserved name": {Hash: hash(wire.EncodeLayout(sentinel.Layout{sentinel.NewSeries("a", sentinel.Gauge, "", "agent", "x")})), Definition: wire.EncodeLayout(sentinel.Layout{sentinel.NewSeries("a", sentinel.Gauge, "", "agent", "x")})},
	} {
		c, _ := g.connect()
		c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Layout{Layout: l}})
		if err := c.end(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, _ := g.connect()
	for i := range 80 {
		c.makeKnown(sentinel.Layout{sentinel.NewSeries(fmt.Sprint("m", i), sentinel.Gauge, "")})
	}
	if err := c.end(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a flood of layouts: %v", err)
	}
}

func hash(definition []byte) []byte {
	h := wire.HashLayout(definition)
	return h[:]
}
