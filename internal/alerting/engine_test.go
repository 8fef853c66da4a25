package alerting

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// cycle is one of the agent ag-1 with the gauges a, b, c, … of these values.
func cycle(t time.Time, values ...float64) Cycle {
	var layout sentinel.Layout
	for i := range values {
		layout = append(layout, sentinel.NewSeries(string(rune('a'+i)), sentinel.Gauge, ""))
	}
	return Cycle{Agent: testAgent(), Layout: sentinel.LayoutHash{byte(len(values))}, Series: layout, Time: t, Values: values}
}

// story feeds a value every 10 seconds and collects what is said, as "40s firing".
func story(t *testing.T, rule string, values string) string {
	t.Helper()
	e := New(mustRules(t, "groups: [{name: g, rules: ["+rule+"]}]"), DefaultOptions())
	list, err := expand(values)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for i, v := range list {
		now := testStart().Add(time.Duration(i) * 10 * time.Second)
		for _, tr := range append(e.Feed(cycle(now, v), now), e.Advance(now)...) {
			if tr.From != tr.To {
				said = append(said, sentinel.FormatDuration(now.Sub(testStart()))+" "+string(tr.To))
			}
		}
	}
	return strings.Join(said, ", ")
}

// TestKinds shows each kind's course on a short series, one value every 10 s.
func TestKinds(t *testing.T) {
	for _, tt := range []struct{ name, rule, values, want string }{
		{"last", `{alert: x, series: a, condition: above 5}`, "1 6 5 6 6 1", "10s firing, 20s resolved, 30s firing, 50s resolved"},
		{"for", `{alert: x, series: a, condition: above 5, for: 20s}`, "6 6 1 6 6 6 6 1", "0s pending, 20s inactive, 30s pending, 50s firing, 1m10s resolved"},
		{"keep firing", `{alert: x, series: a, condition: above 5, keep_firing_for: 20s}`, "6 1 1 6 1 1 1 1", "0s firing, 1m resolved"},
		{"recovery", `{alert: x, series: a, condition: above 5, recovery: below 3}`, "6 4 4 6 4 2 4", "0s firing, 50s resolved"},
		{"avg waits for its window", `{alert: x, series: a, function: avg, window: 30s, condition: above 5}`, "9 9 9 9 0 0 0", "30s firing, 50s resolved"},
		{"min", `{alert: x, series: a, function: min, window: 30s, condition: above 5}`, "9x3 1 9x5", "30s firing, 40s resolved, 1m10s firing"},
		{"min below is certain at once", `{alert: x, series: a, function: min, window: 30s, condition: below 5}`, "1 9x5", "0s firing, 30s resolved"},
		{"max above is certain at once", `{alert: x, series: a, function: max, window: 30s, condition: above 5}`, "9 1x5", "0s firing, 30s resolved"},
		{"p95", `{alert: x, series: a, function: p95, window: 200s, condition: above 5}`, "1x30 9x3 1x20", "5m20s firing, 8m50s resolved"},
		{"rate", `{alert: x, series: a, function: rate, window: 30s, condition: above 1.5}`, "0+10x5 70+20x3 130+0x3", "1m10s firing, 1m40s resolved"},
		{"rate after a reset", `{alert: x, series: a, function: rate, window: 30s, condition: above 1.5}`, "1000+10x5 5+10x5", ""},
		{"increase", `{alert: x, series: a, function: increase, window: 30s, condition: above 0}`, "7 7 8 8 8 8 8 8", "20s firing, 40s resolved"},
		{"delta", `{alert: x, series: a, function: delta, window: 30s, condition: below -5}`, "9x4 2 2 2 2", "50s firing, 1m10s resolved"},
		{"forecast", `{alert: x, kind: forecast, series: a, window: 1m, ahead: 10m, condition: below 0}`, "100-2x10 80x12", "1m firing, 2m resolved"},
		{"anomaly", `{alert: x, kind: anomaly, series: a, window: 10m, min_history: 100s, condition: above 6}`, "10 11 9 10 11 9 10 11 9 10 11 10 99 10", "2m firing, 2m10s resolved"},
		{"anomaly without history", `{alert: x, kind: anomaly, series: a, window: 10m, min_history: 100s, condition: above 6}`, "10 11 9 99 10", ""},
		{"absence", `{alert: x, kind: absence, series: a, window: 30s}`, "1 1 _x6 1 1", "40s firing, 1m20s resolved"},
		{"not at all", `{alert: x, series: zzz, condition: above 5}`, "9x9", ""},
		{"other agents", `{alert: x, series: a, agents: '{site="ams"}', condition: above 5}`, "9x9", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := story(t, tt.rule, tt.values); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestRatioAndDifference(t *testing.T) {
	e := New(mustRules(t, `groups: [{name: g, rules: [
  {alert: ratio, series: a, divided_by: b, condition: below 0.1, annotations: {d: "{{ value | ratio }} of {{ labels.hostname }}"}},
  {alert: diff, series: b, minus: a, condition: above 90}]}]`), DefaultOptions())
	got := e.Feed(cycle(testStart(), 5, 100), testStart())
	if len(got) != 2 || got[0].Annotations["d"] != "5% of web-1" || got[1].Value != 95 {
		t.Errorf("got %+v", got)
	}
	if got := e.Feed(cycle(testStart().Add(time.Second), 5, 0), testStart()); len(got) != 1 || got[0].Labels["alertname"] != "diff" {
		t.Errorf("a division by zero is no sample: got %v", summary(got))
	}
}

// TestReasons tells the ways apart in which samples stay out.
func TestReasons(t *testing.T) {
	rules := `groups: [{name: g, rules: [
  {alert: hot, series: node_load1, condition: above 5},
  {alert: silent, kind: absence, window: 5m}]}]`
	layout := sentinel.Layout{sentinel.NewSeries("node_load1", sentinel.Gauge, ""),
		sentinel.NewSeries("node_scrape_collector_success", sentinel.Gauge, "", "collector", "load")}
	nan := sentinel.Absent()
	for _, tt := range []struct {
		name string
		// then is called every 10 s for 20 min after the incident fired.
		then func(e *Engine, c Cycle, now time.Time) []Transition
		want string
	}{
		{"agent dead", func(e *Engine, c Cycle, now time.Time) []Transition {
			return e.SetPresence(Presence{Agent: c.Agent}, now)
		}, "silent firing agent_silent, hot unknown agent_silent"},
		{"agent wedged", func(e *Engine, c Cycle, now time.Time) []Transition {
			return e.SetPresence(Presence{Agent: c.Agent, Connected: true}, now)
		}, "hot unknown agent_stalled"},
		{"backlog announced", func(e *Engine, c Cycle, now time.Time) []Transition {
			return e.SetPresence(Presence{Agent: c.Agent, Connected: true, Backlog: true}, now)
		}, "hot unknown backlog"},
		{"backlog arrives", func(e *Engine, c Cycle, now time.Time) []Transition {
			c.Time = c.Time.Add(-time.Hour)
			return e.Feed(c, now)
		}, "hot unknown backlog"},
		{"collector fails", func(e *Engine, c Cycle, now time.Time) []Transition {
			c.Values = []float64{nan, 0}
			return e.Feed(c, now)
		}, "hot unknown collector_failed"},
		{"device removed", func(e *Engine, c Cycle, now time.Time) []Transition {
			c.Values = []float64{nan, 1}
			return e.Feed(c, now)
		}, "hot resolved series_gone"},
		{"clock far ahead", func(e *Engine, c Cycle, now time.Time) []Transition {
			c.Time = now.Add(time.Hour)
			return e.Feed(c, now)
		}, "hot unknown clock_wrong"},
		{"clock set back", func(e *Engine, c Cycle, now time.Time) []Transition {
			c.Time = c.Time.Add(-6 * time.Minute)
			return e.Feed(c, now)
		}, ""}, // it is past the watermark again before patience ends
		{"all is well", func(e *Engine, c Cycle, now time.Time) []Transition { return e.Feed(c, now) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := New(mustRules(t, rules), DefaultOptions())
			var said []string
			for i := range 300 {
				now := testStart().Add(time.Duration(i) * 10 * time.Second)
				c := Cycle{Agent: testAgent(), Series: layout, Time: now, Values: []float64{9, 1}}
				var got []Transition
				if i < 180 {
					got = e.Feed(c, now)
				} else if tt.name == "backlog arrives" && i < 181+360 && c.Time.Add(-time.Hour).Before(testStart().Add(1800*time.Second)) {
					c.Time = testStart().Add(1800*time.Second + time.Duration(i-180)*time.Second)
					got = e.Feed(c, now) // falls behind more and more
				} else {
					got = tt.then(e, c, now)
				}
				for _, tr := range append(got, e.Advance(now)...) {
					if i >= 180 && tr.From != tr.To {
						said = append(said, tr.Labels["alertname"]+" "+string(tr.To)+" "+string(tr.Reason))
					}
				}
			}
			if got := strings.Join(said, ", "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestNetworkBack: an agent that was cut off says so when it is back.
func TestNetworkBack(t *testing.T) {
	for _, backlog := range []bool{false, true} {
		e := New(mustRules(t, `groups: [{name: g, rules: [{alert: silent, kind: absence, window: 1m}]}]`), DefaultOptions())
		e.SetPresence(Presence{Agent: testAgent(), Connected: true}, testStart())
		e.SetPresence(Presence{Agent: testAgent()}, testStart())
		for i := range 12 {
			e.Advance(testStart().Add(time.Duration(i) * 10 * time.Second))
		}
		got := e.SetPresence(Presence{Agent: testAgent(), Connected: true, Backlog: backlog}, testStart().Add(2*time.Minute))
		want := AgentBack
		if backlog {
			want = NetworkBack
		}
		if len(got) != 1 || got[0].To != Resolved || got[0].Reason != want {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
}

func TestSetRules(t *testing.T) {
	const hot, wet = `{alert: hot, series: a, condition: above 5, for: 20s}`, `{alert: wet, series: a, condition: above 5}`
	rules := func(list ...string) *RuleSet {
		return mustRules(t, "groups: [{name: g, rules: ["+strings.Join(list, ", ")+"]}]")
	}
	e := New(rules(hot, wet), DefaultOptions())
	feed := func(i int) []string {
		now := testStart().Add(time.Duration(i) * 10 * time.Second)
		return summaryShort(e.Feed(cycle(now, 9), now))
	}
	expect := func(got []string, want string) {
		t.Helper()
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("got %s, want %s", s, want)
		}
	}
	expect(feed(0), "hot pending condition_met, wet firing condition_met")
	// Another severity and another rule's condition leave a pending rule alone.
	expect(summaryShort(e.SetRules(rules(strings.Replace(hot, "for:", "severity: critical, for:", 1), strings.Replace(wet, "5", "7", 1)), testStart())), "wet resolved rule_changed")
	expect(feed(1), "wet firing condition_met")
	expect(summaryShort(e.SetRules(rules(hot), testStart())), "wet resolved rule_removed")
	expect(feed(2), "hot firing condition_met")
	expect(summaryShort(e.SetRules(rules(strings.Replace(hot, "series", `agents: '{site="ams"}', series`, 1)), testStart())), "hot resolved not_matching")
	expect(feed(3), "")
}

func TestAgentRelabelledOrRemoved(t *testing.T) {
	e := New(mustRules(t, `groups: [{name: g, rules: [{alert: hot, agents: '{site="fra"}', series: a, condition: above 5}]}]`), DefaultOptions())
	c := cycle(testStart(), 9)
	if got := summaryShort(e.Feed(c, c.Time)); len(got) != 1 {
		t.Fatal(got)
	}
	moved := c
	moved.Agent.Labels, moved.Series, moved.Time = nil, nil, c.Time.Add(time.Second)
	if got := summaryShort(e.Feed(moved, c.Time)); len(got) != 1 || got[0] != "hot resolved not_matching" {
		t.Fatal(got)
	}
	c.Time, c.Series = c.Time.Add(2*time.Second), nil
	if got := summaryShort(e.Feed(c, c.Time)); len(got) != 1 || got[0] != "hot firing condition_met" {
		t.Fatal(got)
	}
	if got := summaryShort(e.SetPresence(Presence{Agent: c.Agent, Removed: true}, c.Time)); len(got) != 1 || got[0] != "hot resolved agent_removed" {
		t.Fatal(got)
	}
	if s := e.Stats(); s.Agents != 0 || s.Series != 0 {
		t.Errorf("%+v is left", s)
	}
}

func summaryShort(list []Transition) (out []string) {
	for _, tr := range list {
		out = append(out, tr.Labels["alertname"]+" "+string(tr.To)+" "+string(tr.Reason))
	}
	return out
}

func TestSeriesAreBounded(t *testing.T) {
	e := New(mustRules(t, `groups: [{name: g, rules: [{alert: many, series: '{__name__=~".+"}', condition: above 5, max_series: 2}]}]`), DefaultOptions())
	c := cycle(testStart(), 9, 9, 9, 9)
	if got := e.Feed(c, c.Time); len(got) != 2 || e.Stats().Refused != 2 {
		t.Errorf("got %d transitions, %+v", len(got), e.Stats())
	}
	c.Values = c.Values[:3]
	c.Time = c.Time.Add(time.Second)
	if got := e.Feed(c, c.Time); got != nil || e.Stats().Malformed != 1 {
		t.Errorf("got %v, %+v", got, e.Stats())
	}
}

// TestP23LayoutsAreBounded: an agent that sends a new layout each time costs no more
// than a bounded number of them.
func TestP23LayoutsAreBounded(t *testing.T) {
	e := New(mustRules(t, `groups: [{name: g, rules: [{alert: any, series: '{__name__=~".+"}', function: avg, window: 1h, condition: above 5}]}]`), DefaultOptions())
	for i := range 5000 {
		now := testStart().Add(time.Duration(i) * time.Second)
		e.Feed(Cycle{Agent: testAgent(), Layout: sentinel.LayoutHash{byte(i), byte(i >> 8)}, Time: now, Values: []float64{1, 1}, Series: sentinel.Layout{
			sentinel.NewSeries("a", sentinel.Gauge, "", "n", fmt.Sprint(i)),
			sentinel.NewSeries("node_scrape_collector_success", sentinel.Gauge, "", "collector", fmt.Sprint(i))}}, now)
	}
	a := e.agents["ag-1"]
	if len(a.streams) > maxStreams || len(a.instances) > 3*maxStreams || len(a.collectors) > maxStreams {
		t.Errorf("%d layouts, %d series and %d collectors are held", len(a.streams), len(a.instances), len(a.collectors))
	}
}

// TestDenseWindows: where samples share a point, avg is over all of them, and
// extremes are kept.
func TestDenseWindows(t *testing.T) {
	for _, fn := range []Function{Avg, Min, Max, P95, Increase} {
		r := &Rule{Kind: Threshold, Function: fn, Window: 10 * time.Second, Condition: Condition{Above, 1e18}}
		w := &window{}
		rng := rand.New(rand.NewPCG(5, 5))
		var all []point
		counter := 0.0
		for i := range int64(30_000) {
			v := float64(rng.IntN(1000))
			if fn == Increase {
				counter += float64(rng.IntN(3))
				v = counter
			}
			w.push(r, i+1, v)
			all = append(all, point{t: i + 1, v: v})
			if i < 10_000 || i%997 != 0 {
				continue
			}
			var in []float64
			for _, p := range all[i-9_999:] {
				in = append(in, p.v)
			}
			first, last := in[0], in[len(in)-1]
			slices.Sort(in)
			sum := 0.0
			for _, v := range in {
				sum += v
			}
			want := map[Function]float64{Avg: sum / float64(len(in)), Min: in[0], Max: in[len(in)-1], P95: 1000, Increase: last - first}[fn]
			if got := w.answer(r, i+1).value; math.Abs(got-want) > 0.01*math.Max(want, 100) {
				t.Fatalf("%s at %d: got %g, want %g", fn, i, got, want)
			}
		}
	}
}

// TestRuleTestsWithLongIntervals: what is collected once an hour is not unknown between.
func TestRuleTestsWithLongIntervals(t *testing.T) {
	rules := mustRules(t, `groups: [{name: g, rules: [{alert: hot, series: a, condition: above 5, for: 3h}]}]`)
	failures, _, err := RunTestsOn(t.Context(), rules, "t.yml", []byte(`tests: [{interval: 1h, input_series: [{series: a, values: 1 9x20}], alert_rule_test: [
	  {eval_time: 3h30m, alertname: hot}, {eval_time: 4h30m, alertname: hot, exp_alerts: [{exp_labels: {}}]}, {eval_time: 5h30m, alertname: hot, exp_alerts: [{exp_labels: {}}]}]}]`), nil)
	if err != nil || len(failures) > 0 {
		t.Error(failures, err)
	}
}

// TestMetricOfNobodyIsGoneAfterADay: no collector is known to be asked about it.
func TestMetricOfNobodyIsGoneAfterADay(t *testing.T) {
	e := New(mustRules(t, `groups: [{name: g, rules: [{alert: hot, series: a, condition: above 5}]}]`), DefaultOptions())
	var said []string
	for i := range 26 * 60 {
		now := testStart().Add(time.Duration(i) * time.Minute)
		c := cycle(now, 9, 1)
		if i > 0 {
			c.Values[0] = sentinel.Absent()
		}
		for _, tr := range append(e.Feed(c, now), e.Advance(now)...) {
			said = append(said, fmt.Sprintf("%s %s %s", sentinel.FormatDuration(now.Sub(testStart())), tr.To, tr.Reason))
		}
	}
	if got := strings.Join(said, ", "); got != "0s firing condition_met, 11m unknown collector_failed, 24h1m resolved series_gone" {
		t.Error(got)
	}
}
