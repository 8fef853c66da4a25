package sign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sentinelgo/sentinel/internal/atomicfile"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Credential is what an agent owns: its identity and its key. Next is the key that
// was offered to it and that it is about to prove; its ID is empty where there is
// none. From the proof on either may be the one that the service takes.
type Credential struct {
	Agent sentinel.AgentID
	Key   Key
	Next  Key
}

// Store keeps a credential in a file for its owner alone.
type Store struct {
	path   string
	origin string // where the first credential comes from, if not by Save
	seal   sealer
}

// sealer hides a file's content from those who can read the disk but not act as
// this host. Both directions may be nil: the content is stored as it is.
type sealer struct {
	seal, open func([]byte) ([]byte, error)
}

// StoreKind says how a credential is kept.
type StoreKind string

// The kinds of stores.
const (
	StoreAuto StoreKind = "auto" // os where the system has one, else file
	StoreFile StoreKind = "file" // a file with mode 0600
	StoreOS   StoreKind = "os"   // the same, sealed by the system: Windows' DPAPI
)

// FileStore returns the store at path that seals nothing, for a credential that goes
// to another host.
func FileStore(path string) Store { return Store{path: path} }

// OpenStore returns the store at path. It reads nothing yet. StoreOS is Invalid on
// a system that seals nothing.
func OpenStore(path string, kind StoreKind) (Store, error) {
	s := Store{path: path}
	system, ok := systemSealer()
	switch kind {
	case StoreFile:
	case StoreAuto, StoreOS:
		if !ok && kind == StoreOS {
			return Store{}, sentinel.Errorf(sentinel.Invalid, "key_store: this system seals no files, want %s or %s", StoreAuto, StoreFile)
		}
		s.seal = system
	default:
		return Store{}, sentinel.Errorf(sentinel.Invalid, "key_store: %.20q, want %s, %s or %s", kind, StoreAuto, StoreFile, StoreOS)
	}
	return s, nil
}

// WithOrigin returns a store whose first credential is handed over in another file,
// which it never writes to. That one counts until Save has kept one of the same
// agent, and again where it becomes another agent's.
func (s Store) WithOrigin(path string) Store {
	s.origin = path
	return s
}

// Path returns the credential's file.
func (s Store) Path() string { return s.path }

type credentialFile struct {
	AgentID    string `json:"agent_id"`
	KeyID      string `json:"key_id"`
	Secret     string `json:"secret"`
	NextKeyID  string `json:"next_key_id,omitempty"`
	NextSecret string `json:"next_secret,omitempty"`
}

// Load reads the credential. It refuses a file that others than its owner can
// read, unknown fields and a malformed secret; no error shows the file's content.
// A file that is not there is NotFound.
func (s Store) Load() (Credential, error) {
	kept, err := s.load(s.path)
	if s.origin == "" {
		return kept, err
	}
	handed, herr := s.load(s.origin)
	if herr != nil || err == nil && kept.Agent == handed.Agent {
		return kept, err
	}
	return handed, nil
}

func (s Store) load(path string) (Credential, error) {
	var f credentialFile
	if err := s.read(path, &f); err != nil {
		return Credential{}, err
	}
	c := Credential{Agent: sentinel.AgentID(f.AgentID)}
	err := c.Agent.Validate()
	if err == nil {
		c.Key, err = ParseSecret(f.KeyID, f.Secret)
	}
	if err == nil && f.NextKeyID != "" {
		c.Next, err = ParseSecret(f.NextKeyID, f.NextSecret)
	}
	if err != nil {
		return Credential{}, fmt.Errorf("credential %s: %w", path, err)
	}
	return c, nil
}

// Save writes the credential, replacing the file as a whole: after a crash there
// is the old one or the new one. A request that led to it is removed.
func (s Store) Save(c Credential) error {
	f := credentialFile{AgentID: string(c.Agent), KeyID: c.Key.ID, Secret: c.Key.SecretText()}
	if c.Next.ID != "" {
		f.NextKeyID, f.NextSecret = c.Next.ID, c.Next.SecretText()
	}
	if err := s.write(s.path, f); err != nil {
		return err
	}
	if err := os.Remove(s.requestPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove enrolment request: %w", err)
	}
	return nil
}

// Request is what an agent asks for its identity with: the same for every try.
type Request struct {
	Nonce []byte // NonceSize random bytes
	Key   Key    // with which it will sign
}

type requestFile struct {
	Nonce  []byte `json:"nonce"`
	KeyID  string `json:"key_id"`
	Secret string `json:"secret"`
}

func (s Store) requestPath() string { return s.path + ".request" }

// Request returns the request for an identity that is under way, or makes one. It
// is on the disk when this returns, so that an answer that got lost can be asked
// for again, whatever happens in between.
func (s Store) Request() (Request, error) {
	var f requestFile
	err := s.read(s.requestPath(), &f)
	if err == nil && len(f.Nonce) == NonceSize {
		if key, err := ParseSecret(f.KeyID, f.Secret); err == nil {
			return Request{f.Nonce, key}, nil
		}
	}
	if err != nil && sentinel.CodeOf(err) != sentinel.NotFound && sentinel.CodeOf(err) != sentinel.Invalid {
		return Request{}, err
	}
	r := Request{NewNonce(), NewKey()}
	return r, s.write(s.requestPath(), requestFile{r.Nonce, r.Key.ID, r.Key.SecretText()})
}

func (s Store) read(path string, out any) error {
	if err := checkPrivate(path); err != nil {
		return err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read credential: %w", err)
	}
	if s.seal.open != nil && !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) { // one in clear came from elsewhere
		if raw, err = s.seal.open(raw); err != nil {
			return sentinel.Errorf(sentinel.Invalid, "credential %s was sealed on another host, or is damaged: %w", path, err)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if dec.Decode(out) != nil {
		return sentinel.Errorf(sentinel.Invalid, "credential %s is not the JSON that `sentinelctl agent register --out` writes", path)
	}
	return nil
}

func (s Store) write(path string, content any) error {
	raw, err := json.MarshalIndent(content, "", "  ")
	if err == nil {
		raw = append(raw, '\n')
		if s.seal.seal != nil {
			raw, err = s.seal.seal(raw)
		}
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = atomicfile.Replace(path, raw, 0o600)
	}
	if err != nil {
		return fmt.Errorf("save credential: %w", err)
	}
	return nil
}
