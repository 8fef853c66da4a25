package plugin

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/guard"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Capabilities are what a plugin may do beyond saying samples. What is not named it
// cannot do: the function is not there.
type Capabilities struct {
	// HTTP are the hosts that http_get may ask: a host or host:port. In a manifest,
	// "*" is whatever the agent's host allows.
	HTTP []string `yaml:"http"`
	// TCP are those that tcp_request may ask, host:port.
	TCP []string `yaml:"tcp"`
	// PrivateNetworks may be reached besides public addresses, such as 127.0.0.0/8.
	PrivateNetworks []string `yaml:"private_networks"`
	// Files are full paths of files, and of folders with all that is below, which
	// read_file may read.
	Files []string `yaml:"files"`
}

const (
	wildcard    = "*"
	maxEntries  = 100
	maxEntryLen = 512
)

// list is one of the capabilities.
type list struct {
	key      string
	entries  []string
	check    func(entry string) error
	contains func(granted, wanted string) bool
}

func (c Capabilities) lists() []list {
	return []list{
		{"http", c.HTTP, func(e string) error { _, _, err := splitHost(e); return err }, hostContains},
		{"tcp", c.TCP, checkTCP, hostContains},
		{"private_networks", c.PrivateNetworks, func(e string) error { _, err := guard.New([]string{e}); return err }, networkContains},
		{"files", c.Files, checkPath, pathContains},
	}
}

// validate returns an Invalid error that names the first entry that does not hold.
func (c Capabilities) validate(key string) error {
	for _, l := range c.lists() {
		if len(l.entries) > maxEntries {
			return sentinel.Errorf(sentinel.Invalid, "%s.%s: %d entries, want at most %d", key, l.key, len(l.entries), maxEntries)
		}
		for i, e := range l.entries {
			if e == wildcard {
				continue
			}
			if len(e) > maxEntryLen {
				return sentinel.Errorf(sentinel.Invalid, "%s.%s[%d]: is longer than %d bytes", key, l.key, i, maxEntryLen)
			}
			if err := l.check(e); err != nil {
				return sentinel.Errorf(sentinel.Invalid, "%s.%s[%d]: %w", key, l.key, i, err)
			}
		}
	}
	return nil
}

// Grant returns the capabilities that a plugin gets of those that it wants: all of
// them, or a Forbidden error that names the first one that the host does not allow.
// "*" becomes what the host allows, which must be something.
func (c Capabilities) Grant(allowed Capabilities) (Capabilities, error) {
	have, out := allowed.lists(), make([][]string, 0, 4)
	for i, l := range c.lists() {
		var granted []string
		for _, want := range l.entries {
			if want == wildcard {
				if len(have[i].entries) == 0 {
					return Capabilities{}, missing(l.key, "anything at all")
				}
				granted = append(granted, have[i].entries...)
				continue
			}
			ok := false
			for _, h := range have[i].entries {
				ok = ok || h == wildcard || l.contains(h, want)
			}
			if !ok {
				return Capabilities{}, missing(l.key, strconv.Quote(want))
			}
			granted = append(granted, want)
		}
		out = append(out, granted)
	}
	return Capabilities{HTTP: out[0], TCP: out[1], PrivateNetworks: out[2], Files: out[3]}, nil
}

func missing(key, what string) error {
	return sentinel.Errorf(sentinel.Forbidden, "the plugin wants the capability %s for %s, which this host does not allow: agent.plugins.allow.%s can", key, what, key)
}

// AllowsHost reports whether entries hold a host and its port.
func AllowsHost(entries []string, host, port string) bool {
	for _, e := range entries {
		h, p, err := splitHost(e)
		if e == wildcard || err == nil && strings.EqualFold(h, host) && (p == "" || p == port) {
			return true
		}
	}
	return false
}

