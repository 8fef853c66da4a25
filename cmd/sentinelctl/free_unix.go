//go:build linux || darwin

package main

import "golang.org/x/sys/unix"

// freeBytes returns what an unprivileged process may still write below a folder.
func freeBytes(dir string) (uint64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return uint64(st.Bavail) * uint64(st.Bsize), true //nolint:unconvert // the types differ by system
}
