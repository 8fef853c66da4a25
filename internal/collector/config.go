package collector

import (
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Config says what is collected and how often.
type Config struct {
	// Interval is the time between two cycles, 1 s or more.
	Interval time.Duration `yaml:"interval"`
	// Timeout is how long one collector may take before its samples are given up.
	Timeout time.Duration `yaml:"timeout"`
	// Collectors switches collectors by name; one that is not named is on.
	Collectors map[string]bool `yaml:"collectors"`
	// Filesystem selects by mount point, and by type in addition.
	Filesystem FilesystemConfig `yaml:"filesystem"`
	// Disk selects block devices by name.
	Disk Filter `yaml:"disk"`
	// Network selects interfaces by name.
	Network Filter `yaml:"network"`
}

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

// DefaultConfig returns what holds without a configuration: every collector of
// this system, every 10 s, with node_exporter's exclusions and, beyond those,
// without the interfaces that container engines make and drop all day.
func DefaultConfig() Config {
	cfg := Config{
		Interval:   10 * time.Second,
		Timeout:    2 * time.Second,
		Collectors: make(map[string]bool),
		Filesystem: FilesystemConfig{
			MountPoints: Filter{Exclude: `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`},
			Types:       Filter{Exclude: `^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$`},
		},
		Disk:    Filter{Exclude: `^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`},
		Network: Filter{Exclude: `^veth`},
	}
	for _, name := range Names() {
		cfg.Collectors[name] = true
	}
	return cfg
}

// Validate returns an Invalid error that names the first key that does not hold.
// A collector that only Linux has may be named on every system, so that one
// configuration serves a mixed fleet.
func (c Config) Validate() error {
	if c.Interval < time.Second {
		return sentinel.Errorf(sentinel.Invalid, "interval: is %s, want 1s or more", c.Interval)
	}
	if c.Interval%time.Millisecond != 0 {
		return sentinel.Errorf(sentinel.Invalid, "interval: is %s, want whole milliseconds", c.Interval)
	}
	if c.Timeout < 10*time.Millisecond || c.Timeout > c.Interval {
		return sentinel.Errorf(sentinel.Invalid, "timeout: is %s, want 10ms up to the interval of %s", c.Timeout, c.Interval)
	}
	if names := Names(); runtime.GOOS == "linux" {
		for _, name := range sortedKeys(c.Collectors) {
			if !slices.Contains(names, name) {
				return sentinel.Errorf(sentinel.Invalid, "collectors.%s: is not known; there are %q", name, names)
			}
		}
	}
	for _, f := range []struct {
		key string
		Filter
	}{
		{"filesystem.mount_points", c.Filesystem.MountPoints},
		{"filesystem.types", c.Filesystem.Types},
		{"disk", c.Disk},
		{"network", c.Network},
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

func sortedKeys(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

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
