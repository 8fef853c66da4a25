package plugin

import (
	"maps"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Config says which plugins a host runs and what it lets them do.
type Config struct {
	// Enabled is false where no plugin runs, whatever lies in the folder or comes from
	// the service.
	Enabled bool `yaml:"enabled"`
	// Directory is where bundles are, files named *.plugin; empty is the folder plugins
	// in the agent's state folder.
	Directory string `yaml:"directory"`
	// TrustedKeys are the keys of which one must have signed a bundle.
	TrustedKeys []string `yaml:"trusted_keys"`
	// AllowUnsigned runs bundles whoever signed them, or nobody: for development.
	AllowUnsigned bool `yaml:"allow_unsigned"`
	// Remote lets the service deliver bundles, which must be signed as all others.
	Remote bool `yaml:"remote"`
	// Max is how many plugins run.
	Max int `yaml:"max"`
	// Allow is what plugins may have at the most.
	Allow Ceiling `yaml:"allow"`
	// Settings are those of plugins, by their names.
	Settings map[string]map[string]string `yaml:"settings"`
}

const maxPlugins = 100

// DefaultConfig runs what is signed with a trusted key, of which there are none, and
// lets it do nothing but say samples.
func DefaultConfig() Config {
	return Config{
		Enabled: true, TrustedKeys: []string{}, Remote: true, Max: 20,
		Allow: Ceiling{
			Capabilities: Capabilities{HTTP: []string{}, TCP: []string{}, PrivateNetworks: []string{}, Files: []string{}},
			MemoryMiB:    64, MaxSeries: 2000, MinInterval: 5 * time.Second, MaxTimeout: 10 * time.Second,
		},
		Settings: map[string]map[string]string{},
	}
}

// Validate says which key is wrong and what is allowed.
func (c Config) Validate() error {
	for i, text := range c.TrustedKeys {
		if _, err := ParsePublicKey(text); err != nil {
			return sentinel.Errorf(sentinel.Invalid, "trusted_keys[%d]: %w", i, err)
		}
	}
	if c.Max < 1 || c.Max > maxPlugins {
		return sentinel.Errorf(sentinel.Invalid, "max: is %d, want 1 to %d", c.Max, maxPlugins)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		if !validName(name) {
			return sentinel.Errorf(sentinel.Invalid, "settings.%.60s: is no name of a plugin", name)
		}
	}
	return nil
}

// Validate says which key is wrong and what is allowed.
func (c Ceiling) Validate() error {
	switch {
	case c.MemoryMiB < 1 || c.MemoryMiB > mostMemoryMiB:
		return sentinel.Errorf(sentinel.Invalid, "memory_mib: is %d, want 1 to %d", c.MemoryMiB, mostMemoryMiB)
	case c.MaxSeries < 1 || c.MaxSeries > mostSeries:
		return sentinel.Errorf(sentinel.Invalid, "max_series: is %d, want 1 to %d", c.MaxSeries, mostSeries)
	case c.MinInterval < time.Second:
		return sentinel.Errorf(sentinel.Invalid, "min_interval: is %s, want 1s or more", c.MinInterval)
	case c.MaxTimeout < shortestPeriod:
		return sentinel.Errorf(sentinel.Invalid, "max_timeout: is %s, want %s or more", c.MaxTimeout, shortestPeriod)
	}
	for _, l := range c.lists() {
		for i, e := range l.entries {
			if e == wildcard && (l.key == "http" || l.key == "tcp") {
				continue
			}
			if err := l.check(e); err != nil {
				return sentinel.Errorf(sentinel.Invalid, "%s[%d]: %w", l.key, i, err)
			}
		}
	}
	return nil
}
