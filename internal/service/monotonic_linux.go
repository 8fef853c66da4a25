package service

import "golang.org/x/sys/unix"

// monotonic returns CLOCK_MONOTONIC in microseconds, by which systemd tells whether
// a reload is the one that it has asked for.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano() / 1000
}
