package uplink_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/devca"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/uplink"
	"github.com/sentinelgo/sentinel/internal/wal"
	"github.com/sentinelgo/sentinel/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is a server whose answers the test decides, batch by batch.
type gateway struct {
	sentinelpb.UnimplementedGatewayServer
	key     sign.Key
	credits uint32
	ahead   time.Duration                                         // of its clock
	answer  func(*sentinelpb.Batch) []*sentinelpb.ConnectResponse // nil: OK and settled

	mu       sync.Mutex
	beat     *sentinelpb.Heartbeat // the last one
	got      []*sentinelpb.Batch
	layouts  int
	sessions int
}

func (g *gateway) Connect(s grpc.BidiStreamingServer[sentinelpb.ConnectRequest, sentinelpb.ConnectResponse]) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	hello := m.GetHello()
	nonce := sign.NewNonce()
	if err := s.Send(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Challenge{Challenge: &sentinelpb.Challenge{Nonce: nonce}}}); err != nil {
		return err
	}
	if m, err = s.Recv(); err != nil {
		return err
	}
	if !g.key.VerifySession(sentinel.AgentID(hello.GetAgentId()), hello.GetNonce(), nonce, m.GetProof().GetMac()) {
		return status.Error(codes.Unauthenticated, "not known")
	}
	g.mu.Lock()
	g.sessions++
	g.mu.Unlock()
	welcome := &sentinelpb.Welcome{SessionId: "s", UnixMs: time.Now().Add(g.ahead).UnixMilli(), BacklogCredits: g.credits, MaxUnacknowledged: 4, HeartbeatMs: 1000}
	if err := s.Send(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if m.GetLayout() != nil {
			g.mu.Lock()
			g.layouts++
			g.mu.Unlock()
		}
		if m.GetHeartbeat() != nil {
			g.mu.Lock()
			g.beat = m.GetHeartbeat()
			g.mu.Unlock()
		}
		b := m.GetBatch()
		if b == nil {
			continue
		}
		if !g.key.VerifyBatch(b.GetEnvelope()) {
			return status.Error(codes.Internal, "a batch is not signed")
		}
		for _, r := range g.take(b) {
			if err := s.Send(r); err != nil {
				return err
			}
		}
	}
}

func (g *gateway) take(b *sentinelpb.Batch) []*sentinelpb.ConnectResponse {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.got = append(g.got, b)
	if g.answer != nil {
		if r := g.answer(b); r != nil {
			return r
		}
	}
	return []*sentinelpb.ConnectResponse{receipt(b, sentinelpb.Code_CODE_OK)}
}

func (g *gateway) batches() []*sentinelpb.Batch {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]*sentinelpb.Batch(nil), g.got...)
}

func receipt(b *sentinelpb.Batch, code sentinelpb.Code) *sentinelpb.ConnectResponse {
	e := b.GetEnvelope()
	return &sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Receipt{Receipt: &sentinelpb.Receipt{
		Epoch: e.GetEpoch(), Seq: e.GetSeq(), Code: code, Detail: "as the test says", RetryAfterMs: 1}}}
}

func mark(epoch uint64, ranges ...uint64) *sentinelpb.ConnectResponse {
	m := &sentinelpb.Mark{Epoch: epoch}
	for i := 0; i+1 < len(ranges); i += 2 {
		m.Settled = append(m.Settled, &sentinelpb.SeqRange{First: ranges[i], Last: ranges[i+1]})
	}
	return &sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Mark{Mark: m}}
}

