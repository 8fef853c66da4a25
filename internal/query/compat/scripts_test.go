package compat

import (
	"bufio"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

// excludedList says which evaluations of the scripts do not hold here, and why:
// lines of a script's name, a reason, and the numbers of the lines at which they
// stand.
//
//go:embed testdata/excluded.txt
var excludedList string

// reasons are why an evaluation may be excluded.
var reasons = map[string]string{
	"histogram": "it is about native histograms, and samples are numbers",
	"nan":       "it needs a sample that is NaN or infinite, and samples are finite",
	"created":   "it needs the time at which a counter began, and samples do not carry it",
	"internal":  "it needs a label that begins with __, and such are not stored",
	"gap":       "it takes a value over a gap of more than a minute and four times the usual distance, which ends a series here",
}

// excluded reads the list: for each script the lines to leave out.
func excluded(t *testing.T) map[string]map[int]bool {
	t.Helper()
	out := make(map[string]map[int]bool)
	for line := range strings.Lines(excludedList) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if len(fields) < 3 || reasons[fields[1]] == "" {
			t.Fatalf("line of the list without a known reason: %s", line)
		}
		lines := out[fields[0]]
		if lines == nil {
			lines = make(map[int]bool)
		}
		for _, f := range fields[2:] {
			var n int
			_, err := fmt.Sscan(f, &n)
			must(t, err)
			lines[n] = true
		}
		out[fields[0]] = lines
	}
	return out
}

// without empties the lines of the evaluations to leave out, so that all others
// keep their numbers. It says how many are left.
func without(t *testing.T, script string, lines map[int]bool) (out string, left int) {
	t.Helper()
	var b strings.Builder
	n, evals, drop := 0, 0, false
	for s := bufio.NewScanner(strings.NewReader(script)); s.Scan(); b.WriteByte('\n') {
		n++
		text := s.Text()
		switch trimmed := strings.TrimSpace(text); {
		case strings.HasPrefix(trimmed, "eval"):
			evals++
			switch {
			case lines[n]:
				drop = true
				delete(lines, n)
			case evals%sparse != 0:
				drop = true
			default:
				drop = false
				left++
			}
		case trimmed == "", strings.HasPrefix(trimmed, "load"), strings.HasPrefix(trimmed, "clear"):
			drop = false
		}
		if !drop {
			b.WriteString(text)
		}
	}
	if len(lines) > 0 {
		t.Errorf("no evaluation stands at the excluded lines %v", lines)
	}
	return b.String(), left
}

// TestScriptsOfPrometheus runs Prometheus' own scripts, of the version that go.mod
// names, on our storage in a real database; a third of them under the race detector.
// With SENTINEL_COMPAT_ALL nothing is left out: what fails then is what the list must
// hold.
func TestScriptsOfPrometheus(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	must(t, err)
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "promql", "promqltest", "testdata", "*.test"))
	must(t, err)
	slices.Sort(files)
	if len(files) == 0 {
		t.Fatal("there are no scripts")
	}
	lists := excluded(t)
	if os.Getenv("SENTINEL_COMPAT_ALL") != "" {
		lists = nil
	}
	db, _ := newDatabase(t)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".test")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			must(t, err)
			dropped := len(lists[name])
			script, left := without(t, string(raw), lists[name])
			t.Logf("%d evaluations, %d left out", left, dropped)
			if left == 0 {
				return
			}
			e := engine{promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)}
			promqltest.RunTestWithStorage(t, script, e, func(t testing.TB) storage.Storage { return newStore(t, db) })
		})
	}
}
