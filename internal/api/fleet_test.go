package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// measure stores cycles of what a host says of itself, one for each value.
func (f *fixture) measure(t *testing.T, hostname string, start time.Time, every time.Duration, cpu ...float64) postgres.Agent {
	t.Helper()
	cred, err := f.registry.Register(t.Context(), hostname, []sentinel.Label{{Name: "site", Value: "fra"}})
	must(t, err)
	a, err := f.db.AgentByName(t.Context(), cred.Agent)
	must(t, err)
	layout := sentinel.Layout{sentinel.NewSeries("node_load1", sentinel.Gauge, ""), sentinel.NewSeries("sentinel_host_cpu_used_percent", sentinel.Gauge, "percent"),
		sentinel.NewSeries("sentinel_host_memory_used_percent", sentinel.Gauge, "percent")}
	id, err := f.db.EnsureLayout(t.Context(), a.ID, sentinel.LayoutHash{2}, []byte("host"), layout)
	must(t, err)
	b := postgres.Batch{Agent: a.ID, AgentName: a.Name, Epoch: 8, First: 1, Count: uint32(len(cpu)), LayoutID: id, Envelope: []byte("e"), Received: time.Now()}
	for i, v := range cpu {
		b.Cycles = append(b.Cycles, sentinel.Cycle{Time: start.Add(time.Duration(i) * every), Values: []float64{2, v, 50}})
		b.Digests = append(b.Digests, uint64(i))
	}
	_, err = f.db.Commit(t.Context(), []postgres.Batch{b}, nil)
	must(t, err)
	for done := false; !done; {
		stats, err := f.db.Rollup(t.Context(), time.Now())
		must(t, err)
		done = stats.Done
	}
	return a
}

func TestFleet(t *testing.T) {
	f := newFixture(t)
	now := time.Now()
	start := now.Truncate(5 * time.Minute).Add(-40 * time.Minute)
	var cpu []float64
	for at := start; at.Before(now); at = at.Add(30 * time.Second) {
		v := float64(at.Sub(start) / time.Minute)
		if v >= 10 && v < 20 {
			v = sentinel.Absent()
		}
		cpu = append(cpu, v)
	}
	a := f.measure(t, "web-1", start, 30*time.Second, cpu...)
	_, err := f.registry.Register(t.Context(), "new", nil)
	must(t, err)
	var got api.Fleet
	must(t, json.Unmarshal(f.ask(t, "viewer", http.MethodGet, "/api/v1/fleet", "").Body.Bytes(), &got))
	if len(got.Hosts) != 2 || got.Count["never seen"] != 2 || got.Hosts[0].ID != string(a.Name) || got.Hosts[0].Labels["site"] != "fra" {
		t.Fatalf("the fleet is %+v", got)
	}
	h := got.Hosts[0]
	if h.CPU == nil || *h.CPU != cpu[len(cpu)-1] || *h.Memory != 50 || *h.Load1 != 2 || h.Disk != nil || h.At == nil || now.Sub(*h.At) > time.Minute {
		t.Errorf("the host is %+v", h)
	}
	if got.Hosts[1].CPU != nil || got.Hosts[1].Spark != nil {
		t.Errorf("a host without samples has %+v", got.Hosts[1])
	}
	// The last minute before each step's end, or nothing.
	for i, v := range h.Spark {
		minutes := got.Time.Add(-time.Duration(len(h.Spark)-1-i) * 5 * time.Minute).Sub(start).Minutes()
		switch want := minutes - 1; {
		case minutes <= 0 || minutes > 10 && minutes <= 20:
			if v != nil {
				t.Errorf("at %v minutes the line has %v, want a gap", minutes, *v)
			}
		case v == nil || *v != want && *v != want+1:
			t.Errorf("at %v minutes the line has %v, want %v", minutes, v, want)
		}
	}
	must(t, json.Unmarshal(f.ask(t, "viewer", http.MethodGet, "/api/v1/fleet?search=NEW&label=site!=fra", "").Body.Bytes(), &got))
	if len(got.Hosts) != 1 || got.Hosts[0].Hostname != "new" {
		t.Errorf("selected is %+v", got)
	}
}

