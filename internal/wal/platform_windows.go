package wal

import (
	"errors"

	"golang.org/x/sys/windows"
)

// syncDir does nothing: Windows has no call for it, NTFS journals names itself.
func syncDir(string) error { return nil }

// noSpace reports whether err says that the volume, or the quota, is full.
func noSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
