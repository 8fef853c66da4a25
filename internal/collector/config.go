package collector

import (
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Config says what is collected and how often.
type Config struct {
	// Interval is the time between two cycles, 1 s or more.
	Interval time.Duration `yaml:"interval"`
	// Intervals are those of single collectors, by name, where they are others. Each
	// is 1 s or more; collectors with the same one share a layout.
	Intervals map[string]time.Duration `yaml:"intervals"`
	// Timeout is how long one collector may take before its samples are given up.
	Timeout time.Duration `yaml:"timeout"`
	// Collectors switches collectors by name; one that is not named is on, but for
	// tcpstat, which costs too much to be.
	Collectors map[string]bool `yaml:"collectors"`
	// Root is where the host's root folder is mounted, for an agent in a container: what
	// is watched is looked for below it. Empty is the agent's own. Linux alone.
	Root string `yaml:"root"`
	// Filesystem selects by mount point, and by type in addition.
	Filesystem FilesystemConfig `yaml:"filesystem"`
	// Disk selects block devices by name.
	Disk Filter `yaml:"disk"`
	// Network selects interfaces by name.
	Network Filter `yaml:"network"`
	// Hwmon selects chips by name.
	Hwmon Filter `yaml:"hwmon"`
	// Thermal selects zones and cooling devices by type.
	Thermal Filter `yaml:"thermal"`
	// Processes says which programs are named.
	Processes ProcessesConfig `yaml:"processes"`
	// Containers selects containers by their label.
	Containers ContainersConfig `yaml:"containers"`
	// Systemd selects units by name. Where Include is empty only those that failed
	// are named.
	Systemd Filter `yaml:"systemd"`
	// Services selects Windows' services by name. Where Include is empty there are
	// none.
	Services Filter `yaml:"services"`

	Sources `yaml:",inline"`
}

// maxInterval keeps an agent from being silent for longer than anyone waits.
const maxInterval = 24 * time.Hour

// Filter selects names by regular expressions (RE2, not anchored). A name is taken
// where Include is empty or matches it, and Exclude is empty or does not.
type Filter struct {
	Include string `yaml:"include"`
	Exclude string `yaml:"exclude"`
}

// FilesystemConfig selects file systems. A mounted one is watched where both
// filters take it.
type FilesystemConfig struct {
	MountPoints Filter `yaml:"mount_points"`
	Types       Filter `yaml:"types"`
}

// ProcessesConfig selects programs, which are processes of one name.
type ProcessesConfig struct {
	// Top is how many are named for their CPU time, and how many for their memory;
	// 0 is none.
	Top     int    `yaml:"top"`
	Include string `yaml:"include"`
	Exclude string `yaml:"exclude"`
}

// ContainersConfig selects containers.
type ContainersConfig struct {
	// Max is how many are named; the rest are counted.
	Max     int    `yaml:"max"`
	Include string `yaml:"include"`
	Exclude string `yaml:"exclude"`
}

const (
	maxTop        = 50
	maxContainers = 500
)

// off are the collectors that run only where they are switched on.
func off(name string) bool { return name == "tcpstat" }

// DefaultConfig returns what holds without a configuration: every collector of
// this system, every 10 s, with node_exporter's exclusions and, beyond those,
// without the interfaces that container engines make and drop all day.
func DefaultConfig() Config {
	cfg := Config{
		Interval:   10 * time.Second,
		Intervals:  make(map[string]time.Duration),
		Timeout:    2 * time.Second,
		Collectors: make(map[string]bool),
		Filesystem: FilesystemConfig{
			MountPoints: Filter{Exclude: `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`},
			Types:       Filter{Exclude: `^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$`},
		},
		Disk:       Filter{Exclude: `^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`},
		Network:    Filter{Exclude: `^veth`},
		Processes:  ProcessesConfig{Top: 5},
		Containers: ContainersConfig{Max: 100},
	}
	for _, name := range Names() {
		cfg.Collectors[name] = !off(name)
	}
	return cfg
}

// Validate returns an Invalid error that names the first key that does not hold.
// A collector that only Linux has may be named on every system, so that one
// configuration serves a mixed fleet.
func (c Config) Validate() error {
	if c.Root != "" && (!strings.HasPrefix(c.Root, "/") || runtime.GOOS != "linux") {
		return sentinel.Errorf(sentinel.Invalid, "root: is %q, want an absolute path, on Linux, or nothing", c.Root)
	}
	if err := c.validateTimes(); err != nil {
		return err
	}
	if err := known("collectors", c.Collectors); err != nil {
		return err
	}
	if err := known("intervals", c.Intervals); err != nil {
		return err
	}
	if err := c.validateSources(c.Interval); err != nil {
		return err
	}
	if top := c.Processes.Top; top < 0 || top > maxTop {
		return sentinel.Errorf(sentinel.Invalid, "processes.top: is %d, want 0 to %d", top, maxTop)
	}
	if most := c.Containers.Max; most < 0 || most > maxContainers {
		return sentinel.Errorf(sentinel.Invalid, "containers.max: is %d, want 0 to %d", most, maxContainers)
	}
	for _, f := range []struct {
		key string
		Filter
	}{
		{"filesystem.mount_points", c.Filesystem.MountPoints},
		{"filesystem.types", c.Filesystem.Types},
		{"disk", c.Disk},
		{"network", c.Network},
		{"hwmon", c.Hwmon},
		{"thermal", c.Thermal},
		{"processes", Filter{c.Processes.Include, c.Processes.Exclude}},
		{"containers", Filter{c.Containers.Include, c.Containers.Exclude}},
		{"systemd", c.Systemd},
		{"services", c.Services},
	} {
		if _, err := regexp.Compile(f.Include); err != nil {
			return sentinel.Errorf(sentinel.Invalid, "%s.include: %w", f.key, err)
		}
		if _, err := regexp.Compile(f.Exclude); err != nil {
			return sentinel.Errorf(sentinel.Invalid, "%s.exclude: %w", f.key, err)
		}
	}
	return nil
}

func (c Config) validateTimes() error {
	if err := validateInterval("interval", c.Interval); err != nil {
		return err
	}
	shortest := c.Interval
	for _, name := range sortedKeys(c.Intervals) {
		if err := validateInterval("intervals."+name, c.Intervals[name]); err != nil {
			return err
		}
		shortest = min(shortest, c.Intervals[name])
	}
	if c.Timeout < 10*time.Millisecond || c.Timeout > shortest {
		return sentinel.Errorf(sentinel.Invalid, "timeout: is %s, want 10ms up to the shortest interval, %s", c.Timeout, shortest)
	}
	return nil
}

func validateInterval(key string, d time.Duration) error {
	switch {
	case d < time.Second:
		return sentinel.Errorf(sentinel.Invalid, "%s: is %s, want 1s or more", key, d)
	case d > maxInterval:
		return sentinel.Errorf(sentinel.Invalid, "%s: is %s, want %s or less", key, d, maxInterval)
	case d%time.Millisecond != 0:
		return sentinel.Errorf(sentinel.Invalid, "%s: is %s, want whole milliseconds", key, d)
	}
	return nil
}

// runs says whether a collector is switched on.
func (c Config) runs(name string) bool {
	if on, said := c.Collectors[name]; said {
		return on
	}
	return !off(name)
}

// intervalOf returns the interval of one collector.
func (c Config) intervalOf(name string) time.Duration {
	if d, own := c.Intervals[name]; own {
		return d
	}
	return c.Interval
}

// known returns an Invalid error where a key is no collector's name. Linux has all of
// them but for Windows' services, and is where a misspelt one is noticed.
func known[V any](key string, m map[string]V) error {
	names := Names()
	for _, name := range sortedKeys(m) {
		if runtime.GOOS == "linux" && name != "services" && !slices.Contains(names, name) {
			return sentinel.Errorf(sentinel.Invalid, "%s.%s: is not known; there are %q", key, name, names)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// filter is a compiled Filter.
type filter struct{ include, exclude *regexp.Regexp }

func (f Filter) compile() (out filter, err error) {
	if f.Include != "" {
		if out.include, err = regexp.Compile(f.Include); err != nil {
			return filter{}, err
		}
	}
	if f.Exclude != "" {
		if out.exclude, err = regexp.Compile(f.Exclude); err != nil {
			return filter{}, err
		}
	}
	return out, nil
}

func (f filter) takes(name string) bool {
	return (f.include == nil || f.include.MatchString(name)) && (f.exclude == nil || !f.exclude.MatchString(name))
}
