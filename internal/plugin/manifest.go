package plugin

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// ABI is the version of the interface between a plugin and its host.
const ABI = 1

// Manifest is what a plugin says of itself, the file manifest.yml of its bundle.
type Manifest struct {
	// Name is the label plugin of its samples: a letter, then letters, digits and '-',
	// in lower case, at most 32.
	Name string `yaml:"name"`
	// Version is three numbers, such as 1.4.0. An agent never goes back to a lower one.
	Version     string `yaml:"version"`
	Description string `yaml:"description"`
	// ABI is the version of the interface that it was built for.
	ABI int `yaml:"abi"`
	// Interval is the time between two collections, Timeout how long one may take.
	Interval time.Duration `yaml:"interval"`
	Timeout  time.Duration `yaml:"timeout"`
	// MemoryMiB bounds its memory.
	MemoryMiB int `yaml:"memory_mib"`
	// MaxSeries bounds the series of one collection.
	MaxSeries int `yaml:"max_series"`
	// Capabilities are what it wants beyond saying samples.
	Capabilities Capabilities `yaml:"capabilities"`
	// Config are the settings that it knows.
	Config map[string]Setting `yaml:"config"`
}

// Setting is one setting of a plugin. Values are texts.
type Setting struct {
	Description string `yaml:"description"`
	Default     string `yaml:"default"`
	// Required settings have no default: without a value the plugin is not loaded.
	Required bool `yaml:"required"`
}

const (
	maxManifest    = 64 << 10 // bytes
	maxName        = 32
	maxText        = 1024 // bytes of a description or a value
	maxSettings    = 64
	maxInterval    = 24 * time.Hour
	mostMemoryMiB  = 1024
	mostSeries     = 9_000 // leaves room for what has vanished
	shortestPeriod = 10 * time.Millisecond
)

func defaultManifest() Manifest {
	return Manifest{Interval: 15 * time.Second, Timeout: 2 * time.Second, MemoryMiB: 32, MaxSeries: 1000}
}

// ParseManifest reads a manifest. Keys that are left out have their defaults: 15 s,
// 2 s, 32 MiB, 1000 series, no capability. Errors are Invalid and name line and key.
func ParseManifest(raw []byte) (Manifest, error) {
	if len(raw) > maxManifest {
		return Manifest{}, sentinel.Errorf(sentinel.Invalid, "manifest.yml: %d bytes, want at most %d", len(raw), maxManifest)
	}
	m := defaultManifest()
	if err := config.Decode("manifest.yml", raw, &m); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

func validName(name string) bool {
	return regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`).MatchString(name)
}

// Validate says which key is wrong and what is allowed.
func (m Manifest) Validate() error {
	bad := func(format string, args ...any) error { return sentinel.Errorf(sentinel.Invalid, format, args...) }
	if !validName(m.Name) {
		return bad("name: is %.60q, want a letter, then letters, digits and '-', in lower case, at most %d", m.Name, maxName)
	}
	if _, err := parseVersion(m.Version); err != nil {
		return fmt.Errorf("version: %w", err)
	}
	switch {
	case m.ABI != ABI:
		return bad("abi: is %d, this program speaks %d", m.ABI, ABI)
	case m.Interval < time.Second || m.Interval > maxInterval || m.Interval%time.Millisecond != 0:
		return bad("interval: is %s, want 1s to %s in whole milliseconds", m.Interval, maxInterval)
	case m.Timeout < shortestPeriod || m.Timeout > m.Interval:
		return bad("timeout: is %s, want %s up to the interval, %s", m.Timeout, shortestPeriod, m.Interval)
	case m.MemoryMiB < 1 || m.MemoryMiB > mostMemoryMiB:
		return bad("memory_mib: is %d, want 1 to %d", m.MemoryMiB, mostMemoryMiB)
	case m.MaxSeries < 1 || m.MaxSeries > mostSeries:
		return bad("max_series: is %d, want 1 to %d", m.MaxSeries, mostSeries)
	case len(m.Description) > maxText || len(m.Config) > maxSettings:
		return bad("config: want at most %d settings and %d bytes for each text", maxSettings, maxText)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Config)) {
		if s := m.Config[key]; !regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`).MatchString(key) || len(s.Default) > maxText || len(s.Description) > maxText {
			return bad("config.%.60s: want a name of small letters, digits and '_', and texts of at most %d bytes", key, maxText)
		} else if s.Required && s.Default != "" {
			return bad("config.%s: is required and has a default: want one of both", key)
		}
	}
	return m.Capabilities.validate("capabilities")
}

// settings returns the values with which the plugin runs: those that are said, and the
// defaults. The error names what is missing or not known.
func (m Manifest) settings(said map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for key, s := range m.Config {
		out[key] = s.Default
		if v, is := said[key]; is {
			out[key] = v
		} else if s.Required {
			return nil, sentinel.Errorf(sentinel.Invalid, "the setting %q is missing: %s", key, s.Description)
		}
	}
	for key := range said {
		if _, known := m.Config[key]; !known {
			return nil, sentinel.Errorf(sentinel.Invalid, "the plugin has no setting %.60q; there are %q", key, slices.Sorted(maps.Keys(m.Config)))
		}
	}
	return out, nil
}

// version is three numbers that compare as such.
type version [3]uint32

func parseVersion(s string) (v version, err error) {
	parts := strings.Split(s, ".")
	for i := range v {
		if len(parts) != len(v) {
			break
		}
		n, perr := strconv.ParseUint(parts[i], 10, 32)
		if perr != nil || strconv.FormatUint(n, 10) != parts[i] { // one spelling each
			parts = nil
		}
		v[i] = uint32(n)
	}
	if len(parts) != len(v) {
		return v, sentinel.Errorf(sentinel.Invalid, "is %.40q, want three numbers such as 1.0.0", s)
	}
	return v, nil
}

func (v version) compare(w version) int { return slices.Compare(v[:], w[:]) }
