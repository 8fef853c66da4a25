//go:build unix

package sign_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// A credential that systemd hands over has a mode that shows its access list; one
// anywhere else must be for its owner alone.
func TestP20CredentialOfTheServiceManager(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "credential.json")
	if err := sign.FileStore(path).Save(sign.Credential{Agent: "ag-aaaaaaaaaaaaaaaa", Key: sign.NewKey()}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		folder string
		mode   os.FileMode
		good   bool
	}{
		{"", 0o400, true}, {"", 0o440, false}, {dir, 0o440, true}, {dir + "/", 0o440, true},
		{dir, 0o444, false}, {dir, 0o460, false}, {filepath.Dir(dir), 0o440, false},
	} {
		t.Setenv("CREDENTIALS_DIRECTORY", tt.folder)
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := sign.FileStore(path).Load(); (err == nil) != tt.good {
			t.Errorf("mode %o, credentials in %q: %v", tt.mode, tt.folder, err)
		}
	}
}

// TestP18ACredentialThatIsHandedOver counts until the agent has a newer key of its
// own, and again where it is another agent's.
func TestP18ACredentialThatIsHandedOver(t *testing.T) {
	dir := t.TempDir()
	origin := sign.FileStore(filepath.Join(dir, "handed.json"))
	store := sign.FileStore(filepath.Join(dir, "kept.json")).WithOrigin(origin.Path())
	if _, err := store.Load(); sentinel.CodeOf(err) != sentinel.NotFound {
		t.Errorf("nothing is there: %v", err)
	}
	first := sign.Credential{Agent: "ag-one", Key: sign.NewKey()}
	newer := sign.Credential{Agent: "ag-one", Key: sign.NewKey()}
	other := sign.Credential{Agent: "ag-two", Key: sign.NewKey()}
	for _, step := range []struct {
		save func(sign.Credential) error
		what sign.Credential
	}{{origin.Save, first}, {store.Save, newer}, {origin.Save, other}} {
		if err := step.save(step.what); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Load(); err != nil || got != step.what {
			t.Errorf("got %v, %v, want %v", got, err, step.what)
		}
	}
}