// splitHost returns the parts of host or host:port; the port may be empty.
func splitHost(e string) (host, port string, err error) {
	bad := sentinel.Errorf(sentinel.Invalid, "is %.80q, want a host such as example.org, with a port or without", e)
	host = e
	if a, aerr := netip.ParseAddr(strings.Trim(e, "[]")); aerr == nil && a.Zone() == "" {
		return a.String(), "", nil
	}
	if i := strings.LastIndexByte(e, ':'); i >= 0 {
		host, port = strings.Trim(e[:i], "[]"), e[i+1:]
		if n, perr := strconv.ParseUint(port, 10, 16); perr != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return "", "", bad
		}
	}
	if host == "" || strings.ContainsFunc(host, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:", r)
	}) {
		return "", "", bad
	}
	return host, port, nil
}

func checkTCP(e string) error {
	if _, port, err := splitHost(e); err != nil {
		return err
	} else if port == "" {
		return sentinel.Errorf(sentinel.Invalid, "is %.80q, want host:port", e)
	}
	return nil
}

func hostContains(granted, wanted string) bool {
	host, port, err := splitHost(wanted)
	return err == nil && port != "" && AllowsHost([]string{granted}, host, port) || strings.EqualFold(granted, wanted)
}

func networkContains(granted, wanted string) bool {
	g, gerr := prefix(granted)
	w, werr := prefix(wanted)
	return gerr == nil && werr == nil && g.Bits() <= w.Bits() && g.Contains(w.Addr())
}

func prefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// checkPath takes a full path as Unix writes it or as Windows does, wherever it runs:
// a bundle for Windows may be packed, checked and assigned elsewhere. On a host of the
// other kind there is no such file.
func checkPath(e string) error {
	volume, sep := pathForm(e)
	rest, ok := strings.CutPrefix(e[len(volume):], sep)
	ok = ok && strings.IndexByte(e, 0) < 0 && (volume == "" || !strings.ContainsAny(rest, "/:"))
	if rest != "" {
		for _, part := range strings.Split(rest, sep) {
			ok = ok && part != "" && part != "." && part != ".."
		}
	}
	if !ok {
		return sentinel.Errorf(sentinel.Invalid, "is %.80q, want a full path without . and .., such as /etc/hostname or C:\\data", e)
	}
	return nil
}

// pathForm returns the drive of a path, such as C:, and what stands between the names.
func pathForm(p string) (volume, sep string) {
	if len(p) > 1 && p[1] == ':' && (p[0]|0x20) >= 'a' && (p[0]|0x20) <= 'z' {
		return p[:2], `\`
	}
	return "", "/"
}

func pathContains(granted, wanted string) bool {
	_, sep := pathForm(granted)
	return granted == wanted || strings.HasPrefix(wanted, strings.TrimSuffix(granted, sep)+sep)
}

// Ceiling is what a host lets any plugin have at the most. Only the host's own
// configuration sets it.
type Ceiling struct {
	Capabilities `yaml:",inline"`
	// MemoryMiB bounds the memory of one plugin.
	MemoryMiB int `yaml:"memory_mib"`
	// MaxSeries bounds the series of one.
	MaxSeries int `yaml:"max_series"`
	// MinInterval is how often one may run.
	MinInterval time.Duration `yaml:"min_interval"`
	// MaxTimeout is how long one may take.
	MaxTimeout time.Duration `yaml:"max_timeout"`
}

// grant returns what the plugin runs with, or a Forbidden error that names what the
// host does not allow.
func (c Ceiling) grant(m Manifest) (Capabilities, error) {
	for _, over := range []struct {
		key         string
		is          bool
		want, limit any
	}{
		{"memory_mib", m.MemoryMiB > c.MemoryMiB, m.MemoryMiB, c.MemoryMiB},
		{"max_series", m.MaxSeries > c.MaxSeries, m.MaxSeries, c.MaxSeries},
		{"min_interval", m.Interval < c.MinInterval, m.Interval, c.MinInterval},
		{"max_timeout", m.Timeout > c.MaxTimeout, m.Timeout, c.MaxTimeout},
	} {
		if over.is {
			return Capabilities{}, sentinel.Errorf(sentinel.Forbidden, "the plugin wants %v where this host allows %v: agent.plugins.allow.%s can", over.want, over.limit, over.key)
		}
	}
	return m.Capabilities.Grant(c.Capabilities)
}
