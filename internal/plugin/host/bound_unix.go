//go:build unix

package host

import (
	"syscall"

	"github.com/sentinelgo/sentinel/internal/plugin"
)

// openAtOnce is the flag of open with which it never waits.
const openAtOnce = syscall.O_NONBLOCK

const (
	niceness = 10
	maxFiles = 64
)

// bound has the system bound this process, before it reads anything of a plugin: its
// memory, its CPU time, its files. It gives way to everything else on the host.
func bound(o plugin.Order) error {
	_ = syscall.Setpriority(syscall.PRIO_PGRP, 0, niceness) // some containers do not let it
	for _, l := range []struct {
		what  int
		limit uint64
	}{
		{syscall.RLIMIT_DATA, o.DataMiB << 20},
		{syscall.RLIMIT_CPU, o.CPUSeconds},
		{syscall.RLIMIT_CORE, 0},
		{syscall.RLIMIT_NOFILE, maxFiles},
	} {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(l.what, &now); err != nil {
			return err
		}
		limit := min(l.limit, now.Max)
		if err := syscall.Setrlimit(l.what, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
	}
	return offer()
}
