//go:build unix

package sign_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sentinelgo/sentinel/internal/sign"
)

// A credential that systemd hands over has a mode that shows its access list; one
// anywhere else must be for its owner alone.
func TestP20CredentialOfTheServiceManager(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "credential.json")
	if err := (sign.Credential{Agent: "ag-aaaaaaaaaaaaaaaa", Key: sign.NewKey()}).Save(path); err != nil {
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
		if _, err := sign.LoadCredential(path); (err == nil) != tt.good {
			t.Errorf("mode %o, credentials in %q: %v", tt.mode, tt.folder, err)
		}
	}
}
