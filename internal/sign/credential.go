package sign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Credential is what an agent owns: its identity and its key.
type Credential struct {
	Agent sentinel.AgentID
	Key   Key
}

type credentialFile struct {
	AgentID string `json:"agent_id"`
	KeyID   string `json:"key_id"`
	Secret  string `json:"secret"`
}

// LoadCredential reads a credential file. It refuses a file that others than its
// owner can read, unknown fields and a malformed secret; no error shows the
// file's content.
func LoadCredential(path string) (Credential, error) {
	if err := checkPrivate(path); err != nil {
		return Credential{}, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return Credential{}, fmt.Errorf("read credential: %w", err)
	}
	var f credentialFile
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if dec.Decode(&f) != nil {
		return Credential{}, sentinel.Errorf(sentinel.Invalid, "credential %s is not the JSON that `sentinelctl agent register --out` writes", path)
	}
	id := sentinel.AgentID(f.AgentID)
	if err := id.Validate(); err != nil {
		return Credential{}, fmt.Errorf("credential %s: %w", path, err)
	}
	key, err := ParseSecret(f.KeyID, f.Secret)
	if err != nil {
		return Credential{}, fmt.Errorf("credential %s: %w", path, err)
	}
	return Credential{Agent: id, Key: key}, nil
}

// Save writes the credential with mode 0600, replacing the file as a whole: after
// a crash there is the old one or the new one.
func (c Credential) Save(path string) error {
	raw, err := json.MarshalIndent(credentialFile{string(c.Agent), c.Key.ID, c.Key.SecretText()}, "", "  ")
	if err != nil {
		return fmt.Errorf("save credential: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("save credential: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".credential-*") // mode 0600
	if err != nil {
		return fmt.Errorf("save credential: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(raw, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("save credential: %w", err)
	}
	return nil
}