func TestGraph(t *testing.T) {
	f := newFixture(t)
	start := time.Now().Truncate(time.Hour).Add(-3 * time.Hour)
	var cpu []float64
	for i := range 360 { // two hours, with a gap of a quarter of one
		if v := float64(i % 100); i >= 120 && i < 165 {
			cpu = append(cpu, sentinel.Absent())
		} else {
			cpu = append(cpu, v)
		}
	}
	a := f.measure(t, "web-1", start, 20*time.Second, cpu...)
	graph := func(to time.Duration, points int) api.Graph {
		t.Helper()
		q := url.Values{"match": {`sentinel_host_cpu_used_percent{instance="web-1"}`}, "from": {start.Format(time.RFC3339)}, "to": {start.Add(to).Format(time.RFC3339)}, "points": {fmt.Sprint(points)}}
		w := f.ask(t, "viewer", http.MethodGet, "/api/v1/graph?"+q.Encode(), "")
		var g api.Graph
		must(t, json.Unmarshal(w.Body.Bytes(), &g))
		if len(g.Series) != 1 || g.Series[0].Labels["agent"] != string(a.Name) || len(g.Series[0].Min) != g.Steps || g.Steps > points {
			t.Fatalf("%d %.300s", w.Code, w.Body)
		}
		return g
	}
	for _, c := range []struct {
		to     time.Duration
		points int
		step   time.Duration
	}{{2 * time.Hour, 13, 10 * time.Minute}, {2 * time.Hour, 121, time.Minute}, {2 * time.Hour, 4000, 2 * time.Second}, {time.Hour, 100, time.Minute}, {3 * time.Hour, 4, time.Hour}} {
		g := graph(c.to, c.points)
		if g.Step != c.step.Seconds() || !g.From.Equal(start) {
			t.Errorf("%d points for %s: from %s, step %v, want %s", c.points, c.to, g.From, g.Step, c.step)
		}
		for j := range g.Steps {
			low, high, sum, n := 0.0, 0.0, 0.0, 0.0
			for i, v := range cpu {
				if at := time.Duration(i) * 20 * time.Second; at >= time.Duration(j)*c.step && at < time.Duration(j+1)*c.step && !sentinel.IsAbsent(v) {
					if n == 0 {
						low, high = v, v
					}
					low, high, sum, n = min(low, v), max(high, v), sum+v, n+1
				}
			}
			s := g.Series[0]
			if n == 0 {
				if s.Min[j] != nil || s.Max[j] != nil || s.Avg[j] != nil {
					t.Errorf("step %d of %s has values in a gap", j, c.step)
				}
				continue
			}
			if s.Min[j] == nil || *s.Min[j] != low || *s.Max[j] != high || *s.Avg[j] != sum/n {
				t.Errorf("step %d of %s: %v %v %v, want %v %v %v", j, c.step, s.Min[j], s.Max[j], s.Avg[j], low, high, sum/n)
			}
		}
	}
	// The database was new when these samples came: all of them came late.
	if g := graph(time.Hour, 100); len(g.Late) != 1 || g.Late[0].Agent != string(a.Name) || !g.Late[0].From.Equal(start) || g.Late[0].To.Sub(start) != 2*time.Hour ||
		time.Since(g.Late[0].NotedAt) > time.Minute {
		t.Errorf("late: %+v", g.Late)
	}
	for target, field := range map[string]string{
		"?match=" + url.QueryEscape("sum(x)"): "", "?match={": "", "?match=": "query.match", "?match=x&points=0": "query.points", "?match=x&points=5000": "query.points",
		"?match=x&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "query.from", "?match=" + url.QueryEscape("{}"): "",
	} {
		wantProblem(t, f.ask(t, "viewer", http.MethodGet, "/api/v1/graph"+target, ""), http.StatusUnprocessableEntity, field)
	}
}

func TestLateStretchesAreJoinedByStep(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(agent string, since, until, noted int) postgres.LateData {
		minutes := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
		return postgres.LateData{Agent: sentinel.AgentID(agent), Since: minutes(since), Until: minutes(until), NotedAt: minutes(noted)}
	}
	list := []postgres.LateData{at("a", 0, 10, 30), at("b", 3, 4, 30), at("a", 5, 8, 40), at("a", 12, 13, 50), at("a", 20, 21, 60)}
	for step, want := range map[time.Duration]string{
		time.Minute: "a 0-10/40 b 3-4/30 a 12-13/50 a 20-21/60", 5 * time.Minute: "a 0-13/50 b 3-4/30 a 20-21/60", time.Hour: "a 0-21/60 b 3-4/30",
	} {
		var got []string
		for _, l := range api.JoinLate(list, step) {
			got = append(got, fmt.Sprintf("%s %v-%v/%v", l.Agent, l.From.Sub(start).Minutes(), l.To.Sub(start).Minutes(), l.NotedAt.Sub(start).Minutes()))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("step %s: %s, want %s", step, strings.Join(got, " "), want)
		}
	}
}
