package alerts_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// BenchmarkDetection reports how long it takes from the time of a sample to the request
// at the webhook, with 1,000 agents that collect every five seconds, each of which
// gets too hot for a cycle now and then. What a gateway does is done by the benchmark.
func BenchmarkDetection(b *testing.B) {
	const agents, every = 1000, 5 * time.Second
	r := newRig(b, agents, postgrestest.URL(b))
	r.rules(hotRule)
	r.tell()
	r.work()
	r.ready()
	type sample struct {
		host string
		at   int64
	}
	var mu sync.Mutex
	sent, took := map[sample]bool{}, []time.Duration(nil)
	play := func(round int) {
		begun := time.Now()
		for i := range agents {
			due := time.NewTimer(time.Until(begun.Add(every * time.Duration(i) / agents)))
			<-due.C
			at, value := time.Now().Truncate(time.Millisecond), 20.0
			if (i+round)%5 == 0 {
				value = 35
				mu.Lock()
				sent[sample{fmt.Sprint("host-", i), at.UnixMilli()}] = true
				mu.Unlock()
			}
			must(b, r.publish(b.Context(), i, at, value, 1))
		}
	}
	play(1) // who has never sent anything is not known yet
	for b.Loop() {
		for round := range 4 {
			play(round)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		notes, _ := r.hook.notes()
		took = took[:0]
		for _, n := range notes {
			if n.status == "firing" && sent[sample{n.host, n.startsAt.UnixMilli()}] {
				took = append(took, n.at.Sub(n.startsAt))
			}
		}
		if len(took) >= len(sent) {
			break
		}
	}
	if len(took) < len(sent) {
		b.Fatalf("%d of %d were told", len(took), len(sent))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
	b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "max-ms")
	b.ReportMetric(float64(len(took)), "alerts")
	if p99 := took[len(took)*99/100]; p99 > time.Second {
		b.Errorf("p99 is %s, want at most 1s", p99)
	}
}

// BenchmarkBacktest reports how long 100 rules of mixed kinds take over 30 days of 50
// agents, as they are played by default: minute by minute. Filling the database takes
// four minutes, so it wants to be asked for (make bench-alerts).
func BenchmarkBacktest(b *testing.B) {
	if os.Getenv("SENTINEL_BENCH_BACKTEST") == "" {
		b.Skip("SENTINEL_BENCH_BACKTEST is not set")
	}
	const agents, days, rules = 50, 30, 100
	url := postgrestest.URL(b)
	r := newRig(b, agents, url)
	shapes := []string{"condition: above 1e9, for: 5m", "function: avg, window: 1h, condition: above 1e9", "function: max, window: 15m, condition: above 1e9",
		"function: p95, window: 1h, condition: above 1e9", "kind: anomaly, window: 24h, condition: above 1e9", "kind: forecast, window: 6h, ahead: 24h, condition: above 1e9",
		"function: min, window: 30m, condition: above 1e9", "condition: above 98, for: 5m", "function: delta, window: 1h, condition: above 1e9", "kind: absence, window: 10m"}
	var text strings.Builder
	text.WriteString("groups:\n- name: g\n  rules:\n")
	var layout sentinel.Layout
	for i := range rules {
		fmt.Fprintf(&text, "  - {alert: r%d, series: m%d, %s}\n", i, i, shapes[i%len(shapes)])
		layout = append(layout, sentinel.NewSeries("m"+strconv.Itoa(i), sentinel.Gauge, ""))
	}
	set, err := alerting.ParseRules("bench", []byte(text.String()))
	must(b, err)
	definition := wire.EncodeLayout(layout)
	to := time.Now().Truncate(time.Minute)
	from := to.Add(-days * 24 * time.Hour)
	for _, a := range r.agents {
		row, err := r.db.AgentByName(b.Context(), a.cred.Agent)
		must(b, err)
		id, err := r.db.EnsureLayout(b.Context(), row.ID, wire.HashLayout(definition), definition, layout)
		must(b, err)
		must(b, postgrestest.FillMinutes(b.Context(), url, row.ID, id, len(layout), from, to))
	}
	test := alerts.Backtest{DB: r.db, From: from, To: to}
	for b.Loop() {
		begun := time.Now()
		out, err := test.Play(b.Context(), set)
		must(b, err)
		took := time.Since(begun)
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(float64(out.Samples)/took.Seconds()/1e6, "Msamples/s")
		b.ReportMetric(float64(out.Cycles), "cycles")
		b.ReportMetric(float64(len(out.Transitions)), "transitions")
		if out.Agents != agents || out.Cycles < agents*days*1400 {
			b.Errorf("%d agents, %d cycles", out.Agents, out.Cycles)
		}
		if took > time.Minute {
			b.Errorf("it took %s, want at most a minute", took)
		}
	}
}

// BenchmarkIngestBesideBadReceivers reports how long the broker takes to accept a
// batch, which is what a gateway waits for, while the one receiver takes what fires, and while it hangs or
// answers 429 or 500: how people are told must not move how data comes in.
func BenchmarkIngestBesideBadReceivers(b *testing.B) {
	const agents, batches = 20, 2000
	r := newRig(b, agents, postgrestest.URL(b))
	r.rules(hotRule)
	r.tell()
	r.work()
	r.ready()
	release := make(chan struct{})
	defer close(release)
	answers := map[string]func(http.ResponseWriter, *http.Request) bool{
		"good": nil,
		"hangs": func(_ http.ResponseWriter, req *http.Request) bool {
			select {
			case <-release:
			case <-req.Context().Done():
			}
			return true
		},
		"429": func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		},
		"500": func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		},
	}
	took := map[string][]time.Duration{}
	at := time.Now()
	for b.Loop() {
		for range 20 { // in turns, so that what else the machine does hits all alike
			for name, answer := range answers {
				r.hook.mu.Lock()
				r.hook.answer = answer
				r.hook.mu.Unlock()
				for n := range batches {
					at = at.Add(time.Millisecond)
					begun := time.Now()
					must(b, r.publish(b.Context(), n%agents, at, 20+float64(n/agents%2)*15, 1))
					took[name] = append(took[name], time.Since(begun))
				}
			}
		}
	}
	median := func(name string) float64 {
		slices.Sort(took[name])
		return float64(took[name][len(took[name])/2].Nanoseconds()) / 1000
	}
	good := median("good")
	b.ReportMetric(good, "good-µs")
	for _, name := range []string{"hangs", "429", "500"} {
		b.ReportMetric(100*(median(name)/good-1), name+"-%")
	}
}
