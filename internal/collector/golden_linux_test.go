package collector

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fixture makes New read a recorded host; its clock stands still.
func fixture(root string) Option {
	return func(s *settings) {
		s.host.proc, s.host.sys = filepath.Join(root, "proc"), filepath.Join(root, "sys")
		s.host.machine, s.host.pageSize, s.host.bus = "x86_64", 4096, ""
		s.host.adjtimex = func(t *syscall.Timex) (int, error) {
			*t = syscall.Timex{Offset: -123456, Freq: 1 << 20, Maxerror: 250000, Esterror: 120, Status: statusNano | 1, Tick: 10000, Tai: 37}
			return 0, nil
		}
		s.host.now = func() time.Time { return time.UnixMilli(1_700_000_000_123) }
		s.host.statfs = func(path string) (volume, error) {
			switch path {
			case "/":
				return volume{size: 100 << 30, free: 40 << 30, avail: 35 << 30, files: 6553600, filesFree: 6000000}, nil
			case "/boot/efi":
				return volume{size: 512 << 20, free: 500 << 20, avail: 500 << 20}, nil
			case "/gone":
				return volume{}, errors.New("input/output error")
			}
			return volume{size: 1 << 30, free: 0, avail: 0, files: 10, filesFree: 3, readonly: path == "/mnt/field data"}, nil
		}
	}
}

func newSet(t *testing.T, cfg Config, opts ...Option) *Set {
	t.Helper()
	s, err := New(cfg, slog.New(slog.DiscardHandler), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func collect(t *testing.T, s *Set) Snapshot {
	t.Helper()
	all, err := s.Collect(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d snapshots: %v", len(all), err)
	}
	return all[0]
}

// layoutOf decodes the layout and checks that the snapshot fits it.
func layoutOf(t *testing.T, snap Snapshot) sentinel.Layout {
	t.Helper()
	layout, err := wire.DecodeLayout(snap.Layout, sentinel.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if wire.HashLayout(snap.Layout) != snap.Cycle.Layout || len(layout) != len(snap.Cycle.Values) {
		t.Fatalf("a cycle of %d values names %v; its layout is %v with %d series",
			len(snap.Cycle.Values), snap.Cycle.Layout, wire.HashLayout(snap.Layout), len(layout))
	}
	return layout
}

// byName returns the present values by the series' notation.
func byName(t *testing.T, snap Snapshot) map[string]float64 {
	t.Helper()
	out := make(map[string]float64)
	for i, s := range layoutOf(t, snap) {
		if v := snap.Cycle.Values[i]; !sentinel.IsAbsent(v) {
			out[s.String()] = v
		}
	}
	return out
}

// asText prints every series as the text formats of Prometheus do, with kind
// and unit behind it.
func asText(t *testing.T, snap Snapshot) string {
	t.Helper()
	var b strings.Builder
	for i, s := range layoutOf(t, snap) {
		value := "absent"
		switch v := snap.Cycle.Values[i]; {
		case s.Name == "node_scrape_collector_duration_seconds":
			value = "(varies)"
		case !sentinel.IsAbsent(v):
			value = strconv.FormatFloat(v, 'g', -1, 64)
		}
		fmt.Fprintf(&b, "%s %s # %s %s\n", s, value, s.Kind, s.Unit)
	}
	return b.String()
}

func TestFixtureHosts(t *testing.T) {
	for _, kernel := range []string{"linux-6.18", "linux-3.10"} {
		t.Run(kernel, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Collectors["tcpstat"] = true
			s := newSet(t, cfg, fixture(filepath.Join("testdata", kernel)))
			got := asText(t, collect(t, s))
			if again := asText(t, collect(t, s)); again != got {
				t.Errorf("the second cycle says something else:\n%s", again)
			}
			golden := filepath.Join("testdata", kernel+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs; run with -update and look at the difference.\n%s", golden, firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines against %d", len(g), len(w))
}
