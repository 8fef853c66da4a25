//go:build !linux

package uplink

import "time"

// instant is a moment that no change of the host's clock moves. On Windows its time
// goes on while the host sleeps; on macOS it does not, and the session that then
// breaks sets it right.
type instant time.Time

func thisInstant() instant { return instant(time.Now()) }

// since returns how long ago i was.
func (i instant) since() time.Duration { return time.Since(time.Time(i)) }
