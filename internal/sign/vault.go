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

	"github.com/sentinelgo/sentinel/internal/atomicfile"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Vault seals agents' secrets with AES-256-GCM (NIST SP 800-38D) under a master
// key, so that a copy of the database gives nothing away. A sealed secret is
// bound to the agent and key it belongs to: it cannot be moved to another row.
// Older master keys may be beside the one that seals: they only open. Safe for
// concurrent use.
type Vault struct{ keys []masterKey } // the first one seals

type masterKey struct {
	id   string
	aead cipher.AEAD
}

// maxMasterKeys bounds the lines of a master key file.
const maxMasterKeys = 16

// NewVault returns a vault for one 32-byte master key. The id, derived from nothing
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
	return &Vault{[]masterKey{{id, aead}}}, nil
}

// LoadVault reads a master key file; see ParseVault. It refuses a file that others
// than its owner can read.
func LoadVault(path string) (*Vault, error) {
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	v, err := ParseVault(string(raw))
	if err != nil {
		return nil, fmt.Errorf("master key file %s: %w", path, err)
	}
	return v, nil
}

// ParseVault reads master keys, one in a line as "id:base64 of 32 bytes". The first
// one seals, all of them open. No error shows the text.
func ParseVault(text string) (*Vault, error) {
	v := &Vault{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		id, encoded, ok := strings.Cut(line, ":")
		master, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || id == "" || err != nil || len(v.keys) == maxMasterKeys {
			return nil, errMasterKey()
		}
		one, err := NewVault(id, master)
		if err != nil {
			return nil, err
		}
		for _, other := range v.keys {
			if other.id == id {
				return nil, sentinel.Errorf(sentinel.Invalid, "master key %s stands there twice", id)
			}
		}
		v.keys = append(v.keys, one.keys...)
	}
	if len(v.keys) == 0 {
		return nil, errMasterKey()
	}
	return v, nil
}

func errMasterKey() error {
	return sentinel.Errorf(sentinel.Invalid, "want lines \"id:base64 of 32 bytes\", at most %d; `sentinel-server master-key create` writes one", maxMasterKeys)
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
	_, err = f.WriteString(newMasterKey())
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

func newMasterKey() string {
	master := make([]byte, 32)
	rand.Read(master)
	return fmt.Sprintf("m-%s:%s\n", sentinel.RandomName(5), base64.StdEncoding.EncodeToString(master))
}

// RotateMasterKey puts a fresh master key before those of the file, which stay: they
// open what was sealed under them. It returns the new one's id. The file is replaced
// as a whole.
func RotateMasterKey(path string) (string, error) {
	if _, err := LoadVault(path); err != nil {
		return "", err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("rotate master key: %w", err)
	}
	text := newMasterKey() + string(raw)
	v, err := ParseVault(text)
	if err != nil {
		return "", fmt.Errorf("rotate master key: %w", err)
	}
	if err := atomicfile.Replace(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("rotate master key: %w", err)
	}
	return v.ID(), nil
}

// ID returns the id of the master key that seals.
func (v *Vault) ID() string { return v.keys[0].id }

// LogValue returns the master key's id.
func (v *Vault) LogValue() slog.Value { return slog.StringValue(v.ID()) }

// Seal returns the key's secret encrypted for this agent.
func (v *Vault) Seal(agent sentinel.AgentID, k Key) []byte {
	aead := v.keys[0].aead
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, k.secret[:], sealContext(agent, k.ID))
}

// Open returns the key that Seal encrypted, under whichever of the master keys. It
// fails where none of them did, agent or key id is another one, or the bytes were
// altered.
func (v *Vault) Open(agent sentinel.AgentID, keyID string, sealed []byte) (Key, error) {
	for _, m := range v.keys {
		n := m.aead.NonceSize()
		if len(sealed) < n {
			return Key{}, sentinel.Errorf(sentinel.Internal, "sealed secret of key %q is cut short", keyID)
		}
		if secret, err := m.aead.Open(nil, sealed[:n], sealed[n:], sealContext(agent, keyID)); err == nil {
			return KeyFromSecret(keyID, secret)
		}
	}
	return Key{}, sentinel.Errorf(sentinel.Internal, "sealed secret of key %q does not open under master key %q", keyID, v.ID())
}

func sealContext(agent sentinel.AgentID, keyID string) []byte {
	return fmt.Appendf(nil, "sentinel key v1\x00%d\x00%s\x00%s", len(agent), agent, keyID)
}

// SealText returns a text that holds secrets, encrypted for one purpose.
func (v *Vault) SealText(purpose string, text []byte) []byte {
	aead := v.keys[0].aead
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, text, textContext(purpose))
}

// OpenText returns what SealText encrypted, under whichever of the master keys. It
// fails where none of them did, or it was for another purpose.
func (v *Vault) OpenText(purpose string, sealed []byte) ([]byte, error) {
	for _, m := range v.keys {
		n := m.aead.NonceSize()
		if len(sealed) < n {
			return nil, sentinel.Errorf(sentinel.Internal, "the sealed %s is cut short", purpose)
		}
		if text, err := m.aead.Open(nil, sealed[:n], sealed[n:], textContext(purpose)); err == nil {
			return text, nil
		}
	}
	return nil, sentinel.Errorf(sentinel.Internal, "the sealed %s does not open under master key %q", purpose, v.ID())
}

func textContext(purpose string) []byte { return fmt.Appendf(nil, "sentinel text v1\x00%s", purpose) }
