package agent

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/uplink"
	"github.com/sentinelgo/sentinel/internal/wal"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// host is a keeper with clocks that the test moves.
type host struct {
	*keeper
	t       *testing.T
	reg     *telemetry.Registry
	real    time.Time     // what time it is
	wrong   time.Duration // what the host's clock is ahead of that
	begin   time.Time
	service bool // there is a session
	kept    []time.Time
}

func newHost(t *testing.T) *host {
	t.Helper()
	log, err := wal.Open(t.TempDir(), wal.DefaultConfig(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h := &host{t: t, reg: telemetry.NewRegistry(), real: begin, begin: begin}
	h.keeper = &keeper{
		log: log, logger: slog.New(slog.DiscardHandler),
		now:     func() time.Time { return h.real.Add(h.wrong) },
		elapsed: func() time.Duration { return h.real.Sub(begin) },
		service: func() (time.Time, bool) { return h.real, h.service },

		acknowledged: func(_ wal.Position, c sentinel.Cycle) { h.kept = append(h.kept, c.Time) },
	}
	h.register(h.reg, func() uint64 { return 7 })
	return h
}

// collect takes n cycles, ten seconds apart.
func (h *host) collect(n int) {
	h.t.Helper()
	definition := wire.EncodeLayout(sentinel.Layout{sentinel.NewSeries("up", sentinel.Gauge, "")})
	for range n {
		cycle := sentinel.Cycle{Layout: wire.HashLayout(definition), Time: h.now(), Values: []float64{1}}
		if err := h.Append(h.t.Context(), collector.Snapshot{Cycle: cycle, Layout: definition}); err != nil {
			h.t.Fatal(err)
		}
		h.real = h.real.Add(10 * time.Second)
	}
}

// want requires that the log has n cycles with the times at which they were taken,
// from number first on.
func (h *host) want(first, n int) {
	h.t.Helper()
	if len(h.kept) != n {
		h.t.Fatalf("the log has %d cycles, want %d", len(h.kept), n)
	}
	for i, got := range h.kept {
		if at := h.begin.Add(time.Duration(first+i) * 10 * time.Second); !got.Equal(at) {
			h.t.Errorf("cycle %d has the time %s, want %s", i, got, at)
		}
	}
}

func (h *host) metric(line string) {
	h.t.Helper()
	var b strings.Builder
	h.reg.Write(&b)
	if !strings.Contains("\n"+b.String(), "\n"+line+"\n") {
		h.t.Errorf("no line %q in\n%s", line, b.String()[:strings.Index(b.String(), "go_")])
	}
}

// A host that starts in 1970 and is told the time later loses nothing and puts
// nothing under a time at which it did not happen.
func TestP30StartIn1970(t *testing.T) {
	h := newHost(t)
	h.wrong = -h.real.Sub(time.Unix(30, 0))
	h.collect(5)
	h.want(0, 0)
	h.metric("sentinel_agent_cycles_waiting_for_clock 5")
	h.wrong = 0
	h.collect(2)
	h.want(0, 7)
	h.metric("sentinel_agent_cycles_waiting_for_clock 0")
	h.metric("sentinel_agent_cycles_time_corrected_total 5")
	h.metric(`sentinel_agent_cycles_lost_total{reason="clock"} 0`)
}

// Where the service can be reached, its clock serves as well.
func TestP30StartIn1970WithService(t *testing.T) {
	h := newHost(t)
	h.wrong = -h.real.Sub(time.Unix(30, 0))
	h.collect(3)
	h.service = true
	h.collect(3)
	h.want(0, 6)
}

// A clock that is hours wrong, either way, and steps meanwhile: samples keep the
// times at which they were taken.
func TestP30WrongClockWithService(t *testing.T) {
	h := newHost(t)
	h.service = true
	for _, wrong := range []time.Duration{0, 3 * time.Hour, -3 * time.Hour, 5 * 365 * 24 * time.Hour, 0} {
		h.wrong = wrong
		h.collect(2)
	}
	h.want(0, 10)
	h.metric("sentinel_agent_cycles_time_corrected_total 6")
}

// A small difference is left alone: the host's clock is its own.
func TestP30SmallDifference(t *testing.T) {
	h := newHost(t)
	h.service, h.wrong = true, time.Minute
	h.collect(1)
	if want := h.begin.Add(time.Minute); len(h.kept) != 1 || !h.kept[0].Equal(want) {
		t.Fatalf("kept %v, want %v", h.kept, want)
	}
}

// A service whose own clock has never been set is not believed.
func TestP30ServiceWithoutTime(t *testing.T) {
	h := newHost(t)
	h.keeper.service = func() (time.Time, bool) { return time.UnixMilli(0), true }
	h.collect(2)
	h.want(0, 2)
}

// What waits is bounded; what gives way and what waits in vain is counted.
func TestP30ClockIsNeverSet(t *testing.T) {
	h := newHost(t)
	h.wrong = -h.real.Sub(time.Unix(30, 0))
	h.collect(maxHeld + 3)
	h.metric(`sentinel_agent_cycles_lost_total{reason="clock"} 3`)
	h.stop()
	h.metric(`sentinel_agent_cycles_lost_total{reason="clock"} 363`)
	h.want(0, 0)
}

func TestMetricsOfTheLog(t *testing.T) {
	h := newHost(t)
	h.collect(4)
	h.metric("sentinel_agent_cycles_total 4")
	h.metric("sentinel_agent_samples_appended_total 4")
	h.metric("sentinel_agent_cycles_skipped_total 7")
	h.metric("sentinel_agent_wal_records_appended 4")
	h.metric("sentinel_agent_wal_oldest_record_age_seconds 40")
	h.metric("sentinel_agent_uplink_lag_seconds 40")
	epoch := h.log.Generations()[0].Epoch
	for _, step := range []struct {
		settled uint64
		lag     string
	}{{3, "10"}, {4, "0"}} {
		if err := h.log.Settle(sentinel.Mark{Epoch: epoch, Settled: []sentinel.SeqRange{{First: 1, Last: step.settled}}}); err != nil {
			t.Fatal(err)
		}
		h.metric("sentinel_agent_uplink_lag_seconds " + step.lag)
	}
}

// What is said among the samples is what /metrics says.
func TestSelfAgreesWithMetrics(t *testing.T) {
	h := newHost(t)
	ask := h.self(func() uplink.Status { return uplink.Status{Connected: true} })
	for settled := range uint64(4) {
		h.collect(2)
		epoch := h.log.Generations()[0].Epoch
		if settled > 0 {
			if err := h.log.Settle(sentinel.Mark{Epoch: epoch, Settled: []sentinel.SeqRange{{First: 1, Last: 2 * settled}}}); err != nil {
				t.Fatal(err)
			}
		}
		said := 0
		ask(func(name string, v float64, labels ...string) {
			said++
			switch series := sentinel.NewSeries(name, sentinel.Gauge, "", labels...); name {
			case "sentinel_agent_connected":
				if v != 1 {
					t.Errorf("%s is %v", series, v)
				}
			case "sentinel_agent_goroutines":
			default:
				h.metric(series.String() + " " + strconv.FormatFloat(v, 'f', -1, 64))
			}
		})
		if said < 10 {
			t.Fatalf("%d values", said)
		}
	}
}
