package wal

import (
	"errors"
	"os"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"golang.org/x/sys/windows"
)

// syncDir does nothing: Windows has no call for it, NTFS journals names itself.
func syncDir(string) error { return nil }

// noSpace reports whether err says that the volume, or the quota, is full.
func noSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// tryLock takes the file for this process, until it is closed.
func tryLock(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return sentinel.Errorf(sentinel.Conflict, "%s is held by another process", f.Name())
	}
	return err
}
