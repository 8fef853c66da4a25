// Package uplink carries the log's records to the service: it opens a session,
// signs each batch with the current key as it sends it, sends fresh data first and
// the backlog as the server's credits allow, and frees the log up to what the
// service has settled. It owns the client side of gRPC.
//
// It deletes nothing on its own judgement: records leave the log when a mark says
// that they are settled, or, where the service says that a batch is wrong and
// stays wrong, after they were copied to the dead letters and declared.
package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/sentinelgo/sentinel/internal/backoff"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/wal"
)

// Config says where the service is and how to know it.
type Config struct {
	// Address is the gateway's host:port.
	Address string `yaml:"address"`
	// CAFile holds the authorities that may vouch for the gateway, in PEM; empty
	// means those of the system.
	CAFile string `yaml:"ca_file"`
	// CAPin names the authority by its public key instead, see sign.Pin: the gateway must
	// send its certificate along.
	CAPin string `yaml:"ca_pin"`
	// EnrolmentTokenFile holds the token that buys an identity for an agent that has
	// none; empty: it must have one.
	EnrolmentTokenFile string `yaml:"enrolment_token_file"`
	// ServerName is the name in the gateway's certificate, where it is not the host
	// of Address.
	ServerName string `yaml:"server_name"`
	// CertFile and KeyFile hold a client certificate, where the gateway wants one.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// RetryMax bounds the wait between tries to connect.
	RetryMax time.Duration `yaml:"retry_max"`
}

// DefaultConfig returns the settings for a gateway on this host.
func DefaultConfig() Config { return Config{Address: "127.0.0.1:7443", RetryMax: time.Minute} }

// Validate says which key is wrong and what is allowed.
func (c Config) Validate() error {
	switch {
	case c.Address == "":
		return sentinel.Errorf(sentinel.Invalid, "address: is empty, want host:port of the gateway")
	case c.RetryMax < time.Second:
		return sentinel.Errorf(sentinel.Invalid, "retry_max: %s is under 1s", c.RetryMax)
	case (c.CertFile == "") != (c.KeyFile == ""):
		return sentinel.Errorf(sentinel.Invalid, "cert_file: cert_file and key_file go together")
	case c.CAFile != "" && c.CAPin != "":
		return sentinel.Errorf(sentinel.Invalid, "ca_pin: ca_file and ca_pin exclude each other")
	case c.CAPin != "":
		return sign.CheckPin(c.CAPin)
	}
	return nil
}

// Check reads what the configuration names and says what of it cannot be used:
// Run would end with the same error.
func (c Config) Check() error {
	_, err := c.transport()
	return err
}

const (
	retryBase    = 500 * time.Millisecond
	refusedFloor = 30 * time.Second // between tries after the service refused the key
	repeatAfter  = 10 * time.Minute // the same trouble is logged again after this
	stallFirst   = 2 * time.Minute  // without a mark for accepted batches: start again from what is settled
	stallMax     = time.Hour
)

// Deps are the parts that an uplink works with.
type Deps struct {
	Log        *wal.Log
	Identity   Identity
	Info       *sentinelpb.AgentInfo
	DeadLetter DeadLetters
	// Configure applies what the service tells the agent to collect, or says why not;
	// nil content is none. It is called by one goroutine at a time. nil: the agent
	// takes no configuration.
	Configure func(version uint64, content []byte) error
	// Plugins takes what the service says of plugins; nil: the agent takes none from it.
	Plugins Courier
	// ConfigVersion returns the version of what it runs with, 0 for none.
	ConfigVersion func() uint64
	Metrics       *telemetry.Registry
	Logger        *slog.Logger
}

// Uplink is one agent's way to the service. Make it with New.
type Uplink struct {
	cfg     Config
	deps    Deps
	metrics *uplinkMetrics
	stall   time.Duration
	self    self // Run's
	nudges  chan struct{}

	mu      sync.Mutex
	status  Status
	service time.Time // the service's clock when the session began
	at      instant   // of that
}

// Status says how the uplink stands.
type Status struct {
	Agent     sentinel.AgentID // empty until it is known
	Key       string           // the id of the key it signs with
	Connected bool
	Since     time.Time     // of Connected, or of its loss
	LastError string        // why the last session ended, empty while all is well
	Clock     time.Duration // how far this host's clock is ahead of the service's
}

// New returns an uplink; Run makes it work.
func New(cfg Config, deps Deps) *Uplink {
	u := &Uplink{cfg: cfg, deps: deps, stall: stallFirst, self: self{keep: deps.Identity}, nudges: make(chan struct{}, 1), status: Status{Since: time.Now()}}
	u.metrics = newMetrics(deps.Metrics, u)
	return u
}

// Status returns how the uplink stands. Safe for concurrent use.
func (u *Uplink) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// ServiceTime returns what the service's clock shows now: what it showed when the
// session began, and what has elapsed since, whatever happened to this host's
// clock. It is not known (false) without a session. It is late by the delay of the
// network, and as good as the oscillator. Safe for concurrent use.
func (u *Uplink) ServiceTime() (time.Time, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.service.Add(u.at.since()), u.status.Connected
}

