package uplink_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/sentinelgo/sentinel/internal/devca"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/uplink"
)

// keyMaster is a gateway that knows keys by name, and hands one over.
type keyMaster struct {
	sentinelpb.UnimplementedGatewayServer

	mu       sync.Mutex
	good     map[string]sign.Key // keys that are taken
	offer    *sign.Key
	mute     bool     // takes the proof and ends the session without an answer
	sessions []string // the keys that sessions were opened with
	signed   []string // the keys of batches
	enrolled []*sentinelpb.EnrollRequest
	answer   error // of Enroll
}

func (k *keyMaster) with(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *keyMaster) Enroll(_ context.Context, r *sentinelpb.EnrollRequest) (*sentinelpb.EnrollResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.enrolled = append(k.enrolled, r)
	if err := k.answer; err != nil {
		k.answer = nil
		return nil, err
	}
	key, err := sign.KeyFromSecret(r.GetKeyId(), r.GetSecret())
	if err != nil {
		return nil, err
	}
	k.good[key.ID] = key
	return &sentinelpb.EnrollResponse{AgentId: "ag-bought"}, nil
}

func (k *keyMaster) Connect(s grpc.BidiStreamingServer[sentinelpb.ConnectRequest, sentinelpb.ConnectResponse]) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	hello, nonce := m.GetHello(), sign.NewNonce()
	if err := s.Send(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Challenge{Challenge: &sentinelpb.Challenge{Nonce: nonce}}}); err != nil {
		return err
	}
	if m, err = s.Recv(); err != nil {
		return err
	}
	var offer *sign.Key
	k.with(func() {
		key, ok := k.good[hello.GetKeyId()]
		if !ok || !key.VerifySession(sentinel.AgentID(hello.GetAgentId()), hello.GetNonce(), nonce, m.GetProof().GetMac()) {
			err = status.Error(codes.Unauthenticated, "not known")
			return
		}
		k.sessions = append(k.sessions, key.ID)
		offer = k.offer
	})
	if err != nil {
		return err
	}
	welcome := &sentinelpb.Welcome{SessionId: "s", BacklogCredits: 8, MaxUnacknowledged: 4, HeartbeatMs: 1000}
	if err := s.Send(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	if offer != nil {
		o := &sentinelpb.KeyOffer{KeyId: offer.ID, Secret: offer.Secret()}
		if err := s.Send(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_KeyOffer{KeyOffer: o}}); err != nil {
			return err
		}
	}
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if p := m.GetKeyProof(); p != nil {
			if !offer.VerifySession(sentinel.AgentID(hello.GetAgentId()), hello.GetNonce(), nonce, p.GetMac()) {
				return status.Error(codes.Internal, "the proof does not hold")
			}
			mute := false
			k.with(func() { k.good[offer.ID], k.offer, mute = *offer, nil, k.mute })
			if mute {
				return nil
			}
			a := &sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_KeyAccepted{KeyAccepted: &sentinelpb.KeyAccepted{KeyId: offer.ID}}}
			if err := s.Send(a); err != nil {
				return err
			}
		}
		if b := m.GetBatch(); b != nil {
			k.with(func() {
				key := k.good[b.GetEnvelope().GetKeyId()]
				if !key.VerifyBatch(b.GetEnvelope()) {
					err = status.Error(codes.Internal, "a batch is signed with a key that is not valid")
				}
				k.signed = append(k.signed, b.GetEnvelope().GetKeyId())
			})
			if err != nil {
				return err
			}
			if err := s.Send(receipt(b, sentinelpb.Code_CODE_OK)); err != nil {
				return err
			}
		}
	}
}

// serveKeys starts the gateway. It returns its address.
func (r *rig) serveKeys(k *keyMaster, certs devca.Files) string {
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
	sentinelpb.RegisterGatewayServer(srv, k)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	r.t.Cleanup(func() { srv.Stop(); <-done })
	return lis.Addr().String()
}

func (r *rig) store() sign.Store { return sign.FileStore(filepath.Join(r.dir, "credential.json")) }

func TestP18RotationInASession(t *testing.T) {
	r := newRig(t)
	next := sign.NewKey()
	k := &keyMaster{good: map[string]sign.Key{r.cred.Key.ID: r.cred.Key}, offer: &next}
	r.append(1)
	r.run(r.serveKeys(k, r.certs))
	r.wait("the key was not taken over", func() bool { c, err := r.store().Load(); return err == nil && c.Key.ID == next.ID && c.Next.ID == "" })
	r.append(1)
	r.wait("nothing is signed with the new key", func() (ok bool) {
		k.with(func() { ok = len(k.signed) > 0 && k.signed[len(k.signed)-1] == next.ID })
		return ok
	})
	k.with(func() {
		if len(k.sessions) != 1 {
			t.Errorf("sessions were opened with %v", k.sessions)
		}
	})
}

// TestP18TheAnswerGetsLost: the service has made the new key the active one, and the
// agent does not hear of it; whether the old one is still taken or not, the agent
// comes back and knows.
func TestP18TheAnswerGetsLost(t *testing.T) {
	for _, expired := range []bool{false, true} {
		r := newRig(t)
		next := sign.NewKey()
		k := &keyMaster{good: map[string]sign.Key{r.cred.Key.ID: r.cred.Key}, offer: &next, mute: true}
		r.run(r.serveKeys(k, r.certs))
		if expired {
			r.wait("the key was not proven", func() (ok bool) { k.with(func() { ok = k.offer == nil }); return ok })
			k.with(func() { delete(k.good, r.cred.Key.ID) })
		}
		r.wait("the key was not taken over", func() bool { c, err := r.store().Load(); return err == nil && c.Key.ID == next.ID && c.Next.ID == "" })
	}
}

