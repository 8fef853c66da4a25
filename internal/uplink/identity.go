package uplink

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Identity keeps who this agent is. What Save was given is on the disk when it
// returns.
type Identity interface {
	// Load returns the credential; NotFound where the agent has none yet.
	Load() (sign.Credential, error)
	Save(sign.Credential) error
	// Request returns what to ask for an identity with, the same for every try.
	Request() (sign.Request, error)
}

const enrolTimeout = 15 * time.Second

// self is who this agent is, as the sessions use it. One goroutine owns it.
//
// While a key is offered and not accepted, either of the two may be the one that
// the service takes: the proof may have arrived and its answer not. The new one is
// tried first, and the other one after each failure.
type self struct {
	sign.Credential
	keep Identity

	second      bool // try Key although there is a Next
	nextRefused bool // the service was asked, and does not know Next
}

// key returns the key to open a session with.
func (s *self) key() sign.Key {
	if s.Next.ID != "" && !s.second {
		return s.Next
	}
	return s.Key
}

// failed notes that no session could be opened with key().
func (s *self) failed(err error) {
	if s.Next.ID == "" {
		return
	}
	if !s.second && status.Code(err) == codes.Unauthenticated {
		s.nextRefused = true
	}
	s.second = !s.second
}

// another reports whether only one of two keys has been refused: the other one may
// be tried at once.
func (s *self) another() bool { return s.second && s.nextRefused }

// proven notes that a session was opened with this key: it is the one to sign with.
func (s *self) proven(key sign.Key) error {
	s.second = false
	switch {
	case s.Next.ID == "":
		return nil
	case key.ID == s.Next.ID:
		return s.accept(key.ID)
	case s.nextRefused: // an offer that was taken back
		s.Next, s.nextRefused = sign.Key{}, false
		return s.keep.Save(s.Credential)
	}
	return nil
}

// offered keeps the key that the service offers, beside the one in use.
func (s *self) offered(key sign.Key) error {
	next := s.Credential
	next.Next = key
	if err := s.keep.Save(next); err != nil {
		return err
	}
	s.Credential, s.nextRefused = next, false
	return nil
}

// accept makes the offered key the one in use. A file that cannot be written still
// holds both, so the key in use is found in it again.
func (s *self) accept(keyID string) error {
	if s.Next.ID == "" || s.Next.ID != keyID {
		return nil
	}
	s.Key, s.Next = s.Next, sign.Key{}
	return s.keep.Save(s.Credential)
}

// takeOffer keeps the offered key and proves it. A key that cannot be kept is not
// proven: the old one stays in use.
func (c *conversation) takeOffer(o *sentinelpb.KeyOffer) error {
	key, err := sign.KeyFromSecret(o.GetKeyId(), o.GetSecret())
	if err != nil || sentinel.AgentID(key.ID).Validate() != nil {
		c.u.deps.Logger.Warn("the service offered a key that is none", "key", o.GetKeyId())
		return nil
	}
	if key.ID == c.u.self.Key.ID {
		return nil
	}
	if err := c.u.self.offered(key); err != nil {
		c.u.metrics.keyErrors.Inc()
		c.u.deps.Logger.Error("new key cannot be kept, going on with the old one", "key", key.ID, "error", err)
		return nil
	}
	mac := key.Session(c.u.self.Agent, c.nonce, c.challenge)
	return c.stream.Send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_KeyProof{KeyProof: &sentinelpb.KeyProof{KeyId: key.ID, Mac: mac}}})
}

// takeAccepted signs with the new key from here on.
func (c *conversation) takeAccepted(a *sentinelpb.KeyAccepted) {
	old := c.u.self.Key.ID
	if err := c.u.self.accept(a.GetKeyId()); err != nil {
		c.u.metrics.keyErrors.Inc()
		c.u.deps.Logger.Error("the change of keys could not be noted; both are in the credential file", "error", err)
	}
	if c.u.self.Key.ID != old {
		c.u.setSelf()
		c.u.metrics.rotations.Inc()
		c.u.deps.Logger.Info("signing with a new key", "key", c.u.self.Key.ID, "old", old)
	}
}

// identify makes sure that the agent has an identity: the one it has, or one that
// the enrolment token buys. Its error says why it has none yet.
func (u *Uplink) identify(ctx context.Context, conn *grpc.ClientConn) error {
	if u.self.Agent != "" {
		return nil
	}
	cred, err := u.deps.Identity.Load()
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound && u.cfg.EnrolmentTokenFile != "" {
		if cred, err = u.cfg.enrol(ctx, conn, u.deps.Identity, u.deps.Info); err == nil {
			u.deps.Logger.Info("enrolled", "agent", cred.Agent)
		}
	}
	if err != nil {
		return err
	}
	u.self.Credential = cred
	u.setSelf()
	return nil
}

// Enrol buys an identity with the token of cfg.EnrolmentTokenFile, once, and keeps
// it. Asked again after a failure it is the same request. The error is
// Unauthenticated where the service refuses the token.
func Enrol(ctx context.Context, cfg Config, keep Identity, info *sentinelpb.AgentInfo) (sign.Credential, error) {
	conn, err := cfg.dial()
	if err != nil {
		return sign.Credential{}, err
	}
	defer conn.Close()
	cred, err := cfg.enrol(ctx, conn, keep, info)
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied:
		err = sentinel.Errorf(sentinel.Unauthenticated, "%w", err)
	case codes.InvalidArgument:
		err = sentinel.Errorf(sentinel.Invalid, "%w", err)
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		err = sentinel.Errorf(sentinel.Unavailable, "%w", err)
	}
	return cred, err
}

func (c Config) enrol(ctx context.Context, conn *grpc.ClientConn, keep Identity, info *sentinelpb.AgentInfo) (sign.Credential, error) {
	raw, err := os.ReadFile(c.EnrolmentTokenFile)
	if err != nil {
		return sign.Credential{}, sentinel.Errorf(sentinel.NotFound, "agent.server.enrolment_token_file: %w", err)
	}
	request, err := keep.Request()
	if err != nil {
		return sign.Credential{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	answer, err := sentinelpb.NewGatewayClient(conn).Enroll(ctx, &sentinelpb.EnrollRequest{
		Token: strings.TrimSpace(string(raw)), Nonce: request.Nonce, KeyId: request.Key.ID, Secret: request.Key.Secret(), Info: info,
	})
	if err != nil {
		return sign.Credential{}, &enrolError{err}
	}
	cred := sign.Credential{Agent: sentinel.AgentID(answer.GetAgentId()), Key: request.Key}
	if err := cred.Agent.Validate(); err != nil {
		return sign.Credential{}, fmt.Errorf("%s gave no identity: %w", c.Address, err)
	}
	return cred, keep.Save(cred) // where that fails, asked again it is the same
}

// enrolError is why the service gave no identity.
type enrolError struct{ err error }

func (e *enrolError) Error() string { return "not enrolled: " + plain(status.Convert(e.err).Message()) }

// GRPCStatus lets Run pace the next try by the answer.
func (e *enrolError) GRPCStatus() *status.Status { return status.Convert(e.err) }
