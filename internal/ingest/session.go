package ingest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const (
	maxPositions    = 256 // epochs that one message may name
	maxLayouts      = 64  // layouts that one session may make known
	maxMarkedRanges = 32  // ranges of one mark that are sent
)

// errRefused is the one answer to everyone who could not prove who they are: an
// unknown agent, an unknown key and a wrong proof look the same.
var errRefused = status.Error(codes.Unauthenticated, "the agent is not known, or its key is not valid")

// session is one agent's stream. One goroutine receives, one sends; receipts come
// from the publisher's goroutines through out.
type session struct {
	g      *Gateway
	stream grpc.BidiStreamingServer[sentinelpb.ConnectRequest, sentinelpb.ConnectResponse]
	log    *slog.Logger
	agent  sentinel.AgentID
	clock  time.Duration

	key               sign.Key                 // that the handshake proved
	agentNonce, nonce []byte                   // of the handshake
	offered           atomic.Pointer[sign.Key] // the key that was handed over last
	config            atomic.Uint64            // the version that the agent runs with
	reports           int                      // on its configuration; receiveAll's
	told              *uint64                  // the version that it was told last; instruct's

	backlogAt   atomic.Int64                         // Unix milliseconds of the last batch that could not be sent in time
	plugins     atomic.Pointer[sentinelpb.PluginSet] // that it was told last
	pluginSpeed *rate.Limiter                        // of what it says of plugins

	layouts map[sentinel.LayoutHash]int // series of each layout made known here
	pending window

	out     chan *sentinelpb.ConnectResponse
	endOnce sync.Once
	ended   chan struct{}
	goodbye *sentinelpb.Goodbye // set before ended is closed
}

// handshake proves who is speaking and sends Welcome.
func (s *session) handshake(ctx context.Context) error {
	timer := time.AfterFunc(s.g.cfg.HandshakeTimeout, func() { s.end("the handshake took too long", 0) })
	defer timer.Stop()

	hello, err := s.receiveHello()
	if err != nil {
		return err
	}
	nonce := sign.NewNonce()
	if err := s.stream.Send(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Challenge{Challenge: &sentinelpb.Challenge{Nonce: nonce}}}); err != nil {
		return err
	}
	proof, err := s.receive()
	if err != nil {
		return err
	}
	if proof.GetProof() == nil {
		return status.Error(codes.InvalidArgument, "the challenge must be answered with a proof")
	}
	agent := sentinel.AgentID(hello.GetAgentId())
	key, err := s.g.deps.Keys.Key(ctx, agent, hello.GetKeyId())
	switch {
	case sentinel.CodeOf(err) == sentinel.Unauthenticated && err != nil,
		err == nil && !key.VerifySession(agent, hello.GetNonce(), nonce, proof.GetProof().GetMac()):
		s.g.metrics.refused("unauthenticated").Inc()
		return errRefused
	case err != nil:
		s.log.Warn("key could not be looked up", "agent", agent, "error", err)
		return status.Error(codes.Unavailable, "the agent's key cannot be checked now, come back later")
	}
	s.agent, s.log = agent, s.log.With("agent", agent)
	s.key, s.agentNonce, s.nonce = key, hello.GetNonce(), nonce
	s.config.Store(hello.GetConfigVersion())
	s.layouts, s.pluginSpeed = map[sentinel.LayoutHash]int{}, rate.NewLimiter(pluginReportRate, pluginReportBurst)
	s.clock = time.UnixMilli(hello.GetUnixMs()).Sub(s.g.deps.Now())
	if err := s.g.admit(s); err != nil {
		return err
	}
	return s.welcome(ctx, hello)
}