// rig is an uplink between a real log and a gateway of the test.
type rig struct {
	t        *testing.T
	dir      string
	log      *wal.Log
	gateway  *gateway
	cred     sign.Credential
	cfg      func(*uplink.Config) // changes the defaults; may be nil
	identity uplink.Identity
	reg      *telemetry.Registry
	certs    devca.Files
	up       *uplink.Uplink
	logs     *safeBuffer
	layout   []byte
	hash     sentinel.LayoutHash
	n        int
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), reg: telemetry.NewRegistry(), logs: &safeBuffer{},
		cred: sign.Credential{Agent: "ag-one", Key: sign.NewKey()}}
	r.identity = r.store()
	if err := r.store().Save(r.cred); err != nil {
		t.Fatal(err)
	}
	r.gateway = &gateway{key: r.cred.Key, credits: 8}
	r.layout = wire.EncodeLayout(sentinel.Layout{sentinel.NewSeries("m", sentinel.Gauge, "")})
	r.hash = wire.HashLayout(r.layout)
	var err error
	if r.certs, err = devca.Ensure(filepath.Join(r.dir, "certs")); err != nil {
		t.Fatal(err)
	}
	if r.log, err = wal.Open(filepath.Join(r.dir, "wal"), wal.DefaultConfig(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) append(n int) (first wal.Position) {
	r.t.Helper()
	for i := range n {
		r.n++
		c := sentinel.Cycle{Layout: r.hash, Time: time.Now().Add(time.Duration(r.n) * time.Millisecond).Truncate(time.Millisecond), Values: []float64{float64(r.n)}}
		payload, err := wire.EncodeCycles([]sentinel.Cycle{c})
		if err != nil {
			r.t.Fatal(err)
		}
		pos, err := r.log.Append(wal.Entry{Kind: wal.KindCycle, Time: c.Time, Layout: r.hash, Data: payload}, func() []byte { return r.layout })
		if err != nil {
			r.t.Fatal(err)
		}
		if i == 0 {
			first = pos
		}
	}
	return first
}

// serve starts the gateway on a port of its own and returns its address.
func (r *rig) serve(certs devca.Files) string {
	r.t.Helper()
	pair, err := tls.LoadX509KeyPair(certs.Cert, certs.Key)
	if err != nil {
		r.t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}})))
	sentinelpb.RegisterGatewayServer(srv, r.gateway)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	r.t.Cleanup(func() { srv.Stop(); <-done })
	return lis.Addr().String()
}

