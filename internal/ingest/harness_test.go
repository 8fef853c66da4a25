package ingest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/broker/brokertest"
	"github.com/sentinelgo/sentinel/internal/broker/embedded"
	"github.com/sentinelgo/sentinel/internal/devca"
	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// keyTable is a fixed set of agents.
type keyTable map[sentinel.AgentID]sign.Key

func (k keyTable) Key(_ context.Context, agent sentinel.AgentID, id string) (sign.Key, error) {
	if agent == "ag-outage" {
		return sign.Key{}, sentinel.Errorf(sentinel.Unavailable, "the database is out")
	}
	if key, ok := k[agent]; ok && key.ID == id {
		return key, nil
	}
	return sign.Key{}, sentinel.Errorf(sentinel.Unauthenticated, "no such key")
}

// memory keeps reports and answers with fixed marks.
type memory struct {
	mu      sync.Mutex
	reports []ingest.Report
	marks   map[sentinel.AgentID][]sentinel.Mark
	fail    error
}

func (m *memory) Report(_ context.Context, r []ingest.Report) (map[sentinel.AgentID][]sentinel.Mark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reports = append(m.reports, r...)
	return m.marks, m.fail
}

type gateway struct {
	t       testing.TB
	addr    string
	certs   devca.Files
	broker  *broker.Broker
	nats    embedded.Server
	metrics *telemetry.Registry
	memory  *memory
	keys    keyTable
	spare   *spareKeys
	buyers  *buyers
	told    *told
	agent   sentinel.AgentID
	layout  sentinel.Layout
}

func start(t testing.TB, change func(*ingest.Config)) *gateway {
	t.Helper()
	return startWith(t, change, nil)
}

// startWith starts a gateway that speaks of plugins.
func startWith(t testing.TB, change func(*ingest.Config), plugins ingest.Plugins) *gateway {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b, nats := brokertest.Open(t)
	var err error
	g := &gateway{t: t, broker: b, nats: nats, metrics: telemetry.NewRegistry(), memory: &memory{}, agent: "ag-one",
		keys: keyTable{"ag-one": sign.NewKey(), "ag-two": sign.NewKey()}, spare: &spareKeys{}, buyers: &buyers{}, told: &told{reports: make(chan string, 2000)}}
	for _, name := range []string{"a", "b", "c"} {
		g.layout = append(g.layout, sentinel.NewSeries("metric_"+name, sentinel.Gauge, ""))
	}
	if g.certs, err = devca.Ensure(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(g.certs.Cert, g.certs.Key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := ingest.DefaultConfig()
	cfg.HandshakeTimeout = 3 * time.Second
	if change != nil {
		change(&cfg)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = lis.Addr().String()
	srv := ingest.New(cfg, ingest.Deps{Keys: g.spare.beside(g.keys), Rotation: g.spare, Enrol: g.buyers, Configs: g.told, Plugins: plugins, Events: g.told, Broker: b, Resets: b, Presence: g.memory, Announcer: b, Metrics: g.metrics, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx, lis, &tls.Config{Certificates: []tls.Certificate{pair}}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	return g
}

func (g *gateway) clientTLS() *tls.Config {
	pem, err := os.ReadFile(g.certs.CA)
	if err != nil {
		g.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool}
}

// client is one agent's end of a session, in the test's hands.
type client struct {
	g      *gateway
	stream grpc.BidiStreamingClient[sentinelpb.ConnectRequest, sentinelpb.ConnectResponse]
	key    sign.Key
	epoch  sentinel.Epoch
	seq    uint64
}

func (g *gateway) dial() *client {
	g.t.Helper()
	conn, err := grpc.NewClient(g.addr, grpc.WithTransportCredentials(credentials.NewTLS(g.clientTLS())))
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	g.t.Cleanup(func() { cancel(); conn.Close() })
	stream, err := sentinelpb.NewGatewayClient(conn).Connect(ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	return &client{g: g, stream: stream, key: g.keys[g.agent], epoch: sentinel.NewEpoch(), seq: 1}
}

func (c *client) send(m *sentinelpb.ConnectRequest) {
	c.g.t.Helper()
	if err := c.stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
		c.g.t.Fatal(err)
	}
}

func (c *client) receive() *sentinelpb.ConnectResponse {
	c.g.t.Helper()
	m, err := c.stream.Recv()
	if err != nil {
		c.g.t.Fatal(err)
	}
	return m
}

// end returns the error with which the server ends the stream.
func (c *client) end() error {
	for {
		if _, err := c.stream.Recv(); err != nil {
			return err
		}
	}
}

func (c *client) hello(agent sentinel.AgentID, keyID string) (nonce []byte) {
	nonce = sign.NewNonce()
	c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Hello{Hello: &sentinelpb.Hello{
		AgentId: string(agent), KeyId: keyID, Nonce: nonce, UnixMs: time.Now().UnixMilli(),
		Info: &sentinelpb.AgentInfo{Hostname: "host"}, Positions: []*sentinelpb.Position{{Epoch: 7, Appended: 3}},
	}}})
	return nonce
}

func (c *client) prove(mac []byte) {
	c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Proof{Proof: &sentinelpb.Proof{Mac: mac}}})
}

// connect does the whole handshake and makes the layout known.
func (g *gateway) connect() (*client, *sentinelpb.Welcome) {
	g.t.Helper()
	c := g.dial()
	nonce := c.hello(g.agent, c.key.ID)
	challenge := c.receive().GetChallenge()
	if challenge == nil {
		g.t.Fatal("no challenge")
	}
	c.prove(c.key.Session(g.agent, nonce, challenge.GetNonce()))
	w := c.receive().GetWelcome()
	if w == nil {
		g.t.Fatal("no welcome")
	}
	c.makeKnown(g.layout)
	return c, w
}

func (c *client) makeKnown(l sentinel.Layout) {
	definition := wire.EncodeLayout(l)
	h := wire.HashLayout(definition)
	c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Layout{Layout: &sentinelpb.Layout{Hash: h[:], Definition: definition}}})
}

