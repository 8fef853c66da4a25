package collector

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// sourceSet returns a Set without collectors.
func sourceSet(t *testing.T, src Sources, log *slog.Logger, opts ...Option) *Set {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Sources = src
	s, err := New(cfg, log, append(opts, with())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// sourceValues runs a cycle and returns what has a value. No series may stand in two
// layouts, and every layout must be one that the service takes.
func sourceValues(t *testing.T, s *Set) map[string]float64 {
	t.Helper()
	all, err := s.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, seen := make(map[string]float64), make(map[string]bool)
	for _, snap := range all {
		layout, err := wire.DecodeLayout(snap.Layout, sentinel.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		for i, series := range layout {
			if seen[series.String()] {
				t.Errorf("%s stands in two layouts", series)
			}
			seen[series.String()] = true
			if v := snap.Cycle.Values[i]; !sentinel.IsAbsent(v) {
				out[series.String()] = v
			}
		}
	}
	return out
}

// about returns those of the values whose series hold the text.
func about(values map[string]float64, text string) map[string]float64 {
	out := make(map[string]float64)
	for s, v := range values {
		if strings.Contains(s, text) {
			out[s] = v
		}
	}
	return out
}

func TestSourcesAreValidated(t *testing.T) {
	good := ScrapeConfig{Name: "a", URL: "http://127.0.0.1:1/metrics"}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := ExecConfig{Name: "a", Command: []string{program}}
	scrape := func(change func(*ScrapeConfig)) Sources {
		c := good
		change(&c)
		return Sources{Scrape: []ScrapeConfig{good, c}}
	}
	command := func(change func(*ExecConfig)) Sources {
		c := run
		change(&c)
		return Sources{Exec: []ExecConfig{c}}
	}
	for _, tt := range []struct {
		src  Sources
		want string
	}{
		{scrape(func(c *ScrapeConfig) {}), `scrape[1].name: "a" is taken`},
		{scrape(func(c *ScrapeConfig) { c.Name = "" }), `scrape[1].name: is ""`},
		{scrape(func(c *ScrapeConfig) { c.Name = "a b" }), `scrape[1].name: is "a b"`},
		{scrape(func(c *ScrapeConfig) { c.Name = "textfile" }), `"textfile" is reserved`},
		{scrape(func(c *ScrapeConfig) { c.Name, c.URL = "b", "ftp://x/" }), "scrape[1].url: want one such as http://"},
		{scrape(func(c *ScrapeConfig) { c.Name, c.URL = "b", "http:///x" }), "scrape[1].url: want"},
		{scrape(func(c *ScrapeConfig) { c.Name, c.URL = "b", "http://u:secret@x/" }), "scrape[1].url: holds a user or password"},
		{scrape(func(c *ScrapeConfig) { c.Name, c.Interval = "b", time.Millisecond }), "scrape[1].interval: is 1ms"},
		{scrape(func(c *ScrapeConfig) { c.Name, c.Timeout = "b", time.Minute }), "scrape[1].timeout: is 1m0s, want 10ms up to the interval, 10s"},
		{scrape(func(c *ScrapeConfig) { c.Name, c.MaxSeries = "b", 9001 }), "scrape[1].max_series: is 9001"},
		{scrape(func(c *ScrapeConfig) { c.Name, c.MaxBytes = "b", -1 }), "scrape[1].max_bytes: is -1"},
		{scrape(func(c *ScrapeConfig) { c.Name, c.Include = "b", "(" }), "scrape[1].include: "},
		{scrape(func(c *ScrapeConfig) { c.Name, c.Exclude = "b", "(" }), "scrape[1].exclude: "},
		{scrape(func(c *ScrapeConfig) { c.Name, c.Labels = "b", map[string]string{"job": "x"} }), "scrape[1].labels.job: is reserved"},
		{scrape(func(c *ScrapeConfig) { c.Name, c.Labels = "b", map[string]string{"agent": "x"} }), "scrape[1].labels.agent: "},
		{scrape(func(c *ScrapeConfig) { c.Name, c.Labels = "b", map[string]string{"a-b": "x"} }), "scrape[1].labels.a-b: "},
		{Sources{Scrape: make([]ScrapeConfig, 51)}, "scrape, exec: 51, want at most 50"},
		{Sources{Textfile: TextfileConfig{Directory: "x"}}, "textfile.directory: is \"x\", want a full path"},
		{command(func(c *ExecConfig) { c.Command = nil }), "exec[0].command: want a list"},
		{command(func(c *ExecConfig) { c.Command = []string{"true"} }), "exec[0].command: want a list"},
		{command(func(c *ExecConfig) { c.Command = append(c.Command, "\x00") }), "exec[0].command: "},
		{command(func(c *ExecConfig) { c.MaxOutput = 1 << 30 }), "exec[0].max_output: is"},
		{command(func(c *ExecConfig) { c.Timeout = time.Hour }), "exec[0].timeout: is"},
		{Sources{Scrape: []ScrapeConfig{good}, Exec: []ExecConfig{run}}, `exec[0].name: "a" is taken`},
	} {
		cfg := DefaultConfig()
		cfg.Sources = tt.src
		err := cfg.Validate()
		if sentinel.CodeOf(err) != sentinel.Invalid || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("error is %v, want %q", err, tt.want)
		}
	}
	cfg := DefaultConfig()
	cfg.Sources = Sources{Scrape: []ScrapeConfig{good}}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

// A source that hangs is late for itself alone, and hands its cycle over beside the
// others.
func TestAHangingSourceCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stubSet(t, slog.New(slog.DiscardHandler), with("cpu", says("host", 1)))
		hangs := stub(func(ctx context.Context, _ *page) error {
			<-ctx.Done()
			return ctx.Err()
		})
		for name, c := range map[string]collector{"hangs": hangs, "well": stub(says("well", 2))} {
			g := newGroup(name, 10*sec, 5*sec, sentinel.DefaultLimits(), s.log, s.now)
			g.slots = []*slot{newSlot(name, c, 10)}
			s.sources = append(s.sources, g)
		}
		zero, at := time.Now(), make(map[string][]time.Duration)
		inside := false
		ctx, cancel := context.WithTimeout(t.Context(), 29*sec)
		defer cancel()
		err := s.Run(ctx, sinkFunc(func(snap Snapshot) error {
			if inside {
				t.Error("two cycles are handed over at once")
			}
			inside = true
			at[snap.Group] = append(at[snap.Group], time.Since(zero))
			inside = false
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		wantTimes(t, at["10s"], 0, 10*sec, 20*sec)
		wantTimes(t, at["well"], 0, 10*sec, 20*sec)
		wantTimes(t, at["hangs"], 5*sec, 15*sec, 25*sec)
	})
}

// An error of the sink ends all of them.
func TestASinksErrorEndsEverySource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stubSet(t, slog.New(slog.DiscardHandler), with("cpu", says("host", 1)))
		g := newGroup("source", 10*sec, 5*sec, sentinel.DefaultLimits(), s.log, s.now)
		g.slots = []*slot{newSlot("source", stub(says("well", 2)), 10)}
		s.sources = []*group{g}
		err := s.Run(t.Context(), sinkFunc(func(snap Snapshot) error {
			if snap.Group == "source" {
				return sentinel.Errorf(sentinel.Internal, "no")
			}
			return nil
		}))
		if err == nil || !strings.Contains(err.Error(), "no") {
			t.Error(err)
		}
	})
}

func decoded(t *testing.T, snap Snapshot) sentinel.Layout {
	t.Helper()
	layout, err := wire.DecodeLayout(snap.Layout, sentinel.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return layout
}
