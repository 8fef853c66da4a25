//go:build unix

package filelock

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Lock is Take for a file that is open already.
func Lock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return sentinel.Errorf(sentinel.Conflict, "%s is held by another process", f.Name())
		default:
			return fmt.Errorf("take lock: %w", err)
		}
	}
}
