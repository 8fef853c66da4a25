package command

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Duration gives a command a flag for a duration, in the words of sentinel.ParseDuration.
func Duration(c *cobra.Command, name string, value time.Duration, usage string) *time.Duration {
	c.Flags().Var((*DurationValue)(&value), name, usage)
	return &value
}

// DurationValue is the value of such a flag.
type DurationValue time.Duration

// Set reads what stands behind the flag.
func (d *DurationValue) Set(text string) error {
	read, err := sentinel.ParseDuration(text)
	*d = DurationValue(read)
	return err
}

func (d *DurationValue) String() string {
	if *d == 0 {
		return "0" // what help takes for no default
	}
	return sentinel.FormatDuration(time.Duration(*d))
}

// Type is what help calls the value.
func (*DurationValue) Type() string { return "duration" }
