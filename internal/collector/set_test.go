package collector

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// stub is a collector that a test writes itself.
type stub func(ctx context.Context, p *page) error

func (f stub) collect(ctx context.Context, p *page) error { return f(ctx, p) }

// with replaces the list of collectors, in the order given: name, collector, ….
func with(pairs ...any) Option {
	return func(s *settings) {
		s.list = nil
		for i := 0; i < len(pairs); i += 2 {
			c := stub(pairs[i+1].(func(context.Context, *page) error))
			s.list = append(s.list, definition{pairs[i].(string), func(host) (collector, error) { return c, nil }})
		}
	}
}

// says returns a collector of one gauge.
func says(name string, v float64) func(context.Context, *page) error {
	return func(_ context.Context, p *page) error {
		p.set(p.fixed(func() []column { return []column{gauge(name, "")} })[0], v)
		return nil
	}
}

func stubSet(t *testing.T, log *slog.Logger, opts ...Option) *Set {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Timeout = 50 * time.Millisecond
	s, err := New(cfg, log, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func snapOf(t *testing.T, s *Set) (Snapshot, map[string]float64) {
	t.Helper()
	all, err := s.Collect(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d snapshots: %v", len(all), err)
	}
	snap := all[0]
	layout, err := wire.DecodeLayout(snap.Layout, sentinel.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for i, series := range layout {
		if v := snap.Cycle.Values[i]; !sentinel.IsAbsent(v) {
			out[series.String()] = v
		}
	}
	return snap, out
}

func wantValues(t *testing.T, got map[string]float64, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		g, there := got[name]
		switch {
		case sentinel.IsAbsent(v) && there:
			t.Errorf("%s is %v, want it absent", name, g)
		case !sentinel.IsAbsent(v) && (!there || g != v):
			t.Errorf("%s is %v (there: %v), want %v", name, g, there, v)
		}
	}
}

func TestAFailingCollectorCostsOnlyItsOwnSamples(t *testing.T) {
	var out bytes.Buffer
	fail := true
	s := stubSet(t, slog.New(slog.NewTextHandler(&out, nil)), with(
		"good", says("good", 1),
		"bad", func(_ context.Context, p *page) error {
			if fail {
				return errors.New("the sensor is on fire")
			}
			return says("bad", 2)(nil, p)
		},
		"wild", func(_ context.Context, p *page) error {
			if fail {
				panic("no such thing")
			}
			return says("wild", 3)(nil, p)
		},
		"none", func(context.Context, *page) error { return errNothing },
		"last", says("last", 4),
	))
	for range 3 {
		_, got := snapOf(t, s)
		wantValues(t, got, map[string]float64{
			"good": 1, "last": 4, "bad": sentinel.Absent(), "wild": sentinel.Absent(),
			`node_scrape_collector_success{collector="good"}`: 1,
			`node_scrape_collector_success{collector="bad"}`:  0,
			`node_scrape_collector_success{collector="wild"}`: 0,
			`node_scrape_collector_success{collector="none"}`: 1,
		})
		if _, ok := got[`node_scrape_collector_duration_seconds{collector="wild"}`]; !ok {
			t.Error("a panic has no duration")
		}
	}
	fail = false
	_, got := snapOf(t, s)
	wantValues(t, got, map[string]float64{"bad": 2, "wild": 3, `node_scrape_collector_success{collector="wild"}`: 1})
	if n := strings.Count(out.String(), "a collector fails"); n != 2 {
		t.Errorf("%d lines about 2 failing collectors in 3 cycles:\n%s", n, out.String())
	}
	if n := strings.Count(out.String(), "works again"); n != 2 {
		t.Errorf("%d lines about 2 collectors that work again:\n%s", n, out.String())
	}
}

func TestAHangingCollectorIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int64
		s := stubSet(t, slog.New(slog.DiscardHandler), with(
			"stuck", func(_ context.Context, p *page) error {
				n := calls.Add(1)
				if n == 2 {
					<-release // deaf to ctx
				}
				return says("stuck", float64(n))(nil, p)
			},
			"good", says("good", 1),
		))
		_, got := snapOf(t, s)
		wantValues(t, got, map[string]float64{"stuck": 1, "good": 1})
		for range 3 {
			start := time.Now()
			_, got = snapOf(t, s)
			wantValues(t, got, map[string]float64{"stuck": sentinel.Absent(), "good": 1, `node_scrape_collector_success{collector="stuck"}`: 0})
			if took := time.Since(start); took > 100*time.Millisecond {
				t.Errorf("a cycle with a hanging collector took %s", took)
			}
		}
		if n := calls.Load(); n != 2 {
			t.Errorf("the hanging collector was called %d times, want 2: not again while it hangs", n)
		}
		close(release)
		synctest.Wait()
		_, got = snapOf(t, s)
		wantValues(t, got, map[string]float64{"stuck": 3, `node_scrape_collector_success{collector="stuck"}`: 1})
	})
}

func TestTheLayoutDoesNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		devices := []string{"b", "a"}
		s := stubSet(t, slog.New(slog.DiscardHandler), with("disk", func(_ context.Context, p *page) error {
			for _, d := range devices {
				row, known := p.row([]byte(d))
				if !known {
					row = p.define(d, []column{counter("bytes_total", "bytes"), gauge("never", "")}, "device", d)
				}
				p.set(row[0], 7)
			}
			return nil
		}))
		first, _ := snapOf(t, s)
		again := func(what string) (Snapshot, map[string]float64) {
			time.Sleep(10 * time.Second)
			snap, got := snapOf(t, s)
			if &snap.Layout[0] != &first.Layout[0] || snap.Cycle.Layout != first.Cycle.Layout {
				t.Fatalf("%s: a new layout", what)
			}
			return snap, got
		}
		devices = []string{"a"}
		for range 50 {
			_, got := again("a device is gone for less than 10 minutes")
			wantValues(t, got, map[string]float64{`bytes_total{device="a"}`: 7, `bytes_total{device="b"}`: sentinel.Absent()})
		}
		devices = []string{"a", "b"}
		_, got := again("it came back")
		wantValues(t, got, map[string]float64{`bytes_total{device="b"}`: 7})

		devices = []string{"a"}
		layouts := map[sentinel.LayoutHash]int{}
		for range 400 {
			time.Sleep(10 * time.Second)
			snap, _ := snapOf(t, s)
			layouts[snap.Cycle.Layout]++
		}
		if len(layouts) != 2 || layouts[first.Cycle.Layout] > 61 {
			t.Errorf("layouts over an hour without the device: %v, want the first for 10 minutes and one other", layouts)
		}
		// A series that has a thing behind it and never a value stays.
		snap, _ := snapOf(t, s)
		if !bytes.Contains(snap.Layout, []byte("never")) {
			t.Error("a series was dropped though its device is there")
		}
		devices = []string{"b", "a"}
		if back, _ := snapOf(t, s); back.Cycle.Layout != first.Cycle.Layout {
			t.Error("the same series in another order of appearance have another layout")
		}
	})
}

func TestMoreSeriesThanALayoutHolds(t *testing.T) {
	lim := sentinel.DefaultLimits()
	lim.MaxSeries = 20
	var out bytes.Buffer
	s := stubSet(t, slog.New(slog.NewTextHandler(&out, nil)), WithLimits(lim), with(
		"small", says("small", 1),
		"large", func(_ context.Context, p *page) error {
			for i := range 100 {
				name := string(rune('a'+i%26)) + strings.Repeat("x", i/26)
				row, known := p.row([]byte(name))
				if !known {
					row = p.define(name, []column{gauge("large", "")}, "n", name)
				}
				p.set(row[0], float64(i))
			}
			return nil
		},
	))
	for range 3 {
		snap, got := snapOf(t, s)
		wantValues(t, got, map[string]float64{"small": 1, `large{n="a"}`: 0})
		if len(snap.Cycle.Values) > lim.MaxSeries {
			t.Fatalf("a layout of %d series, at most %d are allowed", len(snap.Cycle.Values), lim.MaxSeries)
		}
	}
	if n := strings.Count(out.String(), "more series"); n != 1 {
		t.Errorf("%d lines about it, want 1:\n%s", n, out.String())
	}
}