// run starts the uplink; it is stopped when the test ends.
func (r *rig) run(addr string) {
	r.t.Helper()
	cfg := uplink.DefaultConfig()
	cfg.Address, cfg.CAFile, cfg.RetryMax = addr, r.certs.CA, time.Second
	if r.cfg != nil {
		r.cfg(&cfg)
	}
	r.up = uplink.New(cfg, uplink.Deps{Log: r.log, Identity: r.identity, Info: &sentinelpb.AgentInfo{}, Metrics: r.reg,
		DeadLetter: uplink.DeadLetters{Dir: filepath.Join(r.dir, "dead"), MaxBytes: 1 << 20},
		Logger:     slog.New(slog.NewTextHandler(r.logs, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.up.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("uplink: %v", err)
		}
	})
}

func (r *rig) wait(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s; the log says:\n%s", what, r.logs)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// settled returns how many records the log still holds unsettled.
func (r *rig) unsettled() (n uint64) {
	for _, g := range r.log.Generations() {
		settled := uint64(0)
		for _, s := range g.Settled.Settled {
			settled += s.Count()
		}
		n += g.Appended - min(g.Appended, settled)
	}
	return n
}

// settleAll answers OK and, at once, that everything up to here is settled.
func settleAll(b *sentinelpb.Batch) []*sentinelpb.ConnectResponse {
	e := b.GetEnvelope()
	return []*sentinelpb.ConnectResponse{receipt(b, sentinelpb.Code_CODE_OK), mark(e.GetEpoch(), 1, e.GetSeq()+uint64(e.GetCount())-1)}
}

func TestTheLogIsFreedByMarksAlone(t *testing.T) {
	r := newRig(t)
	r.append(5)
	r.run(r.serve(r.certs))
	r.wait("the backlog does not arrive", func() bool { return len(r.gateway.batches()) > 0 })
	r.append(3)
	r.wait("fresh records do not arrive", func() bool { return len(r.gateway.batches()) >= 4 })
	if n := r.unsettled(); n != 8 {
		t.Errorf("accepted, but not settled: the log holds %d of 8 records", n)
	}
	r.gateway.mu.Lock()
	r.gateway.answer = settleAll
	r.gateway.mu.Unlock()
	r.append(1)
	r.wait("a mark does not free the log", func() bool { return r.unsettled() == 0 })
}

func TestTheBacklogIsGroupedAndKeepsItsCredits(t *testing.T) {
	r := newRig(t)
	r.gateway.credits = 2
	r.append(200)
	r.run(r.serve(r.certs))
	r.wait("the backlog does not arrive", func() bool { return len(r.gateway.batches()) == 2 })
	first := r.append(1)
	r.wait("fresh data waits for the backlog", func() bool { return len(r.gateway.batches()) == 3 })
	got := r.gateway.batches()
	for i, want := range []struct {
		seq   uint64
		count uint32
		lane  sentinelpb.Lane
	}{{1, 64, sentinelpb.Lane_LANE_BACKLOG}, {65, 64, sentinelpb.Lane_LANE_BACKLOG}, {first.Seq, 1, sentinelpb.Lane_LANE_LIVE}} {
		e := got[i].GetEnvelope()
		if e.GetSeq() != want.seq || e.GetCount() != want.count || got[i].GetLane() != want.lane {
			t.Errorf("batch %d: records %d, %d of them, %v; want %+v", i, e.GetSeq(), e.GetCount(), got[i].GetLane(), want)
		}
		cycles, err := wire.DecodeCycles(e.GetPayload(), sentinel.DefaultLimits(), 1)
		if err != nil || len(cycles) != int(want.count) || cycles[0].Values[0] != float64(want.seq) {
			t.Errorf("batch %d: %v", i, err)
		}
	}
}

func credit() *sentinelpb.ConnectResponse {
	return &sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Credit{Credit: &sentinelpb.Credit{Batches: 1}}}
}

// A large backlog drains as the gateway grants credits. Whenever a fresh record is
// appended, it arrives behind no more of the backlog than was on its way already:
// the window less the place that is kept for it.
func TestFreshDataOvertakesTheBacklog(t *testing.T) {
	r := newRig(t)
	r.append(30 * 64)
	appended := map[uint64]int{} // fresh record → backlog batches before it was appended
	drained, fresh := 0, 0
	late := 0
	r.gateway.answer = func(b *sentinelpb.Batch) []*sentinelpb.ConnectResponse {
		if b.GetLane() == sentinelpb.Lane_LANE_LIVE {
			fresh++
			late = max(late, drained-appended[b.GetEnvelope().GetSeq()])
			return nil
		}
		drained++
		if drained%3 == 1 {
			appended[r.append(1).Seq] = drained
		}
		return []*sentinelpb.ConnectResponse{receipt(b, sentinelpb.Code_CODE_OK), credit()}
	}
	r.run(r.serve(r.certs))
	r.wait("the backlog does not drain", func() bool {
		r.gateway.mu.Lock()
		defer r.gateway.mu.Unlock()
		return drained == 30 && fresh == 10
	})
	if late > 2 { // a window of 4: one kept free, and the one whose receipt is due
		t.Errorf("a fresh record came behind %d batches of the backlog", late)
	}
}

// A backlog that the service refuses for a minute holds nothing else back.
func TestARefusedBacklogDoesNotHoldFreshData(t *testing.T) {
	r := newRig(t)
	r.append(200)
	r.gateway.answer = func(b *sentinelpb.Batch) []*sentinelpb.ConnectResponse {
		if b.GetLane() == sentinelpb.Lane_LANE_LIVE {
			return settleAll(b)
		}
		no := receipt(b, sentinelpb.Code_CODE_RESOURCE_EXHAUSTED)
		no.GetReceipt().RetryAfterMs = 60_000
		return []*sentinelpb.ConnectResponse{no}
	}
	r.run(r.serve(r.certs))
	r.wait("the backlog is not tried", func() bool { return len(r.gateway.batches()) > 0 })
	for range 3 {
		before := len(r.gateway.batches())
		r.append(1)
		r.wait("fresh data waits for the backlog", func() bool {
			got := r.gateway.batches()
			return len(got) > before && got[len(got)-1].GetLane() == sentinelpb.Lane_LANE_LIVE
		})
	}
}

// A place that the disk cannot read is given up by one reader after a few tries.
// So it must not end the session, which would start with the first try again, for
// ever; what lies behind it is sent, what is lost is declared.
func TestP2AnUnreadablePlaceIsPassed(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := newRig(t)
		lost := r.append(3)
		if err := r.log.Rotate(); err != nil {
			t.Fatal(err)
		}
		next := r.append(3)
		if err := r.log.Rotate(); err != nil {
			t.Fatal(err)
		}
		gens, err := filepath.Glob(filepath.Join(r.dir, "wal", "gen-*"))
		if err != nil || len(gens) != 2 {
			t.Fatal(gens, err)
		}
		bad := filepath.Join(gens[0], fmt.Sprintf("%020d", 1))
		if restart { // the folder cannot be listed; in a log that finds it so
			if err := r.log.Close(); err != nil {
				t.Fatal(err)
			}
			if r.log, err = wal.Open(filepath.Join(r.dir, "wal"), wal.DefaultConfig(), nil); err != nil {
				t.Fatal(err)
			}
			bad = gens[0]
		}
		if err := os.RemoveAll(bad); err != nil {
			t.Fatal(err)
		}
		if restart {
			err = os.WriteFile(bad, nil, 0o600)
		} else {
			err = os.Mkdir(bad, 0o700) // it opens, and cannot be read
		}
		if err != nil {
			t.Fatal(err)
		}
		seen := map[uint64]bool{}
		declared := false
		r.gateway.answer = func(b *sentinelpb.Batch) []*sentinelpb.ConnectResponse {
			seen[b.GetEnvelope().GetEpoch()] = true
			declared = declared || b.GetEnvelope().GetCodec() == sentinelpb.Codec_CODEC_LOSSES_V1
			return nil
		}
		r.run(r.serve(r.certs))
		r.wait("what lies behind does not come", func() bool {
			r.gateway.mu.Lock()
			defer r.gateway.mu.Unlock()
			return seen[uint64(next.Epoch)] && (declared || restart)
		})
		r.gateway.mu.Lock()
		if seen[uint64(lost.Epoch)] || r.gateway.sessions != 1 {
			t.Errorf("%d sessions; of what is lost came %v", r.gateway.sessions, seen[uint64(lost.Epoch)])
		}
		r.gateway.mu.Unlock()
	}
}

