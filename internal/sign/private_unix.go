//go:build unix

package sign

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// checkPrivate refuses a secret's file that its group or others may read.
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sentinel.Errorf(sentinel.NotFound, "read secret: %w", err)
	}
	if err != nil {
		return fmt.Errorf("read secret: %w", err)
	}
	others := fs.FileMode(0o077)
	// systemd hands a service its credentials in a folder for that service alone, and
	// lets it read them by an access list, which the mode shows as the group's.
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		others = 0o037
	}
	if info.Mode().Perm()&others != 0 {
		return sentinel.Errorf(sentinel.Invalid, "%s holds a secret but its mode is %04o: run `chmod 600 %s`", path, info.Mode().Perm(), path)
	}
	return nil
}

// systemSealer: nothing here seals a file to the host without a service for it.
// systemd's credentials are sealed by systemd and arrive as files.
func systemSealer() (sealer, bool) { return sealer{}, false }
