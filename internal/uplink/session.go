package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/protobuf/proto"

	retry "github.com/sentinelgo/sentinel/internal/backoff"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
)

const (
	handshakeTimeout = 15 * time.Second
	maxPositions     = 256 // epochs that one message names
	maxHeartbeat     = 5 * time.Minute
	readAgain        = 200 * time.Millisecond // after the log could not be read
)

// goodbyeError is a session's end as the server explained it.
type goodbyeError struct {
	code   sentinelpb.Code
	detail string
}

func (g *goodbyeError) Error() string { return g.detail }

// connBackoff lets gRPC try again at once: the pace is kept by Run.
func connBackoff() backoff.Config {
	return backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}
}

type stream = grpc.BidiStreamingClient[sentinelpb.ConnectRequest, sentinelpb.ConnectResponse]

// conversation is one session after its handshake. One goroutine owns it.
type conversation struct {
	u      *Uplink
	stream stream
	lanes  *lanes

	nonce, challenge []byte                        // of the handshake
	key              sign.Key                      // that it proved
	configured       chan *sentinelpb.ConfigReport // what became of the configuration that is being applied; nil: none is

	plugins <-chan *sentinelpb.ConnectRequest // what there is to say of plugins; nil before the service spoke of them

	window  int                          // batches that may be without a receipt
	credits int                          // batches of the backlog that may be sent
	waiting map[name]*batch              // sent, without a receipt
	layouts map[sentinel.LayoutHash]bool // made known in this session
	fresh   lane
	old     lane

	outstanding map[sentinel.Epoch]uint64 // highest accepted number that is not settled
	moved       time.Time                 // of the last mark that settled something, or of nothing outstanding
}

type name struct {
	epoch sentinel.Epoch
	seq   uint64
}

// lane is what a conversation knows of the live lane, or of the backlog. Each has
// its own pauses: fresh data does not wait for a backlog that was refused.
type lane struct {
	waiting int       // sent, without a receipt
	again   []*batch  // to be sent again, before what comes next
	paused  time.Time // nothing is sent before this
	pace    retry.Backoff
}

func newLane() lane { return lane{pace: retry.Backoff{Base: time.Second, Max: time.Minute}} }

// pause holds the lane back for a jittered while, at least floor.
func (l *lane) pause(floor time.Duration) {
	l.pace.Floor = min(floor, l.pace.Max)
	l.paused = time.Now().Add(l.pace.Next())
}

func (l *lane) open() bool { return !time.Now().Before(l.paused) }

// repeat returns the next batch that is to be sent again, or nil.
func (l *lane) repeat() *batch {
	if len(l.again) == 0 {
		return nil
	}
	b := l.again[0]
	l.again = l.again[1:]
	return b
}

func (c *conversation) lane(b *batch) *lane {
	if b.lane == sentinelpb.Lane_LANE_BACKLOG {
		return &c.old
	}
	return &c.fresh
}

// session opens one session and serves it until it ends. It returns why it ended.
func (u *Uplink) session(ctx context.Context, conn *grpc.ClientConn, wait *retry.Backoff) error {
	sctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(handshakeTimeout, cancel)
	s, err := sentinelpb.NewGatewayClient(conn).Connect(sctx)
	if err != nil {
		return err
	}
	nonce, key := sign.NewNonce(), u.self.key()
	challenge, welcome, err := u.handshake(s, nonce, key)
	if err != nil {
		u.self.failed(err)
		return err
	}
	if !timer.Stop() {
		return fmt.Errorf("the handshake took longer than %s", handshakeTimeout)
	}
	if err := u.self.proven(key); err != nil {
		u.metrics.keyErrors.Inc()
		u.deps.Logger.Error("the change of keys could not be noted; both are in the credential file", "error", err)
	}
	service := time.UnixMilli(welcome.GetUnixMs())
	clock := time.Since(service)
	u.setUp(clock, service)
	wait.Reset()
	select {
	case <-u.nudges: // what was asked for has happened
	default:
	}
	u.metrics.sessions.Inc()
	u.deps.Logger.Info("connected", "server", u.cfg.Address, "session", welcome.GetSessionId(), "clock_ahead", clock.Round(time.Millisecond))

	for _, m := range welcome.GetMarks() {
		if _, err := u.settle(m); err != nil {
			return err
		}
	}
	limits := sentinel.DefaultLimits()
	c := &conversation{
		u: u, stream: s, nonce: nonce, challenge: challenge, key: key, lanes: newLanes(u.deps.Log, limits),
		window:  max(1, min(int(welcome.GetMaxUnacknowledged()), 256)),
		credits: int(welcome.GetBacklogCredits()),
		waiting: map[name]*batch{}, layouts: map[sentinel.LayoutHash]bool{},
		fresh: newLane(), old: newLane(),
		outstanding: map[sentinel.Epoch]uint64{}, moved: time.Now(),
	}
	defer c.lanes.close()
	heartbeat := min(max(time.Duration(welcome.GetHeartbeatMs())*time.Millisecond, time.Second), maxHeartbeat)
	return c.run(ctx, cancel, heartbeat)
}