// TestRepliesSayWhatToDo answers the first try at a batch with each code.
func TestRepliesSayWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		code  sentinelpb.Code
		again bool // it comes again, unchanged
	}{
		{sentinelpb.Code_CODE_DUPLICATE, false},
		{sentinelpb.Code_CODE_UNAVAILABLE, true},
		{sentinelpb.Code_CODE_RESOURCE_EXHAUSTED, true},
		{sentinelpb.Code_CODE_LAYOUT_UNKNOWN, true},
		{sentinelpb.Code_CODE_UNSPECIFIED, true},
		{sentinelpb.Code(77), true}, // of a newer server
	} {
		t.Run(tt.code.String(), func(t *testing.T) {
			r := newRig(t)
			tries := 0
			r.gateway.answer = func(b *sentinelpb.Batch) []*sentinelpb.ConnectResponse {
				if tries++; tries == 1 {
					return []*sentinelpb.ConnectResponse{receipt(b, tt.code)}
				}
				return settleAll(b)
			}
			r.append(1)
			r.run(r.serve(r.certs))
			if !tt.again {
				r.wait("it does not arrive", func() bool { return len(r.gateway.batches()) == 1 })
				r.append(1)
				r.wait("it does not go on", func() bool { return len(r.gateway.batches()) == 2 })
				if r.gateway.batches()[1].GetEnvelope().GetSeq() != 2 {
					t.Error("a duplicate is sent again")
				}
				return
			}
			r.wait("it does not come again", func() bool { return len(r.gateway.batches()) == 2 && r.unsettled() == 0 })
			got := r.gateway.batches()
			if !proto.Equal(got[0].GetEnvelope(), got[1].GetEnvelope()) {
				t.Errorf("first %v, then %v", got[0], got[1])
			}
			if tt.code == sentinelpb.Code_CODE_LAYOUT_UNKNOWN && r.gateway.layouts != 2 {
				t.Errorf("the layout was sent %d times, want again", r.gateway.layouts)
			}
		})
	}
}