func TestStrangeNamesCostOnlyThemselves(t *testing.T) {
	s := stubSet(t, slog.New(slog.DiscardHandler), with("strange", func(_ context.Context, p *page) error {
		for _, key := range []string{"", "ok", "bad name\x00", "bin\xff\xfe", strings.Repeat("n", 5000)} {
			row, known := p.row([]byte("k" + key))
			if !known {
				row = p.define("k"+key, []column{gauge("by_label", ""), gauge("name_"+key, "")}, "label", key)
			}
			p.set(row[0], 1)
			p.set(row[1], 1)
		}
		return nil
	}))
	_, got := snapOf(t, s)
	wantValues(t, got, map[string]float64{
		`by_label{label="ok"}`: 1, `by_label{label="bad name?"}`: 1, `by_label{label="bin?"}`: 1,
		`by_label{label="` + strings.Repeat("n", 1024) + `"}`: 1, `name_ok{label="ok"}`: 1,
	})
}

func TestCollectEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := stubSet(t, slog.New(slog.DiscardHandler), with("a", func(ctx context.Context, _ *page) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}))
	if _, err := s.Collect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Collect under an ended context: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		break_ func(*Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Interval = time.Second / 2 }, "interval"},
		{func(c *Config) { c.Interval += time.Microsecond }, "interval"},
		{func(c *Config) { c.Timeout = time.Minute }, "timeout"},
		{func(c *Config) { c.Timeout = 0 }, "timeout"},
		{func(c *Config) { c.Interval = 25 * time.Hour }, "interval"},
		{func(c *Config) { c.Intervals["cpu"] = time.Second }, "timeout"},
		{func(c *Config) { c.Intervals["cpu"] = time.Second / 2 }, "intervals.cpu"},
		{func(c *Config) { c.Intervals["gpu"] = time.Minute }, "intervals.gpu"},
		{func(c *Config) { c.Network.Exclude = "(" }, "network.exclude"},
		{func(c *Config) { c.Filesystem.Types.Include = "[" }, "filesystem.types.include"},
		{func(c *Config) { c.Collectors["gpu"] = true }, "collectors.gpu"},
		{func(c *Config) { c.Collectors["services"], c.Intervals["services"] = false, time.Minute }, ""},
		{func(c *Config) { c.Hwmon.Include = "(" }, "hwmon.include"},
		{func(c *Config) { c.Processes.Top = -1 }, "processes.top"},
		{func(c *Config) { c.Processes.Exclude = "(" }, "processes.exclude"},
		{func(c *Config) { c.Containers.Max = 501 }, "containers.max"},
	} {
		if strings.HasSuffix(c.want, ".gpu") && runtime.GOOS != "linux" {
			continue // the list of names is only complete there
		}
		cfg := DefaultConfig()
		c.break_(&cfg)
		err := cfg.Validate()
		if c.want == "" {
			if err != nil {
				t.Errorf("the default does not hold: %v", err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%v, want an Invalid error that names %s", err, c.want)
		}
		if _, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("New takes a configuration that Validate refuses for %s", c.want)
		}
	}
}

func TestASwitchedOffCollectorIsNotRun(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Collectors["time"] = false
	s, err := New(cfg, slog.New(slog.DiscardHandler), with("time", says("off", 1), "other", says("on", 1)))
	if err != nil {
		t.Fatal(err)
	}
	_, got := snapOf(t, s)
	wantValues(t, got, map[string]float64{"on": 1, "off": sentinel.Absent(), `node_scrape_collector_success{collector="time"}`: sentinel.Absent()})
}
