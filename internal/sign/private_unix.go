//go:build unix

package sign

import (
	"fmt"
	"os"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// checkPrivate refuses a secret's file that its group or others may read.
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return sentinel.Errorf(sentinel.Invalid, "%s holds a secret but its mode is %04o: run `chmod 600 %s`", path, info.Mode().Perm(), path)
	}
	return nil
}