func TestARejectedBatchIsKeptAndDeclared(t *testing.T) {
	r := newRig(t)
	var declared *sentinelpb.LossReport
	r.gateway.answer = func(b *sentinelpb.Batch) []*sentinelpb.ConnectResponse {
		if b.GetEnvelope().GetCodec() == sentinelpb.Codec_CODEC_LOSSES_V1 {
			declared = &sentinelpb.LossReport{}
			if err := proto.Unmarshal(b.GetEnvelope().GetPayload(), declared); err != nil {
				t.Error(err)
			}
			return nil
		}
		return []*sentinelpb.ConnectResponse{receipt(b, sentinelpb.Code_CODE_INVALID_ARGUMENT)}
	}
	pos := r.append(1)
	r.run(r.serve(r.certs))
	r.wait("the loss is not declared", func() bool {
		r.gateway.mu.Lock()
		defer r.gateway.mu.Unlock()
		return declared != nil
	})
	l := declared.GetLosses()[0]
	if l.GetEpoch() != uint64(pos.Epoch) || l.GetFirst() != 1 || l.GetLast() != 1 || l.GetReason() != sentinelpb.LossReason_LOSS_REASON_REJECTED {
		t.Errorf("declared %v", l)
	}
	letters, err := filepath.Glob(filepath.Join(r.dir, "dead", "*.json"))
	if err != nil || len(letters) != 1 {
		t.Fatalf("%d dead letters (%v)", len(letters), err)
	}
	raw, err := os.ReadFile(letters[0])
	if err != nil || !strings.Contains(string(raw), "as the test says") {
		t.Errorf("letter: %s (%v)", raw, err)
	}
}

func TestP7AForkOpensANewEpoch(t *testing.T) {
	r := newRig(t)
	once := true
	r.gateway.answer = func(b *sentinelpb.Batch) []*sentinelpb.ConnectResponse {
		if once {
			once = false
			return []*sentinelpb.ConnectResponse{receipt(b, sentinelpb.Code_CODE_FORKED)}
		}
		return settleAll(b)
	}
	before := r.append(1)
	r.run(r.serve(r.certs))
	r.wait("the fork goes unnoticed", func() bool { return strings.Contains(r.logs.String(), "another agent writes under this identity") })
	r.wait("no new epoch", func() bool { return r.append(1).Epoch != before.Epoch })
}

func TestHostileMarksFreeNothing(t *testing.T) {
	for name, m := range map[string]func(epoch uint64) *sentinelpb.ConnectResponse{
		"backwards":     func(e uint64) *sentinelpb.ConnectResponse { return mark(e, 3, 1) },
		"out of order":  func(e uint64) *sentinelpb.ConnectResponse { return mark(e, 5, 6, 1, 2) },
		"from zero":     func(e uint64) *sentinelpb.ConnectResponse { return mark(e, 0, 9) },
		"another epoch": func(e uint64) *sentinelpb.ConnectResponse { return mark(e+1, 1, 9) },
		"empty":         func(e uint64) *sentinelpb.ConnectResponse { return mark(e) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.gateway.answer = func(b *sentinelpb.Batch) []*sentinelpb.ConnectResponse {
				return []*sentinelpb.ConnectResponse{receipt(b, sentinelpb.Code_CODE_OK), m(b.GetEnvelope().GetEpoch())}
			}
			r.append(2)
			r.run(r.serve(r.certs))
			r.wait("nothing arrives", func() bool { return len(r.gateway.batches()) > 0 })
			r.append(1)
			r.wait("it does not go on", func() bool {
				for _, b := range r.gateway.batches() {
					if b.GetEnvelope().GetSeq() == 3 || b.GetEnvelope().GetCount() == 3 {
						return true
					}
				}
				return false
			})
			if n := r.unsettled(); n != 3 {
				t.Errorf("the log holds %d of 3 records", n)
			}
		})
	}
}

// TestTroubleIsSaidInOneLine: wrong key, foreign authority, expired certificate, a
// server that is not there. The data stays, the reason is said, tries are paced.
func TestTroubleIsSaidInOneLine(t *testing.T) {
	foreign, err := devca.Ensure(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	refused := "connection refused"
	if runtime.GOOS == "windows" {
		refused = "refused" // at the end of a sentence of its own
	}
	for _, tt := range []struct {
		name  string
		setup func(r *rig) string
		want  string
	}{
		{"foreign authority", func(r *rig) string { return r.serve(foreign) }, "certificate signed by unknown authority"},
		{"expired certificate", func(r *rig) string { return r.serve(expired(r.t, r.certs)) }, "certificate has expired"},
		{"no server", func(r *rig) string { return "127.0.0.1:1" }, refused},
		{"wrong key", func(r *rig) string { r.gateway.key = sign.NewKey(); return r.serve(r.certs) }, "does not accept this agent's key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.append(2)
			r.run(tt.setup(r))
			r.wait("nothing is said", func() bool { return strings.Contains(r.up.Status().LastError, tt.want) })
			if tt.name != "wrong key" { // which is tried again only after half a minute
				r.wait("nothing is logged", func() bool { return strings.Contains(r.logs.String(), tt.want) })
				if n := strings.Count(r.logs.String(), "not connected"); n != 1 {
					t.Errorf("said %d times:\n%s", n, r.logs)
				}
			}
			if s := r.up.Status(); s.Connected {
				t.Errorf("status: %+v", s)
			}
			if n := r.unsettled(); n != 2 {
				t.Errorf("the log holds %d of 2 records", n)
			}
		})
	}
}