// handshake opens the session with this key. It returns the server's challenge and
// its welcome.
func (u *Uplink) handshake(s stream, nonce []byte, key sign.Key) ([]byte, *sentinelpb.Welcome, error) {
	hello := &sentinelpb.Hello{
		AgentId: string(u.self.Agent), KeyId: key.ID, Nonce: nonce, Info: u.deps.Info,
		Positions: u.positions(), UnixMs: time.Now().UnixMilli(),
	}
	if u.deps.ConfigVersion != nil {
		hello.ConfigVersion = u.deps.ConfigVersion()
	}
	if err := send(s, &sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Hello{Hello: hello}}); err != nil {
		return nil, nil, err
	}
	m, err := s.Recv()
	if err != nil {
		return nil, nil, err
	}
	challenge := m.GetChallenge().GetNonce()
	if len(challenge) != sign.NonceSize {
		return nil, nil, fmt.Errorf("%s does not speak this protocol: no challenge came after hello", u.cfg.Address)
	}
	proof := &sentinelpb.Proof{Mac: key.Session(u.self.Agent, nonce, challenge)}
	if err := send(s, &sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Proof{Proof: proof}}); err != nil {
		return nil, nil, err
	}
	if m, err = s.Recv(); err != nil {
		return nil, nil, err
	}
	if bye := m.GetGoodbye(); bye != nil {
		return nil, nil, &goodbyeError{bye.GetCode(), bye.GetDetail()}
	}
	if m.GetWelcome() == nil {
		return nil, nil, fmt.Errorf("%s does not speak this protocol: no welcome came after the proof", u.cfg.Address)
	}
	return challenge, m.GetWelcome(), nil
}

// send sends one message of the handshake. A stream that has ended says why only
// to Recv, which is nobody else's then.
func send(s stream, m *sentinelpb.ConnectRequest) error {
	err := s.Send(m)
	if errors.Is(err, io.EOF) {
		_, err = s.Recv()
	}
	return err
}

// positions returns how far each epoch is appended, the newest ones where there
// are too many to name.
func (u *Uplink) positions() []*sentinelpb.Position {
	var list []*sentinelpb.Position
	for _, g := range u.deps.Log.Generations() {
		list = append(list, &sentinelpb.Position{Epoch: uint64(g.Epoch), Appended: g.Appended})
	}
	return list[max(0, len(list)-maxPositions):]
}

// run serves the session; endStream cancels its stream.
func (c *conversation) run(ctx context.Context, endStream context.CancelFunc, heartbeat time.Duration) error {
	received := make(chan *sentinelpb.ConnectResponse, 256)
	failed := make(chan error, 1)
	ended := make(chan struct{})
	// The stream ends before the connection may be closed; gRPC can leave a reader
	// behind when the two happen at once. It is not worth waiting for longer.
	over := make(chan struct{})
	defer func() {
		close(over)
		endStream()
		select {
		case <-ended:
		case <-time.After(time.Second):
		}
	}()
	go func() { // ends with the stream
		defer close(ended)
		for {
			m, err := c.stream.Recv()
			if errors.Is(err, io.EOF) {
				err = &goodbyeError{detail: "the service ended the session"}
			}
			if err != nil {
				failed <- err
				return
			}
			select {
			case received <- m:
			case <-over:
				return
			}
		}
	}()
	err := c.loop(ctx, received, failed, heartbeat)
	if errors.Is(err, io.EOF) { // the stream has ended; only its reader is told why
		select {
		case err = <-failed:
		case <-time.After(time.Second):
		}
	}
	return err
}

func (c *conversation) loop(ctx context.Context, received <-chan *sentinelpb.ConnectResponse, failed <-chan error, heartbeat time.Duration) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	resume := time.NewTimer(0)
	defer resume.Stop()
	for {
		changed := c.u.deps.Log.Changed() // before the lanes are asked, so that no append is missed
		if err := c.fill(); err != nil {
			return err
		}
		if wait := c.wait(); wait > 0 {
			resume.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return c.stream.CloseSend()
		case err := <-failed:
			return err
		case m := <-received:
			if err := c.take(m); err != nil {
				return err
			}
		case r := <-c.configured:
			c.configured = nil
			if err := c.stream.Send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_ConfigReport{ConfigReport: r}}); err != nil {
				return err
			}
		case m := <-c.plugins:
			if err := c.stream.Send(m); err != nil {
				return err
			}
		case <-changed:
		case <-resume.C:
		case <-beat.C:
			if err := c.heartbeat(); err != nil {
				return err
			}
			if err := c.checkStall(); err != nil {
				return err
			}
		}
	}
}

