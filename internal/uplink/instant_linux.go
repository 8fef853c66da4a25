package uplink

import (
	"time"

	"golang.org/x/sys/unix"
)

// instant is a moment that no change of the host's clock moves. Unlike that of
// Go's own monotonic clock on this system, its time goes on while the host sleeps.
type instant time.Duration

func thisInstant() instant {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0 // cannot be: every Linux that Go runs on has it
	}
	return instant(t.Nano())
}

// since returns how long ago i was.
func (i instant) since() time.Duration { return time.Duration(thisInstant() - i) }