// TestP18AnOfferThatWasTakenBack: the file holds a key that the service no longer
// knows; the agent goes on with the old one, at once.
func TestP18AnOfferThatWasTakenBack(t *testing.T) {
	r := newRig(t)
	both := r.cred
	both.Next = sign.NewKey()
	if err := r.store().Save(both); err != nil {
		t.Fatal(err)
	}
	k := &keyMaster{good: map[string]sign.Key{r.cred.Key.ID: r.cred.Key}}
	r.append(1)
	r.run(r.serveKeys(k, r.certs))
	r.wait("the old key is not used", func() (ok bool) { k.with(func() { ok = len(k.signed) > 0 && k.signed[0] == r.cred.Key.ID }); return ok })
	r.wait("the offer is still kept", func() bool { c, err := r.store().Load(); return err == nil && c.Next.ID == "" })
}

// failing is a store that cannot write while the test says so.
type failing struct {
	sign.Store
	broken atomic.Bool
	tried  atomic.Int64
}

func (f *failing) Save(c sign.Credential) error {
	f.tried.Add(1)
	if f.broken.Load() {
		return errors.New("read-only file system")
	}
	return f.Store.Save(c)
}

// TestP18AKeyThatCannotBeKeptIsNotProven: else the agent would know it in memory
// alone, and be locked out by its next start.
func TestP18AKeyThatCannotBeKeptIsNotProven(t *testing.T) {
	r := newRig(t)
	next := sign.NewKey()
	k := &keyMaster{good: map[string]sign.Key{r.cred.Key.ID: r.cred.Key}, offer: &next}
	store := &failing{Store: r.store()}
	store.broken.Store(true)
	r.identity = store
	r.run(r.serveKeys(k, r.certs))
	r.wait("the key was not offered", func() bool { return store.tried.Load() > 0 })
	r.append(1)
	r.wait("nothing is sent", func() (ok bool) { k.with(func() { ok = len(k.signed) > 0 }); return ok })
	k.with(func() {
		if k.offer == nil || k.signed[0] != r.cred.Key.ID {
			t.Errorf("signed with %v; the offer was proven: %t", k.signed, k.offer == nil)
		}
	})
}

func TestP19EnrolmentIsRetriedWithTheSameRequest(t *testing.T) {
	r := newRig(t)
	if err := os.Remove(r.store().Path()); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(r.dir, "token")
	if err := os.WriteFile(token, []byte("snte_secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &keyMaster{good: map[string]sign.Key{}, answer: status.Error(codes.Unavailable, "not now")}
	r.append(3) // before it has a name
	r.cfg = func(c *uplink.Config) { c.EnrolmentTokenFile = token }
	r.run(r.serveKeys(k, r.certs))
	r.wait("what was collected before is not sent", func() (ok bool) { k.with(func() { ok = len(k.signed) > 0 }); return ok })
	cred, err := r.store().Load()
	if err != nil {
		t.Fatal(err)
	}
	k.with(func() {
		if len(k.enrolled) != 2 || string(k.enrolled[0].GetNonce()) != string(k.enrolled[1].GetNonce()) || string(k.enrolled[0].GetSecret()) != string(k.enrolled[1].GetSecret()) {
			t.Errorf("%d requests, or they differ", len(k.enrolled))
		}
		if k.enrolled[0].GetToken() != "snte_secret" || cred.Agent != "ag-bought" || k.signed[0] != cred.Key.ID {
			t.Errorf("agent %s signs with %s", cred.Agent, k.signed[0])
		}
	})
	if strings.Contains(r.logs.String(), "snte_secret") || strings.Contains(r.logs.String(), cred.Key.SecretText()) {
		t.Error("the log holds a secret")
	}
}

func TestCAPin(t *testing.T) {
	r := newRig(t)
	raw, err := os.ReadFile(r.certs.CA)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	other, err := devca.Ensure(filepath.Join(r.dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	// A chain that shows the pinned authority and is not signed by it.
	forged := other
	forged.Cert = filepath.Join(r.dir, "forged.crt")
	leaf, err := os.ReadFile(other.Cert)
	if err != nil {
		t.Fatal(err)
	}
	block, _ = pem.Decode(leaf)
	if err := os.WriteFile(forged.Cert, append(pem.EncodeToMemory(block), raw...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		certs  devca.Files
		server string // name to expect
		want   string // trouble; empty: connected
	}{
		{"the pinned authority", r.certs, "", ""},
		{"another authority", other, "", "none of the server's certificates"},
		{"a chain that only shows it", forged, "", "unknown authority"},
		{"another name", r.certs, "elsewhere.example", "valid for"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			k := &keyMaster{good: map[string]sign.Key{r.cred.Key.ID: r.cred.Key}}
			r.cfg = func(c *uplink.Config) { c.CAFile, c.CAPin, c.ServerName = "", sign.Pin(ca), tt.server }
			r.run(r.serveKeys(k, tt.certs))
			r.wait("nothing has come of it", func() bool {
				s := r.up.Status()
				return s.Connected && tt.want == "" || tt.want != "" && strings.Contains(s.LastError, tt.want)
			})
		})
	}
	bad := uplink.DefaultConfig()
	for _, pin := range []string{"sha256:", "abc", "sha256:zz", sign.Pin(ca)[:70], strings.TrimPrefix(sign.Pin(ca), "sha256:")} {
		bad.CAPin = pin
		if sentinel.CodeOf(bad.Validate()) != sentinel.Invalid {
			t.Errorf("pin %q is taken", pin)
		}
	}
}
