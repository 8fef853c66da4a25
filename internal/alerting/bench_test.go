package alerting

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// fleet is 100 rules of mixed kinds and the layout of a host with 200 series, of which
// the rules look at each metric's two or so.
func fleet(t testing.TB, window time.Duration) (*RuleSet, sentinel.Layout) {
	var layout sentinel.Layout
	for i := range 100 {
		for _, device := range []string{"sda", "sdb"} {
			layout = append(layout, sentinel.NewSeries(fmt.Sprintf("node_metric_%d_total", i), sentinel.Counter, "", "device", device))
		}
	}
	shapes := []string{
		"condition: above 1e12, for: 5m", "function: avg, window: W, condition: above 1e12", "function: min, window: W, condition: above 1e12",
		"function: max, window: W, condition: above 1e12", "function: p95, window: W, condition: above 1e12", "function: rate, window: W, condition: above 1e12",
		"function: increase, window: W, condition: above 1e12", "kind: anomaly, window: W, condition: above 1e12",
		"kind: forecast, window: W, ahead: 24h, condition: above 1e12", "kind: absence, window: W",
	}
	var b strings.Builder
	b.WriteString("groups:\n- name: g\n  rules:\n")
	for i := range 100 {
		shape := strings.ReplaceAll(shapes[i%len(shapes)], "W", window.String())
		fmt.Fprintf(&b, "  - {alert: r%d, series: node_metric_%d_total, %s}\n", i, i, shape)
	}
	return mustRules(t, b.String()), layout
}

func agentNumber(i int) Agent {
	return Agent{ID: sentinel.AgentID(fmt.Sprintf("ag-%d", i)), Hostname: fmt.Sprintf("host-%d", i), Labels: []sentinel.Label{{Name: "site", Value: "fra"}}}
}

// BenchmarkFeed reports samples per second of one core with 100 rules of mixed kinds:
// every value of the layout is judged by a rule of its metric.
func BenchmarkFeed(b *testing.B) {
	for _, window := range []time.Duration{5 * time.Minute, time.Hour, 24 * time.Hour} {
		b.Run(window.String(), func(b *testing.B) {
			rules, layout := fleet(b, window)
			e := New(rules, DefaultOptions())
			const agents = 20
			rng := rand.New(rand.NewPCG(1, 1))
			noise := make([]float64, 4096)
			for i := range noise {
				noise[i] = rng.NormFloat64() * 10
			}
			values := make([]float64, len(layout))
			step := 0
			round := func() {
				now := testStart().Add(time.Duration(step) * 10 * time.Second)
				for i := range values {
					values[i] = float64(step) + noise[(step*7+i)%len(noise)]
				}
				for a := range agents {
					e.Feed(Cycle{Agent: agentNumber(a), Series: layout, Time: now, Values: values}, now)
				}
				e.Advance(now)
				step++
			}
			for range min(int(window/(10*time.Second)), 2000) + 1 { // fill the windows
				round()
			}
			cycles := []Agent{}
			for a := range agents {
				cycles = append(cycles, agentNumber(a))
			}
			b.ResetTimer()
			before := e.Stats().Evaluations
			for range b.N {
				now := testStart().Add(time.Duration(step) * 10 * time.Second)
				for i := range values {
					values[i] = float64(step) + noise[(step*7+i)%len(noise)]
				}
				for a := range cycles {
					e.Feed(Cycle{Agent: cycles[a], Series: layout, Time: now, Values: values}, now)
				}
				e.Advance(now)
				step++
			}
			b.StopTimer()
			samples := float64(b.N) * agents * float64(len(layout))
			s := e.Stats()
			b.ReportMetric(samples/b.Elapsed().Seconds(), "samples/s")
			b.ReportMetric(float64(s.Evaluations-before)/samples, "judged/sample")
			b.ReportMetric(s.BytesPerSeries(), "B/series")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// TestStatsEstimateMemory compares the estimate with the heap.
func TestStatsEstimateMemory(t *testing.T) {
	rules, layout := fleet(t, 10*time.Minute)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	values := make([]float64, len(layout))
	before := heap()
	e := New(rules, DefaultOptions())
	for step := range 100 {
		now := testStart().Add(time.Duration(step) * 10 * time.Second)
		for i := range values {
			values[i] = float64(step * i % 17)
		}
		for a := range 50 {
			e.Feed(Cycle{Agent: agentNumber(a), Series: layout, Time: now, Values: values}, now)
		}
	}
	used := float64(heap() - before)
	s := e.Stats()
	if ratio := float64(s.Bytes) / used; ratio < 0.7 || ratio > 1.4 {
		t.Errorf("estimated %d bytes, the heap grew by %.0f", s.Bytes, used)
	}
	if s.Series != 50*190 || s.Agents != 50 {
		t.Errorf("%+v", s)
	}
	t.Logf("%.0f bytes per series estimated, %.0f used; %d points", s.BytesPerSeries(), used/float64(s.Series), s.Points)
	runtime.KeepAlive(e)
}

// TestWindowsAreBounded: however dense the samples, a window holds a thousand points.
func TestWindowsAreBounded(t *testing.T) {
	rules, layout := fleet(t, 10*time.Second)
	e := New(rules, DefaultOptions())
	values := make([]float64, len(layout))
	for step := range 20_000 {
		now := testStart().Add(time.Duration(step) * time.Millisecond)
		for i := range values {
			values[i] = float64((step*(i+1))%10_007) * float64(1+step%2)
		}
		e.Feed(Cycle{Agent: testAgent(), Series: layout, Time: now, Values: values}, now)
	}
	if s := e.Stats(); s.Points > s.Series*(maxSlots+2) || s.BytesPerSeries() > 100_000 {
		t.Errorf("%+v, %.0f bytes per series", s, s.BytesPerSeries())
	}
}
