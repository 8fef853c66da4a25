package agent

import (
	"context"
	"io"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/control"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/uplink"
)

// handler serves the health endpoints and the metrics.
func (l *life) handler() http.Handler {
	return telemetry.Handler(l.reg, []telemetry.Check{{Name: "log", Ask: l.keep.healthy}}, []telemetry.Check{
		{Name: "log", Ask: l.keep.healthy},
		{Name: "uplink", Ask: func(context.Context) error { return uplinkReady(l.up.Load().Status(), l.config().Agent.BufferLimit) }},
		{Name: "config", Ask: func(context.Context) error { return l.configReady() }},
	})
}

func uplinkReady(s uplink.Status, limit time.Duration) error {
	if !s.Connected && time.Since(s.Since) > limit {
		return sentinel.Errorf(sentinel.Unavailable, "no server for %s: %s", time.Since(s.Since).Round(time.Second), s.LastError)
	}
	return nil
}

// configReady says why what runs is not what the file says.
func (l *life) configReady() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trouble != nil {
		return sentinel.Errorf(sentinel.Invalid, "runs with the last good one: %w", l.trouble)
	}
	return nil
}

// register makes the metrics of the configuration known, and those of the host
// where they are asked for.
func (l *life) register() {
	// Whether what runs is what the file says: 0 after a reload, or a start, at which
	// it was not good.
	l.reg.Gauge("sentinel_agent_config_last_reload_successful", func() float64 {
		if l.configReady() != nil {
			return 0
		}
		return 1
	})
	l.reg.Gauge("sentinel_agent_config_last_reload_success_timestamp_seconds", func() float64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return float64(l.good.Unix())
	})
	l.reloads("ok")
	l.reloads("failed")
	l.reg.Writer(func(w io.Writer) {
		if l.config().Agent.HostMetrics {
			l.keep.latest.writePrometheus(w)
		}
	})
}

func (l *life) reloads(outcome string) telemetry.Counter {
	return l.reg.Counter("sentinel_agent_config_reloads_total", "outcome", outcome)
}

// Status implements control.Agent.
func (l *life) Status() control.Status {
	up, stats := l.up.Load().Status(), l.log.Stats()
	s := control.Status{
		Version: l.version, Agent: string(up.Agent), PID: os.Getpid(), Started: l.started.UTC(),
		Connection: control.Connection{Connected: up.Connected, Since: up.Since.UTC(), LastError: up.LastError, ClockAhead: up.Clock.Seconds()},
		Log: control.Log{Bytes: stats.Bytes, Appended: stats.Appended, Failed: stats.Failed, Dropped: map[string]uint64{},
			Waiting: l.keep.waiting.Load(), Marks: l.marks()},
		Collectors: l.collectors(), Plugins: l.plugins(),
	}
	for reason, n := range stats.Dropped {
		s.Log.Dropped[reason.String()] = n
	}
	if t := oldestUnsettled(l.log); !t.IsZero() {
		t = t.UTC()
		s.Log.OldestUnsettled = &t
	}
	if err := l.keep.healthy(context.Background()); err != nil {
		s.Log.Error = err.Error()
	}
	told := l.configVersion()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Connection.Server = l.cfg.Agent.Server.Address
	s.Config = control.Config{File: l.o.File, Told: told, NeedsRestart: l.restart}
	if !l.last.IsZero() {
		t := l.last.UTC()
		s.Config.LastReload = &t
	}
	if l.trouble != nil {
		s.Config.LastGood, s.Config.Error = true, l.trouble.Error()
	}
	return s
}

func (l *life) marks() []control.Mark {
	list := []control.Mark{}
	for _, g := range l.log.Generations() {
		list = append(list, control.Mark{Epoch: g.Epoch.String(), Appended: g.Appended, Settled: g.Settled.Through()})
	}
	return list
}

// collectors reads how the collectors fared from what they say of themselves.
func (l *life) collectors() []control.Collector {
	byName := map[string]control.Collector{}
	for _, v := range l.keep.latest.values() {
		var name string
		switch v.Name {
		case "node_scrape_collector_success", "node_scrape_collector_duration_seconds":
			name = v.label("collector")
		case "up", "scrape_duration_seconds":
			// A target's own, with more labels, stand before ours in its layout.
			name = collector.ScrapeGroup + v.label("job")
		default:
			continue
		}
		c := byName[name]
		c.Name, c.At = name, v.time
		if strings.HasSuffix(v.Name, "_seconds") {
			c.Seconds = v.v
		} else {
			c.Success = v.v == 1
		}
		byName[name] = c
	}
	list := make([]control.Collector, 0, len(byName))
	for _, c := range byName {
		list = append(list, c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// flushLook is how often a flush looks at what is settled: marks come in silence.
const flushLook = 50 * time.Millisecond

// Flush implements control.Agent.
func (l *life) Flush(ctx context.Context) control.Flush {
	start := time.Now()
	want := map[sentinel.Epoch]uint64{} // what has to be settled; 0 is all of it
	for _, g := range l.log.Generations() {
		want[g.Epoch] = g.Appended
	}
	l.up.Load().Nudge()
	tick := time.NewTicker(flushLook)
	defer tick.Stop()
	for {
		f := control.Flush{Done: true, Seconds: time.Since(start).Seconds(), Marks: l.marks()}
		for _, g := range l.log.Generations() {
			through, asked := want[g.Epoch]
			if asked && (through == 0 || g.Settled.Through() < through) {
				f.Done = false
			}
		}
		if f.Done {
			return f
		}
		select {
		case <-ctx.Done():
			f.Reason = "the service has not settled everything in time"
			if s := l.up.Load().Status(); !s.Connected {
				f.Reason = "there is no connection: " + s.LastError
			}
			return f
		case <-tick.C:
		}
	}
}
