package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

type sample struct {
	Agent struct {
		Interval time.Duration            `yaml:"interval"`
		Name     string                   `yaml:"name"`
		Limit    limit                    `yaml:"limit"`
		Tags     []string                 `yaml:"tags"`
		On       map[string]bool          `yaml:"on"`
		Each     map[string]time.Duration `yaml:"each"`
	} `yaml:"agent"`
}

type limit struct {
	MaxBytes int64   `yaml:"max_bytes"`
	Ratio    float64 `yaml:"ratio"`
	Strict   bool    `yaml:"strict"`
}

func (l limit) Validate() error {
	if l.MaxBytes < 0 {
		return sentinel.Errorf(sentinel.Invalid, "max_bytes: %d is negative", l.MaxBytes)
	}
	return nil
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadKeepsDefaultsAndLetsTheEnvironmentWin(t *testing.T) {
	var s sample
	s.Agent.Name, s.Agent.Interval = "default", time.Minute
	path := write(t, "agent:\n  interval: 5s\n  limit:\n    max_bytes: 7\nserver:\n  anything: goes\n")
	env := []string{"SENTINEL_AGENT_LIMIT_MAX_BYTES=9", "SENTINEL_AGENT_TAGS=[a, b]", "SENTINEL_AGENT_ON={cpu: false}", "SENTINEL_AGENT_NAME=00", "OTHER=1"}
	if err := config.Load(path, env, &s); err != nil {
		t.Fatal(err)
	}
	a := s.Agent
	if a.Interval != 5*time.Second || a.Name != "00" || a.Limit.MaxBytes != 9 || len(a.Tags) != 2 || a.On["cpu"] || len(a.On) != 1 {
		t.Fatalf("got %+v", a)
	}
}

func TestDurationsMayBeDays(t *testing.T) {
	var s sample
	path := write(t, "agent:\n  interval: &long 30d\n  each: {cpu: 1d12h, load: *long}\n")
	if err := config.Load(path, []string{"SENTINEL_AGENT_NAME=x"}, &s); err != nil {
		t.Fatal(err)
	}
	const month = 720 * time.Hour
	if a := s.Agent; a.Interval != month || a.Each["cpu"] != 36*time.Hour || a.Each["load"] != month || len(a.Each) != 2 {
		t.Fatalf("got %+v", a)
	}
	var dumped strings.Builder
	if err := config.Dump(&dumped, s); err != nil || !strings.Contains(dumped.String(), "interval: 30d\n") {
		t.Errorf("written as %s, %v", dumped.String(), err)
	}
	if err := config.Load(path, []string{"SENTINEL_AGENT_EACH={cpu: 1w}", "SENTINEL_AGENT_INTERVAL=2d"}, &s); err != nil || s.Agent.Each["cpu"] != 168*time.Hour || s.Agent.Interval != 48*time.Hour {
		t.Errorf("got %+v, %v from the environment", s.Agent, err)
	}
}

func TestLoadNamesFileLineAndKey(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "agent:\n  intervall: 5s\n", `:2: agent.intervall: unknown key; did you mean "interval"?`},
		{"far from any key", "agent:\n  zzzzzzzz: 5s\n", "known here: interval, name, limit, tags, on"},
		{"unknown section", "agnet:\n", `:1: agnet: unknown key; did you mean "agent"?`},
		{"bad duration", "agent:\n  interval: soon\n", `:2: agent.interval: want a duration such as 10s, 5m or 30d, not "soon"`},
		{"bad duration in a map", "agent:\n  each:\n    cpu: 1s\n    load: 5\n", `:4: agent.each.load: want a duration such as 10s, 5m or 30d, not "5"`},
		{"no map of durations", "agent:\n  each: 5s\n", `:2: agent.each: want a map such as {name: value}`},
		{"bare number for a duration", "agent:\n  interval: 10\n", `:2: agent.interval: want a duration such as 10s, 5m or 30d, not "10"`},
		{"bad number", "agent:\n  limit:\n    max_bytes: many\n", `:3: agent.limit.max_bytes: want a whole number, not "many"`},
		{"bad bool", "agent:\n  limit:\n    strict: perhaps\n", "want true or false"},
		{"scalar for a section", "agent: 5\n", `:1: agent: want keys below it, such as "interval"`},
		{"twice", "agent:\n  name: a\n  name: b\n", ":3: agent.name: stands there twice"},
		{"two documents", "agent:\n---\nagent:\n", "more than one YAML document"},
		{"not YAML", "agent: [\n", "line 1"},
		{"a value out of range", "agent:\n  limit:\n    max_bytes: -1\n", "agent.limit.max_bytes: -1 is negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.text)
			err := config.Load(path, nil, new(sample))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error is %v, want the file and %q", err, tt.want)
			}
		})
	}
}

// TestLoadOfAFileOfItsOwn is about files that are not the shared one.
func TestLoadOfAFileOfItsOwn(t *testing.T) {
	var out struct {
		Server string `yaml:"server"`
		CAFile string `yaml:"ca_file"`
	}
	for _, tt := range []struct{ text, want string }{
		{"server: a\nca_fil: b\n", `:2: ca_fil: unknown key; did you mean "ca_file"?`},
		{"zzzzzzzz: b\n", "known here: server, ca_file"},
		{"worker: {}\n", ":1: worker: unknown key"},
		{"server: {gateway: x}\n", ":1: server: want a text"},
	} {
		if err := config.Load(write(t, tt.text), nil, &out); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error is %v, want %q", tt.text, err, tt.want)
		}
	}
}

