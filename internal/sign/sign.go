// Package sign makes and checks the signatures that carry an agent's identity,
// and seals the agents' secrets at rest.
//
// Every signature is HMAC-SHA256 (RFC 2104, FIPS 180-4) under the agent's
// 256-bit key over a domain tag and length-prefixed fields, so that no two
// different inputs, and no two purposes, share a signed message.
package sign

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"log/slog"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

// The domain tags. A tag names the purpose and the version of what is signed.
const (
	batchDomain   = "sentinel batch v1"
	sessionDomain = "sentinel session v1"
	configDomain  = "sentinel config v1"
	pluginDomain  = "sentinel plugin set v1"
)

const (
	// SecretSize is the length of an agent's secret in bytes.
	SecretSize = 32
	// NonceSize is the length of a session nonce in bytes.
	NonceSize = 16
)

// Key is an agent's secret and the id that names it. The secret cannot be
// printed: every formatting of a Key shows the id alone.
type Key struct {
	ID     string
	secret [SecretSize]byte
}

// NewKey returns a key with a fresh random secret and id.
func NewKey() Key {
	k := Key{ID: "k-" + sentinel.RandomName(5)}
	rand.Read(k.secret[:])
	return k
}

// KeyFromSecret returns the key with this id and secret. It returns an Invalid
// error where the secret is not SecretSize bytes long.
func KeyFromSecret(id string, secret []byte) (Key, error) {
	k := Key{ID: id}
	if len(secret) != SecretSize {
		return Key{}, sentinel.Errorf(sentinel.Invalid, "secret of key %q has %d bytes, want %d", id, len(secret), SecretSize)
	}
	copy(k.secret[:], secret)
	return k, nil
}

// ParseSecret returns the key whose secret is written in base64 (standard, with
// padding), the form in which SecretText returns it.
func ParseSecret(id, text string) (Key, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Key{}, sentinel.Errorf(sentinel.Invalid, "secret of key %q is not base64", id)
	}
	return KeyFromSecret(id, raw)
}

// Secret returns a copy of the secret. The caller must keep it out of logs,
// arguments and clear-text storage.
func (k Key) Secret() []byte { return append([]byte(nil), k.secret[:]...) }

// SecretText returns the secret in base64, for the one moment it is handed over.
func (k Key) SecretText() string { return base64.StdEncoding.EncodeToString(k.secret[:]) }

// String returns the key's id.
func (k Key) String() string { return k.ID }

// GoString returns the key's id.
func (k Key) GoString() string { return "sign.Key(" + k.ID + ")" }

// LogValue returns the key's id.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.ID) }

// Batch signs the envelope: it sets KeyId and Mac. All other fields must be
// final, for they are covered. Safe for concurrent use of one Key.
func (k Key) Batch(e *sentinelpb.Envelope) {
	e.KeyId = k.ID
	e.Mac = k.batchMAC(e)
}

// VerifyBatch reports whether the envelope was signed with this key and is
// unaltered. It decodes nothing of the payload and takes constant time in the
// comparison.
func (k Key) VerifyBatch(e *sentinelpb.Envelope) bool {
	return e.GetKeyId() == k.ID && hmac.Equal(e.GetMac(), k.batchMAC(e))
}

func (k Key) batchMAC(e *sentinelpb.Envelope) []byte {
	m := newMessage(k, batchDomain)
	m.text(e.GetAgentId())
	m.text(e.GetKeyId())
	m.number(e.GetEpoch())
	m.number(e.GetSeq())
	m.number(uint64(e.GetCount()))
	m.number(uint64(e.GetCodec()))
	digest := sha256.Sum256(e.GetPayload())
	m.bytes(digest[:])
	return m.sum()
}

// NewNonce returns NonceSize random bytes.
func NewNonce() []byte {
	n := make([]byte, NonceSize)
	rand.Read(n)
	return n
}

// Session returns the proof that answers a session's challenge.
func (k Key) Session(agent sentinel.AgentID, agentNonce, serverNonce []byte) []byte {
	m := newMessage(k, sessionDomain)
	m.text(string(agent))
	m.text(k.ID)
	m.bytes(agentNonce)
	m.bytes(serverNonce)
	return m.sum()
}

// VerifySession reports whether mac proves that the agent holds this key.
func (k Key) VerifySession(agent sentinel.AgentID, agentNonce, serverNonce, mac []byte) bool {
	return hmac.Equal(mac, k.Session(agent, agentNonce, serverNonce))
}

// Config signs a configuration for an agent: it sets Mac.
func (k Key) Config(agent sentinel.AgentID, c *sentinelpb.AgentConfig) { c.Mac = k.configMAC(agent, c) }

// VerifyConfig reports whether the configuration was signed with this key for this
// agent and is unaltered.
func (k Key) VerifyConfig(agent sentinel.AgentID, c *sentinelpb.AgentConfig) bool {
	return hmac.Equal(c.GetMac(), k.configMAC(agent, c))
}

func (k Key) configMAC(agent sentinel.AgentID, c *sentinelpb.AgentConfig) []byte {
	m := newMessage(k, configDomain)
	m.text(string(agent))
	m.text(k.ID)
	m.number(c.GetVersion())
	digest := sha256.Sum256(c.GetContent())
	m.bytes(digest[:])
	return m.sum()
}

// PluginSet signs what an agent is to run: it sets Mac.
func (k Key) PluginSet(agent sentinel.AgentID, s *sentinelpb.PluginSet) {
	s.Mac = k.pluginMAC(agent, s)
}

// VerifyPluginSet reports whether the set was signed with this key for this agent and
// is unaltered.
func (k Key) VerifyPluginSet(agent sentinel.AgentID, s *sentinelpb.PluginSet) bool {
	return hmac.Equal(s.GetMac(), k.pluginMAC(agent, s))
}

func (k Key) pluginMAC(agent sentinel.AgentID, s *sentinelpb.PluginSet) []byte {
	m := newMessage(k, pluginDomain)
	m.text(string(agent))
	m.text(k.ID)
	m.number(uint64(len(s.GetPlugins())))
	for _, p := range s.GetPlugins() {
		m.text(p.GetName())
		m.text(p.GetVersion())
		m.text(p.GetDigest())
		m.number(uint64(p.GetSize()))
		m.number(p.GetAttempt())
	}
	return m.sum()
}

// message builds what is signed: each field is preceded by its length as a
// 64-bit big-endian number, numbers are 64-bit big-endian.
type message struct{ mac hash.Hash }

func newMessage(k Key, domain string) message {
	m := message{hmac.New(sha256.New, k.secret[:])}
	m.text(domain)
	return m
}

func (m message) text(s string) { m.bytes([]byte(s)) }

func (m message) bytes(b []byte) {
	m.number(uint64(len(b)))
	m.mac.Write(b)
}

func (m message) number(n uint64) {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], n)
	m.mac.Write(raw[:])
}

func (m message) sum() []byte { return m.mac.Sum(nil) }