// fill sends what may be sent now: fresh data, then the backlog as far as credits
// go. One place in the window is kept for what is fresh.
func (c *conversation) fill() error {
	for len(c.waiting) < c.window {
		b, err := c.next()
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if b == nil {
			return nil
		}
		if err := c.send(b); err != nil {
			return err
		}
	}
	return nil
}

func (c *conversation) next() (*batch, error) {
	if c.fresh.open() {
		if b := c.fresh.repeat(); b != nil {
			return b, nil
		}
		b, err := c.lanes.nextLive()
		if b != nil || c.unreadable(&c.fresh, err) != nil {
			return b, err
		}
	}
	if !c.old.open() || c.old.waiting >= max(1, c.window-1) {
		return nil, nil
	}
	if b := c.old.repeat(); b != nil || c.credits == 0 {
		return b, nil
	}
	b, err := c.lanes.nextBacklog()
	if b != nil {
		c.credits--
	}
	return b, c.unreadable(&c.old, err)
}

// wait returns how long it is until a lane's pause is over, 0 where none pauses.
func (c *conversation) wait() time.Duration {
	a, b := max(0, time.Until(c.fresh.paused)), max(0, time.Until(c.old.paused))
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// unreadable holds a lane back for a moment where the disk cannot be read: the
// log gives a place up after a few tries of one reader, and a new session would
// start with the first try again. Other errors it returns.
func (c *conversation) unreadable(l *lane, err error) error {
	if sentinel.CodeOf(err) != sentinel.Unavailable {
		return err
	}
	c.u.deps.Logger.Warn("the log cannot be read just now", "error", err)
	l.paused = time.Now().Add(readAgain)
	return nil
}

// send signs the batch with the key of this moment and sends it, after the
// layout that it names where the session has not seen that yet.
func (c *conversation) send(b *batch) error {
	if b.codec == sentinelpb.Codec_CODEC_CYCLES_V1 && !c.layouts[b.layout] {
		definition, ok := c.u.deps.Log.Layout(b.epoch, b.layout)
		if !ok {
			return c.giveUp(b, sentinel.LossDamaged, "the log has lost the layout of this record")
		}
		m := &sentinelpb.Layout{Hash: b.layout[:], Definition: definition}
		if err := c.stream.Send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Layout{Layout: m}}); err != nil {
			return err
		}
		c.layouts[b.layout] = true
	}
	e := &sentinelpb.Envelope{
		AgentId: string(c.u.self.Agent), Epoch: uint64(b.epoch), Seq: b.seq, Count: uint32(b.count),
		Codec: b.codec, Payload: b.payload,
	}
	c.u.self.Key.Batch(e)
	c.waiting[name{b.epoch, b.seq}] = b
	c.lane(b).waiting++
	c.u.metrics.sent.Inc()
	c.u.metrics.sentBytes.Add(len(b.payload))
	c.u.metrics.envelopes.Add(proto.Size(e))
	return c.stream.Send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Batch{Batch: &sentinelpb.Batch{Envelope: e, Lane: b.lane}}})
}

func (c *conversation) heartbeat() error {
	stats := c.u.deps.Log.Stats()
	unlogged := stats.Failed
	for _, n := range stats.Refused {
		unlogged += n
	}
	m := &sentinelpb.Heartbeat{Positions: c.u.positions(), UnixMs: time.Now().UnixMilli(), LogBytes: uint64(stats.Bytes), UnloggedCycles: unlogged}
	return c.stream.Send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Heartbeat{Heartbeat: m}})
}

// checkStall ends a session in which accepted batches are not settled for too
// long: the broker may have lost them. The next session starts again from what is
// settled; each time in vain doubles the patience, so that an outage of the
// database is not answered by sending everything over and over.
func (c *conversation) checkStall() error {
	if len(c.outstanding) == 0 {
		c.moved = time.Now()
		return nil
	}
	if time.Since(c.moved) < c.u.stall {
		return nil
	}
	c.u.stall = min(2*c.u.stall, stallMax)
	c.u.metrics.stalls.Inc()
	return &goodbyeError{sentinelpb.Code_CODE_UNAVAILABLE, "accepted batches are not settled yet, starting again from what is"}
}