// Run keeps a session open until ctx ends, and then returns nil. No failure of
// the service ends it: it keeps the data and backs off. Only a configuration that
// can never work (unreadable certificates) is returned as an error.
func (u *Uplink) Run(ctx context.Context) error {
	conn, err := u.cfg.dial()
	if err != nil {
		return err
	}
	defer conn.Close()

	wait := backoff.Backoff{Base: retryBase, Max: u.cfg.RetryMax}
	var lastTrouble string
	var lastLogged time.Time
	for ctx.Err() == nil {
		err := u.identify(ctx, conn)
		if err == nil {
			err = u.session(ctx, conn, &wait)
		}
		if ctx.Err() != nil {
			break
		}
		trouble := explain(err)
		u.setDown(trouble)
		// The first failure may be a server that is just starting.
		if wait.Tries() > 0 && (trouble != lastTrouble || time.Since(lastLogged) > repeatAfter) {
			u.deps.Logger.Warn("not connected, data is kept", "server", u.cfg.Address, "reason", trouble)
			lastTrouble, lastLogged = trouble, time.Now()
		}
		if u.self.another() {
			continue // with the other key, at once
		}
		if code := status.Code(err); code == codes.Unauthenticated || code == codes.PermissionDenied {
			wait.Floor, wait.Max = refusedFloor, max(u.cfg.RetryMax, 5*time.Minute)
		} else {
			wait.Max = u.cfg.RetryMax
		}
		if u.pause(ctx, &wait) {
			conn.ResetConnectBackoff()
		}
	}
	u.setDown("the agent is stopping")
	return nil
}

// pause waits before the next try to connect, until ctx ends or somebody asks for
// that try at once, which it reports.
func (u *Uplink) pause(ctx context.Context, wait *backoff.Backoff) (nudged bool) {
	t := time.NewTimer(wait.Next())
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-u.nudges:
		return true
	}
	return false
}

// Nudge ends the wait before the next try to connect, where one is under way, or
// else the next one. Safe for concurrent use.
func (u *Uplink) Nudge() {
	select {
	case u.nudges <- struct{}{}:
	default:
	}
}

// explain turns a session's end into one line for people.
func explain(err error) string {
	var end *goodbyeError
	if errors.As(err, &end) {
		return end.detail
	}
	var enrol *enrolError
	if errors.As(err, &enrol) {
		return enrol.Error()
	}
	if s, ok := status.FromError(err); ok {
		switch s.Code() {
		case codes.Unauthenticated:
			return "the service does not accept this agent's key: " + s.Message() + "; `sentinelctl agent ls` shows whether it is registered"
		case codes.OK:
			return "the service ended the session"
		}
		return plain(s.Message())
	}
	return err.Error()
}

// plain takes gRPC's wrapping off a connection error.
func plain(message string) string {
	if i := strings.LastIndex(message, `desc = "`); i >= 0 {
		message = strings.TrimSuffix(message[i+len(`desc = "`):], `"`)
	}
	for _, prefix := range []string{"transport: ", "Error while dialing: ", "authentication handshake failed: "} {
		message = strings.TrimPrefix(message, prefix)
	}
	return message
}

// dial returns a connection that is made when it is used.
func (c Config) dial() (*grpc.ClientConn, error) {
	creds, err := c.transport()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(c.Address,
		grpc.WithTransportCredentials(creds),
		grpc.WithDisableServiceConfig(),
		grpc.WithReadBufferSize(8<<10), grpc.WithWriteBufferSize(8<<10),
		grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<10)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 15 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 10 * time.Second, Backoff: connBackoff()}),
	)
	if err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "agent.server.address: %w", err)
	}
	return conn, nil
}

func (c Config) transport() (credentials.TransportCredentials, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, sentinel.Errorf(sentinel.NotFound, "agent.server.ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, sentinel.Errorf(sentinel.Invalid, "agent.server.ca_file: %s holds no certificate in PEM form", c.CAFile)
		}
	}
	if c.CAPin != "" {
		t.InsecureSkipVerify = true // VerifyConnection does all of it, with the pinned authority
		t.VerifyConnection = verifyPinned(c.CAPin)
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, sentinel.Errorf(sentinel.Invalid, "agent.server.cert_file: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(t), nil
}

func (u *Uplink) setUp(clock time.Duration, service time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.service, u.at = service, thisInstant()
	u.status = Status{Agent: u.self.Agent, Key: u.self.Key.ID, Connected: true, Since: time.Now(), Clock: clock}
}

// setSelf notes who this agent is now.
func (u *Uplink) setSelf() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.status.Agent, u.status.Key = u.self.Agent, u.self.Key.ID
}

func (u *Uplink) setDown(reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.status.Connected {
		u.status.Connected, u.status.Since = false, time.Now()
	}
	u.status.LastError = reason
}
