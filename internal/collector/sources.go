package collector

import (
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Sources are what others than the collectors say: targets that are scraped, files,
// and commands. Each one is a group of its own: a layout of its own, collected beside
// all others, so that one that hangs costs only itself. They name addresses, files
// and programs of this host, so they are for whoever may write the agent's own file:
// a configuration from elsewhere has no business here.
type Sources struct {
	// Scrape lists the targets that are asked over HTTP.
	Scrape []ScrapeConfig `yaml:"scrape"`
	// Textfile reads files that others leave in a folder.
	Textfile TextfileConfig `yaml:"textfile"`
	// Exec lists the commands that are run.
	Exec []ExecConfig `yaml:"exec"`
}

// ScrapeConfig is one target.
type ScrapeConfig struct {
	// Name is the label job of its samples.
	Name string `yaml:"name"`
	// URL is asked: http or https. Its host and port are the label instance.
	URL string `yaml:"url"`
	// Interval and Timeout of 0 are the collectors' interval, and 5 s or the interval
	// where that is less.
	Interval time.Duration `yaml:"interval"`
	Timeout  time.Duration `yaml:"timeout"`
	// Labels are set on each sample. The target cannot override them.
	Labels map[string]string `yaml:"labels"`
	// Include and Exclude select by metric name, as in Filter.
	Include string `yaml:"include"`
	Exclude string `yaml:"exclude"`
	// MaxSeries is how many are taken; 0 is 2000. The rest is counted.
	MaxSeries int `yaml:"max_series"`
	// MaxBytes bounds an answer, unpacked; 0 is 8 MiB. A larger one is a failure.
	MaxBytes int64 `yaml:"max_bytes"`
	// BearerTokenFile is read at each scrape, and sent.
	BearerTokenFile string `yaml:"bearer_token_file"`
	// CAFile holds the authorities that may vouch for the target, in PEM; empty is the
	// system's.
	CAFile string `yaml:"ca_file"`
}

// TextfileConfig is the folder of files.
type TextfileConfig struct {
	// Directory is where files named *.prom are; empty is nowhere.
	Directory string `yaml:"directory"`
}

// ExecConfig is one command.
type ExecConfig struct {
	// Name is the label job of its samples.
	Name string `yaml:"name"`
	// Command is the path of a program and its arguments. There is no shell.
	Command []string `yaml:"command"`
	// Interval and Timeout of 0 are as in ScrapeConfig. At the timeout the command is
	// killed, and what it started with it.
	Interval time.Duration `yaml:"interval"`
	Timeout  time.Duration `yaml:"timeout"`
	// MaxOutput bounds what it writes to stdout, in bytes; 0 is 1 MiB. More is a failure.
	MaxOutput int64 `yaml:"max_output"`
}

// ScrapeGroup is what the names of scraped targets' groups begin with; the target's
// name follows.
const ScrapeGroup = "scrape/"

const (
	maxSources       = 50 // of each kind
	defaultSeries    = 2_000
	mostSeries       = 9_000 // leaves room for what has vanished
	defaultBody      = 8 << 20
	defaultOutput    = 1 << 20
	mostBytes        = 64 << 20
	defaultTimeout   = 5 * time.Second
	textfileJob      = "textfile"
	maxSourceName    = 64
	maxCommandWords  = 256
	maxSourceLabels  = 16
	shortestPatience = 10 * time.Millisecond
)

// Files returns the files that are read once, when New builds the Set: where one of
// them has changed, another Set sees it.
func (s Sources) Files() []string {
	var list []string
	for _, t := range s.Scrape {
		if t.CAFile != "" {
			list = append(list, t.CAFile)
		}
	}
	return list
}

// filled returns the sources with values where 0 stands for one.
func (s Sources) filled(interval time.Duration) Sources {
	s.Scrape, s.Exec = slices.Clone(s.Scrape), slices.Clone(s.Exec)
	for i := range s.Scrape {
		t := &s.Scrape[i]
		fillTimes(&t.Interval, &t.Timeout, interval)
		if t.MaxSeries == 0 {
			t.MaxSeries = defaultSeries
		}
		if t.MaxBytes == 0 {
			t.MaxBytes = defaultBody
		}
	}
	for i := range s.Exec {
		e := &s.Exec[i]
		fillTimes(&e.Interval, &e.Timeout, interval)
		if e.MaxOutput == 0 {
			e.MaxOutput = defaultOutput
		}
	}
	return s
}

func fillTimes(interval, timeout *time.Duration, general time.Duration) {
	if *interval == 0 {
		*interval = general
	}
	if *timeout == 0 {
		*timeout = min(defaultTimeout, *interval)
	}
}

// validateSources returns an Invalid error that names the first key that does not hold.
func (s Sources) validateSources(interval time.Duration) error {
	if n := max(len(s.Scrape), len(s.Exec)); n > maxSources {
		return sentinel.Errorf(sentinel.Invalid, "scrape, exec: %d, want at most %d of each", n, maxSources)
	}
	names := map[string]bool{textfileJob: true}
	s = s.filled(interval)
	for i, t := range s.Scrape {
		if err := t.validate(names); err != nil {
			return sentinel.Errorf(sentinel.Invalid, "scrape[%d].%w", i, err)
		}
	}
	if dir := s.Textfile.Directory; dir != "" && !filepath.IsAbs(dir) {
		return sentinel.Errorf(sentinel.Invalid, "textfile.directory: is %.80q, want a full path", dir)
	}
	for i, e := range s.Exec {
		if err := e.validate(names); err != nil {
			return sentinel.Errorf(sentinel.Invalid, "exec[%d].%w", i, err)
		}
	}
	return nil
}

func (t ScrapeConfig) validate(names map[string]bool) error {
	if err := validateSource(t.Name, names, t.Interval, t.Timeout); err != nil {
		return err
	}
	if _, err := t.target(); err != nil {
		return err
	}
	if t.MaxSeries < 1 || t.MaxSeries > mostSeries {
		return sentinel.Errorf(sentinel.Invalid, "max_series: is %d, want 1 to %d", t.MaxSeries, mostSeries)
	}
	if t.MaxBytes < 1 || t.MaxBytes > mostBytes {
		return sentinel.Errorf(sentinel.Invalid, "max_bytes: is %d, want 1 to %d", t.MaxBytes, mostBytes)
	}
	if _, err := regexp.Compile(t.Include); err != nil {
		return sentinel.Errorf(sentinel.Invalid, "include: %w", err)
	}
	if _, err := regexp.Compile(t.Exclude); err != nil {
		return sentinel.Errorf(sentinel.Invalid, "exclude: %w", err)
	}
	if len(t.Labels) > maxSourceLabels {
		return sentinel.Errorf(sentinel.Invalid, "labels: are %d, want at most %d", len(t.Labels), maxSourceLabels)
	}
	for _, name := range sortedKeys(t.Labels) {
		if name == "job" || name == "instance" {
			return sentinel.Errorf(sentinel.Invalid, "labels.%s: is reserved: it is made of name and url", name)
		}
		one := sentinel.NewSeries("x", sentinel.Gauge, "", name, t.Labels[name])
		if err := sentinel.DefaultLimits().CheckLayout(sentinel.Layout{one}); err != nil || t.Labels[name] == "" {
			return sentinel.Errorf(sentinel.Invalid, "labels.%.80s: want a label's name, other than agent, and a text of at most 1024 bytes", name)
		}
	}
	return nil
}

// target returns the URL, whose host has a port.
func (t ScrapeConfig) target() (*url.URL, error) {
	u, err := url.Parse(t.URL)
	port := ""
	if err == nil {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	// What is wrong with it is not repeated: it may hold a password.
	if err != nil || port == "" || u.Hostname() == "" || u.Opaque != "" {
		return nil, sentinel.Errorf(sentinel.Invalid, "url: want one such as http://127.0.0.1:9090/metrics")
	}
	if u.User != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "url: holds a user or password; want a bearer_token_file")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	u.Fragment = ""
	return u, nil
}

func (e ExecConfig) validate(names map[string]bool) error {
	if err := validateSource(e.Name, names, e.Interval, e.Timeout); err != nil {
		return err
	}
	if len(e.Command) == 0 || len(e.Command) > maxCommandWords || !filepath.IsAbs(e.Command[0]) {
		return sentinel.Errorf(sentinel.Invalid, "command: want a list: the full path of a program, and its arguments")
	}
	if slices.ContainsFunc(e.Command, func(w string) bool { return strings.IndexByte(w, 0) >= 0 }) {
		return sentinel.Errorf(sentinel.Invalid, "command: holds a NUL")
	}
	if e.MaxOutput < 1 || e.MaxOutput > mostBytes {
		return sentinel.Errorf(sentinel.Invalid, "max_output: is %d, want 1 to %d", e.MaxOutput, mostBytes)
	}
	return nil
}

// validateSource checks what all have, and takes the name.
func validateSource(name string, names map[string]bool, interval, timeout time.Duration) error {
	if name == "" || len(name) > maxSourceName || strings.ContainsFunc(name, func(r rune) bool {
		return r > '~' || r <= ' ' || r == '"' || r == '\\' || r == '/'
	}) {
		return sentinel.Errorf(sentinel.Invalid, "name: is %.80q, want 1 to %d letters, digits and signs", name, maxSourceName)
	}
	if names[name] {
		return sentinel.Errorf(sentinel.Invalid, "name: %q is taken: scrape and exec share their names, and %q is reserved", name, textfileJob)
	}
	names[name] = true
	if err := validateInterval("interval", interval); err != nil {
		return err
	}
	if timeout < shortestPatience || timeout > interval {
		return sentinel.Errorf(sentinel.Invalid, "timeout: is %s, want %s up to the interval, %s", timeout, shortestPatience, interval)
	}
	return nil
}
