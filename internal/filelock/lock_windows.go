package filelock

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Lock is Take for a file that is open already.
func Lock(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return sentinel.Errorf(sentinel.Conflict, "%s is held by another process", f.Name())
	}
	return fmt.Errorf("take lock: %w", err)
}
