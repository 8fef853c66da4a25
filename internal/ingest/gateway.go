// Package ingest is the gateway that agents speak to. It proves who is speaking,
// verifies every batch on its raw bytes before it decodes anything, checks limits
// and rates, and answers "accepted" only after the broker has acknowledged. It
// owns the server side of gRPC.
package ingest

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// Keys finds the key with which an agent may sign. The error is Unauthenticated
// where there is none (unknown agent, unknown or retired key, disabled agent) and
// Unavailable where it cannot be known now.
type Keys interface {
	Key(ctx context.Context, agent sentinel.AgentID, keyID string) (sign.Key, error)
}

// Broker stores messages of batches and the layouts that they name.
type Broker interface {
	Partitions() int
	Publish(ctx context.Context, partition int, id string, data []byte) error
	PutLayout(ctx context.Context, agent sentinel.AgentID, h sentinel.LayoutHash, definition []byte) error
}

// Resets tells when the broker may have lost what it acknowledged.
type Resets interface {
	// Resets returns a channel that is closed at the next such event.
	Resets() <-chan struct{}
	// SubscribeMarks calls f with the marks that workers publish until ctx ends.
	SubscribeMarks(ctx context.Context, f func(data []byte)) error
}

// Presence keeps what sessions report and knows what is settled.
type Presence interface {
	// Report stores the reports and returns, for the epochs they name, what is
	// settled. An agent's marks may be missing where nothing is.
	Report(ctx context.Context, reports []Report) (map[sentinel.AgentID][]sentinel.Mark, error)
}

// Report is what a session tells about its agent, at its start and with every
// heartbeat.
type Report struct {
	Agent     sentinel.AgentID
	Time      time.Time             // the server's clock
	Clock     time.Duration         // how far the agent's clock is ahead of it
	Positions []sentinel.Position   // appended per epoch
	Info      *sentinelpb.AgentInfo // at a session's start, else nil
}

// Rotation replaces agents' keys.
type Rotation interface {
	// Version moves with every change of a key.
	Version(ctx context.Context) (int64, error)
	// Pending returns the keys that wait to be handed to these agents.
	Pending(ctx context.Context, agents []sentinel.AgentID) (map[sentinel.AgentID]sign.Key, error)
	// Activate makes a proven key the active one. It is idempotent.
	Activate(ctx context.Context, agent sentinel.AgentID, keyID string) error
}

// Enrolment gives identities to agents that have none.
type Enrolment interface {
	// Enrol answers Unauthenticated to every token that buys nothing, and Unavailable
	// where that cannot be known now.
	Enrol(ctx context.Context, token string, request sign.Request, info *sentinelpb.AgentInfo) (sentinel.AgentID, error)
}

// Deps are the parts that a gateway works with.
type Deps struct {
	Keys      Keys
	Rotation  Rotation
	Configs   Configs
	Plugins   Plugins // nil: agents get none
	Enrol     Enrolment
	Events    Events
	Broker    Broker
	Resets    Resets
	Presence  Presence
	Announcer Announcer
	Metrics   *telemetry.Registry
	Log       *slog.Logger
	Now       func() time.Time
}

// Gateway serves agents' sessions. Make it with New; it does nothing before Run.
type Gateway struct {
	sentinelpb.UnimplementedGatewayServer
	cfg     Config
	deps    Deps
	metrics *gatewayMetrics
	rates   *rates
	publish *publisher
	memory  *semaphore.Weighted // bytes of batches on their way to the broker
	knocks  *semaphore.Weighted // sessions that have not proven who they are
	buys    *rate.Limiter       // enrolments

	mu       sync.Mutex
	sessions map[sentinel.AgentID]*session
	events   []Event                     // waiting to be kept
	joined   []sentinel.AgentID          // came since instruct looked last
	reports  map[sentinel.AgentID]Report // waiting for the next write
	wake     chan struct{}               // a report waits
}

// New returns a gateway.
func New(cfg Config, deps Deps) *Gateway {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	g := &Gateway{
		cfg: cfg, deps: deps,
		rates:    newRates(cfg),
		memory:   semaphore.NewWeighted(cfg.MaxInFlightBytes),
		knocks:   semaphore.NewWeighted(int64(cfg.MaxHandshakes)),
		buys:     rate.NewLimiter(rate.Limit(cfg.EnrolmentsPerSecond), cfg.EnrolmentsPerSecond),
		sessions: map[sentinel.AgentID]*session{},
		reports:  map[sentinel.AgentID]Report{},
		wake:     make(chan struct{}, 1),
	}
	g.metrics = newMetrics(deps.Metrics, g)
	g.publish = newPublisher(deps.Broker, g.metrics)
	return g
}