func TestAGoodbyeIsFollowedByANewSessionFromWhatIsSettled(t *testing.T) {
	r := newRig(t)
	first := true
	r.gateway.answer = func(b *sentinelpb.Batch) []*sentinelpb.ConnectResponse {
		if first {
			first = false
			return []*sentinelpb.ConnectResponse{receipt(b, sentinelpb.Code_CODE_OK),
				{Message: &sentinelpb.ConnectResponse_Goodbye{Goodbye: &sentinelpb.Goodbye{Code: sentinelpb.Code_CODE_UNAVAILABLE, Detail: "reset"}}}}
		}
		return settleAll(b)
	}
	r.append(3)
	r.run(r.serve(r.certs))
	r.wait("what was accepted before the reset does not come again", func() bool { return r.unsettled() == 0 })
	r.gateway.mu.Lock()
	defer r.gateway.mu.Unlock()
	if r.gateway.sessions < 2 {
		t.Errorf("%d sessions", r.gateway.sessions)
	}
}

func TestP30TheServiceTimeIsKnownInASession(t *testing.T) {
	r := newRig(t)
	r.gateway.ahead = 3 * time.Hour
	if _, known := uplink.New(uplink.DefaultConfig(), uplink.Deps{Metrics: telemetry.NewRegistry()}).ServiceTime(); known {
		t.Error("the service's time is known before there was a session")
	}
	r.run(r.serve(r.certs))
	r.wait("a session", func() bool { return r.up.Status().Connected })
	at, known := r.up.ServiceTime()
	if off := at.Sub(time.Now().Add(r.gateway.ahead)); !known || off.Abs() > time.Minute {
		t.Errorf("known %v, and %s from the service's clock", known, off)
	}
}

// Cycles that drop_newest refused never had a number: the service learns of them by
// their count alone.
func TestHeartbeatsCountWhatWasRefused(t *testing.T) {
	r := newRig(t)
	cfg := wal.DefaultConfig()
	cfg.SegmentBytes, cfg.GenerationBytes, cfg.MaxBytes, cfg.OnFull = 1<<10, 4<<10, 8<<10, wal.DropNewest
	r.log.Close()
	var err error
	if r.log, err = wal.Open(filepath.Join(r.dir, "full"), cfg, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.log.Close() })
	refused := uint64(0)
	for refused < 7 {
		if _, err := r.log.Append(wal.Entry{Kind: wal.KindCycle, Time: time.Now(), Data: make([]byte, 500)}, nil); err != nil {
			refused++
		}
	}
	r.run(r.serve(r.certs))
	r.wait("no heartbeat counts them", func() bool {
		r.gateway.mu.Lock()
		defer r.gateway.mu.Unlock()
		return r.gateway.beat.GetUnloggedCycles() == refused
	})
}

func TestDeadLettersAreBounded(t *testing.T) {
	d := uplink.DeadLetters{Dir: t.TempDir(), MaxBytes: 5000}
	for seq := range uint64(50) {
		if err := d.Put(1, seq+1, 1, "CODEC", "reason", make([]byte, 500)); err != nil {
			t.Fatal(err)
		}
	}
	var total int64
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 5000 || len(entries) < 3 {
		t.Errorf("%d letters of %d bytes", len(entries), total)
	}
	if newest := fmt.Sprintf("%s-%020d.json", sentinel.Epoch(1), 50); entries[len(entries)-1].Name() != newest {
		t.Errorf("the newest letter is gone: %v", entries)
	}
}
