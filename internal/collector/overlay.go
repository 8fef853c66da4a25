package collector

import (
	"maps"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Ceiling is what a host allows its service to change. Only the host's own
// configuration sets it.
type Ceiling struct {
	// Enabled lets the service change what is collected.
	Enabled bool `yaml:"enabled"`
	// MinInterval is how often the service may have this host collect at the most.
	MinInterval time.Duration `yaml:"min_interval"`
}

// DefaultCeiling lets the service change what is collected, down to every 5 s.
func DefaultCeiling() Ceiling { return Ceiling{Enabled: true, MinInterval: 5 * time.Second} }

// Validate says which key is wrong and what is allowed.
func (c Ceiling) Validate() error {
	if c.MinInterval < time.Second {
		return sentinel.Errorf(sentinel.Invalid, "min_interval: is %s, want 1s or more", c.MinInterval)
	}
	return nil
}

// Overlay is what a service may say about a host's collecting. Nothing in it can
// make an agent run a program, read a file or ask another host. What it leaves out
// stays as the host has it.
type Overlay struct {
	Interval   time.Duration            `yaml:"interval"`
	Timeout    time.Duration            `yaml:"timeout"`
	Intervals  map[string]time.Duration `yaml:"intervals"`
	Collectors map[string]bool          `yaml:"collectors"`
}

// Validate returns an Invalid error that names a value that no host could take.
func (o Overlay) Validate() error {
	if o.Interval != 0 {
		if err := validateInterval("interval", o.Interval); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(o.Intervals) {
		if err := validateInterval("intervals."+name, o.Intervals[name]); err != nil {
			return err
		}
	}
	if o.Timeout < 0 {
		return sentinel.Errorf(sentinel.Invalid, "timeout: is %s, want 10ms or more", o.Timeout)
	}
	return o.Over(DefaultConfig(), Ceiling{Enabled: true, MinInterval: time.Second}).Validate()
}

// Over returns the host's configuration with the overlay over it, within the
// ceiling: a shorter interval than the host allows becomes the shortest that it
// allows, and a collector that the host has switched off stays off.
func (o Overlay) Over(host Config, limit Ceiling) Config {
	out := host
	if o.Interval != 0 {
		out.Interval = max(o.Interval, min(limit.MinInterval, host.Interval))
	}
	if o.Timeout != 0 {
		out.Timeout = o.Timeout
	}
	out.Intervals = maps.Clone(host.Intervals)
	for name, every := range o.Intervals {
		if out.Intervals == nil {
			out.Intervals = map[string]time.Duration{}
		}
		own := host.Interval
		if said := host.Intervals[name]; said != 0 {
			own = said
		}
		out.Intervals[name] = max(every, min(limit.MinInterval, own))
	}
	out.Timeout = min(out.Timeout, out.Interval)
	for _, every := range out.Intervals {
		out.Timeout = min(out.Timeout, every)
	}
	out.Collectors = maps.Clone(host.Collectors)
	for name, on := range o.Collectors {
		if out.Collectors == nil {
			out.Collectors = map[string]bool{}
		}
		if said, known := host.Collectors[name]; !on || !known || said {
			out.Collectors[name] = on
		}
	}
	return out
}