// Run serves on the listener until ctx ends, then ends every session and returns
// nil. TLS is 1.3; tlsConfig holds at least the certificate.
func (g *Gateway) Run(ctx context.Context, lis net.Listener, tlsConfig *tls.Config) error {
	tlsConfig = tlsConfig.Clone()
	tlsConfig.MinVersion = tls.VersionTLS13
	srv := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(tlsConfig)),
		grpc.MaxRecvMsgSize(g.cfg.maxMessageBytes()),
		grpc.MaxConcurrentStreams(4),
		grpc.ConnectionTimeout(g.cfg.HandshakeTimeout),
		grpc.MaxHeaderListSize(8<<10),
		grpc.InitialWindowSize(256<<10),
		grpc.InitialConnWindowSize(256<<10),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 15 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	sentinelpb.RegisterGatewayServer(srv, g)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := srv.Serve(lis); err != nil {
			return fmt.Errorf("serve gateway: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		g.endAll("the gateway is going down", 2*time.Second)
		srv.Stop()
		return nil
	})
	group.Go(func() error { return g.writeReports(ctx) })
	group.Go(func() error { return g.watchResets(ctx) })
	group.Go(func() error { return g.instruct(ctx) })
	group.Go(func() error { return g.keepEvents(ctx) })
	group.Go(func() error { return g.announce(ctx) })
	group.Go(func() error { return g.deps.Resets.SubscribeMarks(ctx, g.takeMarks) })
	err := group.Wait()
	g.publish.wait()
	return err
}

// Connect carries one agent's session; see the protocol's description.
func (g *Gateway) Connect(stream grpc.BidiStreamingServer[sentinelpb.ConnectRequest, sentinelpb.ConnectResponse]) error {
	s := &session{g: g, stream: stream, log: g.deps.Log, out: make(chan *sentinelpb.ConnectResponse, 256), ended: make(chan struct{})}
	if !g.knocks.TryAcquire(1) {
		g.metrics.refused("handshakes").Inc()
		return status.Error(codes.ResourceExhausted, "too many sessions are opening at once, come back later")
	}
	err := s.handshake(stream.Context())
	g.knocks.Release(1)
	if err != nil {
		return err
	}
	return s.serve(stream.Context())
}

// Enroll gives an agent an identity; see the protocol's description.
func (g *Gateway) Enroll(ctx context.Context, in *sentinelpb.EnrollRequest) (*sentinelpb.EnrollResponse, error) {
	key, err := sign.KeyFromSecret(in.GetKeyId(), in.GetSecret())
	switch {
	case err != nil || len(in.GetNonce()) != sign.NonceSize:
		return nil, status.Errorf(codes.InvalidArgument, "an enrolment has a nonce of %d bytes and a secret of %d", sign.NonceSize, sign.SecretSize)
	case sentinel.AgentID(in.GetKeyId()).Validate() != nil:
		return nil, status.Error(codes.InvalidArgument, "a key id has 1 to 64 characters of a-z, 0-9 and '-'")
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.HandshakeTimeout)
	defer cancel()
	if g.buys.Wait(ctx) != nil { // at once, where its turn would come too late
		g.metrics.refused("enrolments").Inc()
		return nil, status.Error(codes.ResourceExhausted, "too many agents enrol at once, come back later")
	}
	agent, err := g.deps.Enrol.Enrol(ctx, in.GetToken(), sign.Request{Nonce: in.GetNonce(), Key: key}, boundedInfo(in.GetInfo()))
	switch sentinel.CodeOf(err) {
	case sentinel.Unauthenticated:
		g.metrics.refused("enrolment_token").Inc()
		return nil, status.Error(codes.Unauthenticated, err.Error())
	case sentinel.Invalid:
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err != nil {
		g.deps.Log.Warn("agent could not be enrolled", "error", err)
		return nil, status.Error(codes.Unavailable, "the enrolment cannot be kept now, come back later")
	}
	g.metrics.enrolled.Inc()
	g.happened(EventEnrolled, agent, boundedInfo(in.GetInfo()).GetHostname())
	g.deps.Log.Info("agent enrolled", "agent", agent, "hostname", in.GetInfo().GetHostname())
	return &sentinelpb.EnrollResponse{AgentId: string(agent)}, nil
}

// admit puts a proven session in the place of an older one of the same agent.
func (g *Gateway) admit(s *session) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.sessions[s.agent]
	if old == nil && len(g.sessions) >= g.cfg.MaxSessions {
		g.metrics.refused("sessions").Inc()
		return status.Error(codes.ResourceExhausted, "this gateway has all the sessions it can carry")
	}
	if old != nil {
		g.metrics.displaced.Inc()
		g.note(EventDisplaced, s.agent, "another session of this identity took over: where that goes on, its credential is on two hosts")
		old.end("another session of this agent took over", g.cfg.HandshakeTimeout)
	}
	g.sessions[s.agent] = s
	g.joined = append(g.joined, s.agent)
	return nil
}

func (g *Gateway) leave(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions[s.agent] == s {
		delete(g.sessions, s.agent)
	}
}

// Sessions returns how many agents are connected.
func (g *Gateway) Sessions() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sessions)
}

func (g *Gateway) endAll(detail string, retry time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sessions {
		s.end(detail, retry)
	}
}

// watchResets ends all sessions when the broker may have lost what it had
// acknowledged: the agents come back and start from what is settled.
func (g *Gateway) watchResets(ctx context.Context) error {
	for {
		resets := g.deps.Resets.Resets()
		select {
		case <-ctx.Done():
			return nil
		case <-resets:
			g.metrics.resets.Inc()
			g.endAll("the broker was reset, start again from what is settled", 0)
		}
	}
}
