package wal

import (
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Policy says what gives way when the log has no room left.
type Policy string

const (
	DropOldest Policy = "drop_oldest" // the oldest generation goes, and is declared lost
	DropNewest Policy = "drop_newest" // the new record is refused, and counted
)

// Config bounds a log. The zero value is not valid: start from DefaultConfig.
type Config struct {
	// MaxBytes bounds what all generations together take on disk.
	MaxBytes int64 `yaml:"max_bytes"`
	// MaxAge bounds how long ago the newest record of a generation was appended. A
	// pause of the process counts as a sixteenth of it at most, so that a clock that
	// jumps drops nothing.
	MaxAge time.Duration `yaml:"max_age"`
	// OnFull is the policy at MaxBytes and on a full file system.
	OnFull Policy `yaml:"on_full"`
	// GenerationBytes is the size at which a generation is sealed. Space is
	// freed and dropped in whole generations.
	GenerationBytes int64 `yaml:"generation_bytes"`
	// SegmentBytes is the size of one file, 64 times as much where large groups are
	// written. The newest file is held in memory too, up to twice, unless it is such
	// a long one, so keep it small.
	SegmentBytes int64 `yaml:"segment_bytes"`
}

// DefaultConfig returns the bounds that hold unless a configuration says
// otherwise.
func DefaultConfig() Config {
	return Config{
		MaxBytes:        1 << 30,
		MaxAge:          30 * 24 * time.Hour,
		OnFull:          DropOldest,
		GenerationBytes: 8 << 20,
		SegmentBytes:    64 << 10,
	}
}

// Validate returns an Invalid error that says what is wrong and what is allowed.
func (c Config) Validate() error {
	switch {
	case c.SegmentBytes < 1<<10 || c.SegmentBytes > 16<<20:
		return sentinel.Errorf(sentinel.Invalid, "segment_bytes: is %d, want %d to %d", c.SegmentBytes, 1<<10, 16<<20)
	case c.GenerationBytes < c.SegmentBytes:
		return sentinel.Errorf(sentinel.Invalid, "generation_bytes: is %d, want at least segment_bytes (%d)", c.GenerationBytes, c.SegmentBytes)
	case c.MaxBytes/2 < c.GenerationBytes:
		return sentinel.Errorf(sentinel.Invalid, "max_bytes: is %d, want at least two generations (%d)", c.MaxBytes, 2*c.GenerationBytes)
	case c.MaxAge < time.Minute:
		return sentinel.Errorf(sentinel.Invalid, "max_age: is %s, want at least 1m", c.MaxAge)
	case c.OnFull != DropOldest && c.OnFull != DropNewest:
		return sentinel.Errorf(sentinel.Invalid, "on_full: is %q, want %q or %q", c.OnFull, DropOldest, DropNewest)
	}
	return nil
}