func (s *session) receiveHello() (*sentinelpb.Hello, error) {
	first, err := s.receive()
	if err != nil {
		return nil, err
	}
	hello := first.GetHello()
	switch {
	case hello == nil:
		return nil, status.Error(codes.InvalidArgument, "a session opens with hello")
	case sentinel.AgentID(hello.GetAgentId()).Validate() != nil || len(hello.GetKeyId()) > 64:
		s.g.metrics.refused("unauthenticated").Inc()
		return nil, errRefused
	case len(hello.GetNonce()) != sign.NonceSize:
		return nil, status.Errorf(codes.InvalidArgument, "the nonce has %d bytes, want %d", len(hello.GetNonce()), sign.NonceSize)
	case hello.GetConfigVersion() >= 1<<63:
		return nil, status.Error(codes.InvalidArgument, "no configuration has such a version")
	case len(hello.GetPositions()) > maxPositions:
		return nil, status.Errorf(codes.InvalidArgument, "hello names %d epochs, at most %d are allowed", len(hello.GetPositions()), maxPositions)
	}
	return hello, nil
}

// welcome tells the agent what holds. Marks are added where the database answers;
// where it does not, the agent goes by what it knows.
func (s *session) welcome(ctx context.Context, hello *sentinelpb.Hello) error {
	report := Report{Agent: s.agent, Time: s.g.deps.Now(), Clock: s.clock, Positions: positions(hello.GetPositions()), Info: boundedInfo(hello.GetInfo())}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	marks, err := s.g.deps.Presence.Report(ctx, []Report{report})
	if err != nil {
		s.log.Warn("session starts without marks, the database does not answer", "error", err)
	}
	l := s.g.cfg.limits()
	w := &sentinelpb.Welcome{
		SessionId: "s-" + sentinel.RandomName(5),
		Limits: &sentinelpb.Limits{
			MaxPayloadBytes: uint32(l.MaxPayloadBytes), MaxCycles: uint32(l.MaxCycles), MaxSeries: uint32(l.MaxSeries),
			MaxLayoutBytes: uint32(l.MaxLayoutBytes), MaxAgeMs: uint64(l.MaxAge.Milliseconds()), MaxFutureMs: uint64(l.MaxFuture.Milliseconds()),
		},
		UnixMs:            s.g.deps.Now().UnixMilli(),
		BacklogCredits:    uint32(s.g.cfg.BacklogCredits),
		MaxUnacknowledged: uint32(s.g.cfg.MaxUnacknowledged),
		HeartbeatMs:       uint32(s.g.cfg.Heartbeat.Milliseconds()),
	}
	for _, m := range marks[s.agent] {
		w.Marks = append(w.Marks, protoMark(m, false))
	}
	s.g.happened(EventConnected, s.agent, report.hostname())
	s.log.Info("agent connected", "session", w.SessionId, "hostname", report.hostname(), "clock_ahead", s.clock.Round(time.Millisecond))
	return s.stream.Send(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Welcome{Welcome: w}})
}

// serve receives until the session ends, from either side.
func (s *session) serve(ctx context.Context) error {
	defer s.g.leave(s)
	received := make(chan error, 1)
	go func() { received <- s.receiveAll(ctx) }() // ends with the stream, which ends when serve returns
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-received:
			s.g.happened(EventDisconnected, s.agent, "")
			s.log.Info("agent disconnected", "error", err)
			return err
		case m := <-s.out:
			if err := s.stream.Send(m); err != nil {
				return err
			}
		case <-s.ended:
			s.g.happened(EventDisconnected, s.agent, s.goodbye.GetDetail())
			s.log.Info("session ended", "reason", s.goodbye.GetDetail())
			return s.stream.Send(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Goodbye{Goodbye: s.goodbye}})
		}
	}
}

// end asks the session to end with a Goodbye. It does not wait.
func (s *session) end(detail string, retry time.Duration) {
	s.endOnce.Do(func() {
		s.goodbye = &sentinelpb.Goodbye{Code: sentinelpb.Code_CODE_UNAVAILABLE, Detail: detail, RetryAfterMs: uint32(retry.Milliseconds())}
		close(s.ended)
	})
}

