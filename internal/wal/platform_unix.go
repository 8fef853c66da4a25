//go:build unix

package wal

import (
	"errors"
	"os"
	"syscall"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"golang.org/x/sys/unix"
)

// syncDir makes the names in a folder durable. Some network and FUSE file
// systems cannot, and say so: there the names are as durable as they get.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}

// noSpace reports whether err says that the file system, or the quota, is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// tryLock takes the file for this process, until it is closed.
func tryLock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return sentinel.Errorf(sentinel.Conflict, "%s is held by another process", f.Name())
		default:
			return err
		}
	}
}
