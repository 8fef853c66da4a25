package command_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/app/server"
	"github.com/sentinelgo/sentinel/internal/app/worker"
	"github.com/sentinelgo/sentinel/internal/config"
)

// example is the file that operators copy from.
func example(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../config.example.yml")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestExampleHoldsTheDefaults reads the example into empty structs, so that a
// value which the file does not give cannot come from the defaults.
func TestExampleHoldsTheDefaults(t *testing.T) {
	a, s, w := agent.DefaultConfig(), server.DefaultConfig(), worker.DefaultConfig()
	for _, tt := range []struct {
		program   string
		got, want any
	}{
		{"sentinel-agent", new(agent.Config), &a},
		{"sentinel-server", new(server.Config), &s},
		{"sentinel-worker", new(worker.Config), &w},
	} {
		if err := config.Load(example(t), nil, tt.got); err != nil {
			t.Errorf("%s: %v", tt.program, err)
			continue
		}
		if got, ok := tt.got.(*agent.Config); ok && runtime.GOOS != "linux" {
			// The example shows Linux's defaults, and says so.
			got.Agent.StateDir = a.Agent.StateDir
			got.Agent.Collect.Collectors = a.Agent.Collect.Collectors
		}
		compare(t, tt.program, reflect.ValueOf(tt.got).Elem(), reflect.ValueOf(tt.want).Elem(), "")
	}
}

// compare names every key whose value is not the default.
func compare(t *testing.T, program string, got, want reflect.Value, path string) {
	t.Helper()
	for _, f := range keysOf(got.Type(), "") {
		g, w := got.FieldByIndex(f.index).Interface(), want.FieldByIndex(f.index).Interface()
		if !reflect.DeepEqual(g, w) {
			t.Errorf("%s: %s%s is %v in the example, the default is %v", program, path, f.path, g, w)
		}
	}
}

// key is one key of a configuration struct that holds a value.
type key struct {
	path  string // such as agent.wal.max_bytes
	index []int
	owner string // the struct's name, for the message
}

// keysOf lists the keys of a configuration struct, those of its sections included.
func keysOf(t reflect.Type, path string) []key {
	var keys []key
	for _, f := range reflect.VisibleFields(t) { // an embedded struct's keys are its own
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		if f.Type.Kind() != reflect.Struct {
			keys = append(keys, key{path + name, f.Index, t.String()})
			continue
		}
		for _, k := range keysOf(f.Type, path+name+".") {
			k.index = append(slices.Clone(f.Index), k.index...)
			keys = append(keys, k)
		}
	}
	return keys
}

// TestExampleDocumentsEveryKey fails where a configuration struct has a key that
// the example does not show, or shows without a word on it, and where the example
// gives a key to two readers in different places.
func TestExampleDocumentsEveryKey(t *testing.T) {
	raw, err := os.ReadFile(example(t))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := documented(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []any{agent.Config{}, server.Config{}, worker.Config{}} {
		for _, k := range keysOf(reflect.TypeOf(cfg), "") {
			if _, ok := shown[k.path]; !ok {
				t.Errorf("config.example.yml does not show %s (a key of %s)", k.path, k.owner)
			}
		}
	}
	for path, told := range shown {
		if !told {
			t.Errorf("config.example.yml shows %s without a comment", path)
		}
	}
	var sections []string
	for path := range shown {
		if !strings.Contains(path, ".") {
			sections = append(sections, path)
		}
	}
	slices.Sort(sections)
	if want := slices.Sorted(slices.Values(config.Sections())); !slices.Equal(sections, want) {
		t.Errorf("sections are %q, want %q", sections, want)
	}
}

// documented reads the keys of a YAML file that is written as the example is, one
// key per line and two spaces per level, and says of each whether a comment stands
// above it or behind its value. A comment covers a run of keys without a blank
// line between them, as where a file and its key go together.
func documented(text string) (map[string]bool, error) {
	line := regexp.MustCompile(`^( *)([a-z0-9_]+):(?: +('[^']*'|"[^"]*"|[^#]*?))?( +#.*)?$`)
	shown := map[string]bool{}
	var path []string
	comment := false
	for i, l := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(l)
		switch {
		case trimmed == "":
			comment = false
			continue
		case strings.HasPrefix(trimmed, "#"):
			comment = true
			continue
		}
		m := line.FindStringSubmatch(l)
		if m == nil || len(m[1])%2 != 0 || len(m[1])/2 > len(path) {
			return nil, fmt.Errorf("config.example.yml:%d: not a key in the file's form: %s", i+1, l)
		}
		path = append(path[:len(m[1])/2], m[2])
		shown[strings.Join(path, ".")] = comment || m[4] != ""
		if m[3] == "" {
			comment = false // what a section's comment says is not said of its keys
		}
	}
	return shown, nil
}

func TestDocumentedSeesWhatIsMissing(t *testing.T) {
	shown, err := documented("# told\na:\n  # told\n  b: 1\n  c: 'x # y'\n\n  d: 2\n  e: 3 # told\n")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"a": true, "a.b": true, "a.c": true, "a.d": false, "a.e": true}
	if !reflect.DeepEqual(shown, want) {
		t.Errorf("got %v, want %v", shown, want)
	}
	if _, err := documented("a: 1\n   b: 2\n"); err == nil {
		t.Error("a line in another form is passed over")
	}
}