// receive returns the next message, or the session's end.
func (s *session) receive() (*sentinelpb.ConnectRequest, error) {
	type result struct {
		m   *sentinelpb.ConnectRequest
		err error
	}
	got := make(chan result, 1)
	go func() {
		m, err := s.stream.Recv()
		got <- result{m, err}
	}()
	select {
	case r := <-got:
		return r.m, r.err
	case <-s.ended:
		return nil, status.Error(codes.DeadlineExceeded, s.goodbye.GetDetail())
	}
}

func (s *session) receiveAll(ctx context.Context) error {
	for {
		m, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *sentinelpb.ConnectRequest_Batch:
			err = s.takeBatch(ctx, m.Batch)
		case *sentinelpb.ConnectRequest_Layout:
			err = s.takeLayout(ctx, m.Layout)
		case *sentinelpb.ConnectRequest_Heartbeat:
			err = s.takeHeartbeat(m.Heartbeat)
		case *sentinelpb.ConnectRequest_KeyProof:
			err = s.takeKeyProof(ctx, m.KeyProof)
		case *sentinelpb.ConnectRequest_ConfigReport:
			err = s.takeConfigReport(ctx, m.ConfigReport)
		case *sentinelpb.ConnectRequest_PluginWant:
			err = s.takePluginWant(ctx, m.PluginWant)
		case *sentinelpb.ConnectRequest_PluginReport:
			err = s.takePluginReport(ctx, m.PluginReport)
		default:
			err = status.Error(codes.InvalidArgument, "a message of this kind is not expected here")
		}
		if err != nil {
			return err
		}
	}
}

// takeLayout makes a layout known, first to the workers and then to the session.
// A batch that names it and comes before that succeeded is answered
// LAYOUT_UNKNOWN and comes again.
func (s *session) takeLayout(ctx context.Context, m *sentinelpb.Layout) error {
	if len(s.layouts) >= maxLayouts {
		return status.Errorf(codes.ResourceExhausted, "a session may make %d layouts known", maxLayouts)
	}
	h := wire.HashLayout(m.GetDefinition())
	if string(h[:]) != string(m.GetHash()) {
		return status.Error(codes.InvalidArgument, "the layout's hash is not that of its definition")
	}
	layout, err := wire.DecodeLayout(m.GetDefinition(), s.g.cfg.limits())
	if err != nil {
		s.g.metrics.rejected("layout_invalid").Inc()
		return status.Errorf(codes.InvalidArgument, "the layout is not valid: %v", err)
	}
	if err := s.g.deps.Broker.PutLayout(ctx, s.agent, h, m.GetDefinition()); err != nil {
		s.log.Warn("layout could not be passed on", "layout", h, "error", err)
		return nil
	}
	s.layouts[h] = len(layout)
	return nil
}

func (s *session) takeHeartbeat(m *sentinelpb.Heartbeat) error {
	if len(m.GetPositions()) > maxPositions {
		return status.Errorf(codes.InvalidArgument, "a heartbeat names %d epochs, at most %d are allowed", len(m.GetPositions()), maxPositions)
	}
	now := s.g.deps.Now()
	s.clock = time.UnixMilli(m.GetUnixMs()).Sub(now)
	s.g.report(Report{Agent: s.agent, Time: now, Clock: s.clock, Positions: positions(m.GetPositions())})
	return nil
}

// send queues a message. A receipt must not get lost while the session lives, so
// it waits for room; the window bounds how many there can be.
func (s *session) send(m *sentinelpb.ConnectResponse) {
	select {
	case s.out <- m:
	case <-s.ended:
	case <-s.stream.Context().Done():
	}
}

// offer queues a message where there is room, and reports whether there was: it is
// for what will be repeated.
func (s *session) offer(m *sentinelpb.ConnectResponse) bool {
	select {
	case s.out <- m:
		return true
	default:
		return false
	}
}

// window counts the batches without a receipt.
type window struct {
	mu sync.Mutex
	n  int
}

func (w *window) enter(limit int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n >= limit {
		return false
	}
	w.n++
	return true
}

func (w *window) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
}