// envelope returns a good batch of n cycles, not yet signed.
func (c *client) envelope(n int) *sentinelpb.Envelope {
	return c.envelopeAt(n, time.Now())
}

func (c *client) envelopeAt(n int, at time.Time) *sentinelpb.Envelope {
	c.g.t.Helper()
	h := wire.HashLayout(wire.EncodeLayout(c.g.layout))
	var cycles []sentinel.Cycle
	for i := range n {
		cycles = append(cycles, sentinel.Cycle{Layout: h, Time: at.Add(time.Duration(i) * time.Second).Truncate(time.Millisecond), Values: []float64{float64(i), 2, 3.5}})
	}
	payload, err := wire.EncodeCycles(cycles)
	if err != nil {
		c.g.t.Fatal(err)
	}
	e := &sentinelpb.Envelope{AgentId: string(c.g.agent), Epoch: uint64(c.epoch), Seq: c.seq, Count: uint32(n),
		Codec: sentinelpb.Codec_CODEC_CYCLES_V1, Payload: payload}
	c.seq += uint64(n)
	return e
}

func (c *client) batch(e *sentinelpb.Envelope) {
	c.send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Batch{Batch: &sentinelpb.Batch{Envelope: e, Lane: sentinelpb.Lane_LANE_LIVE}}})
}

// receipt returns the next receipt.
func (c *client) receipt() *sentinelpb.Receipt {
	c.g.t.Helper()
	for {
		if r := c.receive().GetReceipt(); r != nil {
			return r
		}
	}
}

// published returns what has reached the broker so far, envelope by envelope.
func (g *gateway) published() []*sentinelpb.Envelope {
	g.t.Helper()
	msgs, err := g.broker.Consumer("test").Fetch(g.t.Context(), 100, 50*time.Millisecond)
	if err != nil {
		g.t.Fatal(err)
	}
	var out []*sentinelpb.Envelope
	for _, m := range msgs {
		var d sentinelpb.Deliveries
		if err := proto.Unmarshal(m.Data, &d); err != nil {
			g.t.Fatal(err)
		}
		for _, one := range d.GetDeliveries() {
			out = append(out, one.GetEnvelope())
		}
		if err := m.Ack(); err != nil {
			g.t.Fatal(err)
		}
	}
	return out
}

// counted returns the value of a metric, as a scraper sees it.
func (g *gateway) counted(series string) string {
	var b strings.Builder
	g.metrics.Write(&b)
	for line := range strings.Lines(b.String()) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "missing"
}

func encode(l sentinel.Layout) []byte { return wire.EncodeLayout(l) }

func payload(t testing.TB, cycles ...sentinel.Cycle) []byte {
	t.Helper()
	raw, err := wire.EncodeCycles(cycles)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