type branch struct {
	Name   string            `yaml:"name"`
	Wait   *time.Duration    `yaml:"wait"`
	Below  []branch          `yaml:"below"`
	Named  map[string]branch `yaml:"named"`
	shared `yaml:",inline"`
}

type shared struct {
	Tries int `yaml:"tries"`
}

func (b *branch) SetDefaults() { b.Tries = 3 }

func (b branch) Validate() error {
	if b.Name == "bad" {
		return sentinel.Errorf(sentinel.Invalid, "name: %q is not allowed", b.Name)
	}
	if b.Name == "" {
		return sentinel.Errorf(sentinel.Invalid, "name: is missing")
	}
	return nil
}

func TestParseOfListsAndMaps(t *testing.T) {
	var b branch
	text := "name: a\nwait: 5s\nbelow:\n- name: b\n  tries: 9\n  below:\n  - {name: c}\n  - {name: d}\nnamed:\n  x: {name: e}\n"
	if err := config.Decode("text", []byte(text), &b); err != nil {
		t.Fatal(err)
	}
	if *b.Wait != 5*time.Second || b.Below[0].Tries != 9 || b.Below[0].Below[1].Name != "d" ||
		b.Below[0].Below[0].Tries != 3 || b.Named["x"].Tries != 3 || b.Below[0].Wait != nil {
		t.Errorf("got %+v", b)
	}
	for _, tt := range []struct{ text, want string }{
		{"name: a\nbelow:\n- name: b\n  naem: c\n", `text:4: below[0].naem: unknown key; did you mean "name"?`},
		{"name: a\nbelow:\n- name: b\n- tries: x\n", `text:4: below[1].tries: want a whole number`},
		{"name: a\nbelow:\n- name: b\n  below:\n  - tries: 1\n    name: bad\n", `text:6: below[0].below[0].name: "bad" is not allowed`},
		{"name: a\nbelow:\n- tries: 1\n", `text:3: below[0].name: is missing`},
		{"name: a\nnamed:\n  x:\n    name: bad\n", `text:4: named.x.name: "bad"`},
		{"name: a\nnamed:\n  x: {name: a}\n  x: {name: b}\n", `text:4: named.x: stands there twice`},
		{"name: a\nbelow: {name: b}\n", `text:2: below: want a list, whose items begin with "- name:"`},
		{"name: a\nnamed: [a]\n", `text:2: named: want a map of names to keys`},
		{"name: a\nwait: 5\n", `text:2: wait: want a duration`},
		{"name: a\nbelow: &a [{name: b, below: *a}]\n", `below[0].below: want a list`},
	} {
		if err := config.Decode("text", []byte(tt.text), new(branch)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error is %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestLoadNamesTheEnvironmentVariable(t *testing.T) {
	err := config.Load("", []string{"SENTINEL_AGENT_INTERVAL=soon"}, new(sample))
	if err == nil || !strings.Contains(err.Error(), "SENTINEL_AGENT_INTERVAL (agent.interval): want a duration") {
		t.Error(err)
	}
}

func TestLoadMissingFile(t *testing.T) {
	err := config.Load(filepath.Join(t.TempDir(), "none.yml"), nil, new(sample))
	if sentinel.CodeOf(err) != sentinel.NotFound || !strings.Contains(err.Error(), "config.example.yml") {
		t.Error(err)
	}
}

// TestParseIsStrictInLists is about documents that are no configuration.
func TestParseIsStrictInLists(t *testing.T) {
	var out struct {
		Worker []struct {
			Name  string       `yaml:"name"`
			Limit limit        `yaml:"limit"`
			Lines config.Lines `yaml:"-"`
		} `yaml:"worker"`
	}
	if err := config.Parse("r.yml", []byte("worker:\n- name: a\n- limit: {ratio: 1}\n  name: b\n"), &out); err != nil {
		t.Fatal(err)
	}
	if w := out.Worker; len(w) != 2 || w[1].Name != "b" || w[1].Lines.Of("name") != 4 || w[1].Lines.Of("none") != 3 {
		t.Fatalf("got %+v", w)
	}
	for _, tt := range []struct{ text, want string }{
		{"worker:\n- name: a\n- nam: b\n", `r.yml:3: worker[1].nam: unknown key; did you mean "name"?`},
		{"worker:\n- name: a\n  name: b\n", `r.yml:3: worker[0].name: stands there twice`},
		{"worker: 5\n", `r.yml:1: worker: want a list`},
		{"worker: [5]\n", `r.yml:1: worker[0]: want keys below it`},
		{"server: {}\n", `r.yml:1: server: unknown key`},
	} {
		if err := config.Parse("r.yml", []byte(tt.text), &out); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error is %v, want %q", tt.text, err, tt.want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("agent:\n  interval: 5s\n")
	f.Add("a: &a [*a]")
	f.Add("agent: {<<: {}}")
	f.Fuzz(func(t *testing.T, text string) {
		err := config.Load(write(t, text), nil, new(sample))
		if err != nil && sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("code %v: %v", sentinel.CodeOf(err), err)
		}
	})
}
