package sign

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Vault seals agents' secrets with AES-256-GCM (NIST SP 800-38D) under a master
// key, so that a copy of the database gives nothing away. A sealed secret is
// bound to the agent and key it belongs to: it cannot be moved to another row.
type Vault struct {
	id   string
	aead cipher.AEAD
}

// NewVault returns a vault for a 32-byte master key. The id, derived from nothing
// secret by the caller, is stored beside what the vault seals, so that a later
// master key can be told from this one.
func NewVault(id string, master []byte) (*Vault, error) {
	if len(master) != 32 {
		return nil, sentinel.Errorf(sentinel.Invalid, "master key has %d bytes, want 32", len(master))
	}
	block, err := aes.NewCipher(master)
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	return &Vault{id: id, aead: aead}, nil
}

// LoadVault reads a master key file: one line "id:base64 of 32 bytes". It refuses
// a file that others than its owner can read.
func LoadVault(path string) (*Vault, error) {
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	id, text, ok := strings.Cut(strings.TrimSpace(string(raw)), ":")
	master, err := base64.StdEncoding.DecodeString(text)
	if !ok || id == "" || err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "master key file %s: want one line \"id:base64 of 32 bytes\"; `sentinel-server master-key create` writes one", path)
	}
	return NewVault(id, master)
}

// CreateMasterKey writes a fresh master key file with mode 0600. It never
// replaces a file: losing a master key loses every secret sealed under it.
func CreateMasterKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("create master key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create master key: %w", err)
	}
	master := make([]byte, 32)
	rand.Read(master)
	_, err = fmt.Fprintf(f, "m-%s:%s\n", sentinel.RandomName(5), base64.StdEncoding.EncodeToString(master))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("create master key: %w", err)
	}
	return nil
}

// ID returns the master key's id.
func (v *Vault) ID() string { return v.id }

// LogValue returns the master key's id.
func (v *Vault) LogValue() slog.Value { return slog.StringValue(v.id) }

// Seal returns the key's secret encrypted for this agent.
func (v *Vault) Seal(agent sentinel.AgentID, k Key) []byte {
	nonce := make([]byte, v.aead.NonceSize())
	rand.Read(nonce)
	return v.aead.Seal(nonce, nonce, k.secret[:], sealContext(agent, k.ID))
}

// Open returns the key that Seal encrypted. It fails where the master key, the
// agent or the key id is another one, or the bytes were altered.
func (v *Vault) Open(agent sentinel.AgentID, keyID string, sealed []byte) (Key, error) {
	n := v.aead.NonceSize()
	if len(sealed) < n {
		return Key{}, sentinel.Errorf(sentinel.Internal, "sealed secret of key %q is cut short", keyID)
	}
	secret, err := v.aead.Open(nil, sealed[:n], sealed[n:], sealContext(agent, keyID))
	if err != nil {
		return Key{}, sentinel.Errorf(sentinel.Internal, "sealed secret of key %q does not open under master key %q", keyID, v.id)
	}
	return KeyFromSecret(keyID, secret)
}

func sealContext(agent sentinel.AgentID, keyID string) []byte {
	return fmt.Appendf(nil, "sentinel key v1\x00%d\x00%s\x00%s", len(agent), agent, keyID)
}
