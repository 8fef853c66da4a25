package alerts_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/pack"
	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/query"
)

// What follows has the fields that clients of Prometheus' interface read, Grafana among
// them.
type (
	readAlert struct {
		Labels, Annotations map[string]string
		State, Value        string
		ActiveAt            time.Time
	}
	readRule struct {
		Type, State, Name, Query, Health, LastError string
		Duration, KeepFiringFor, EvaluationTime     float64
		LastEvaluation                              time.Time
		Labels, Annotations                         map[string]string
		Alerts                                      []readAlert
	}
	readRules struct {
		Groups []struct {
			Name, File string
			Interval   float64
			Rules      []readRule
		}
	}
)

// TestPrometheusRulesAndAlerts reads as clients of Prometheus do what fires, what waits,
// and how an expression is answered.
func TestPrometheusRulesAndAlerts(t *testing.T) {
	r := newRig(t, 2, postgrestest.URL(t))
	r.rules(hotRule + `  - {alert: Warm, series: temperature, condition: above 25, for: 1h}
- name: fleet
  rules:
  - {alert: Many, expr: "count(temperature > 20) >= 1", interval: 1s, labels: {team: web}, annotations: {summary: "{{ $value }} hosts"}}
  - {alert: Wrong, expr: "temperature * on (nothing) group_left load", interval: 1s}
`)
	for i := range r.agents {
		r.store(i, time.Now(), 35, 1)
	}
	r.work()
	r.ready()
	now := time.Now()
	r.send(0, now, 20, 1)
	r.send(1, now, 35, 1)
	engine := query.New(r.db, query.DefaultLimits(), slog.New(slog.DiscardHandler))
	h := query.HTTP{Engine: engine, Metadata: r.db, Rules: alerts.Prometheus{Desk: alerts.NewDesk(r.db, r.vault, r.b, engine)}, Version: "test", Log: slog.New(slog.DiscardHandler)}.Handler()
	ask := func(target string, into any) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, query.Prefix+"/api/v1"+target, nil))
		answer := struct {
			Status string
			Data   any
		}{Data: into}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Status != "success" {
			t.Fatalf("%s: %d %s: %v", target, w.Code, w.Body, err)
		}
	}
	var all readRules
	find := func(name string) (out readRule) {
		for _, g := range all.Groups {
			for _, one := range g.Rules {
				if one.Name == name && one.Type == "alerting" {
					out = one
				}
			}
		}
		return out
	}
	waitFor(t, 30*time.Second, "the rules do not say how they stand", func() bool {
		all = readRules{}
		ask("/rules", &all)
		return find("Hot").State == "firing" && find("Warm").State == "pending" && find("Many").State == "firing" && find("Wrong").Health == "err"
	})
	if len(all.Groups) != 2 || all.Groups[0].Name != "fleet" || all.Groups[0].Interval != 1 || len(all.Groups[1].Rules) != 2 {
		t.Errorf("groups %+v", all.Groups)
	}
	hot := find("Hot")
	if hot.Query != "temperature > 30" || hot.Health != "ok" || hot.Labels["severity"] != "critical" || len(hot.Alerts) != 1 {
		t.Errorf("Hot is %+v", hot)
	}
	a := hot.Alerts[0]
	if a.State != "firing" || a.Value != "3.5e+01" || a.Labels["hostname"] != "host-1" || a.Annotations["summary"] != "host-1: 35 degrees" || a.ActiveAt.Sub(now.Truncate(time.Millisecond)).Abs() > time.Millisecond {
		t.Errorf("the alert is %+v", a)
	}
	if warm := find("Warm"); warm.Duration != 3600 || warm.Alerts[0].State != "pending" {
		t.Errorf("Warm is %+v", warm)
	}
	if many := find("Many"); many.Query != "count(temperature > 20) >= 1" || many.Alerts[0].Annotations["summary"] != "2 hosts" || many.Alerts[0].Labels["team"] != "web" {
		t.Errorf("Many is %+v", many)
	}
	if wrong := find("Wrong"); wrong.LastError == "" || wrong.State != "inactive" {
		t.Errorf("Wrong is %+v", wrong)
	}
	var list struct{ Alerts []readAlert }
	ask("/alerts", &list)
	var names []string
	for _, one := range list.Alerts {
		names = append(names, one.Labels["alertname"]+" "+one.State)
	}
	slices.Sort(names)
	if want := []string{"Hot firing", "Many firing", "Warm pending"}; !slices.Equal(names, want) {
		t.Errorf("alerts %v, want %v", names, want)
	}
	all = readRules{}
	ask("/rules?type=alert&rule_name[]=Hot&exclude_alerts=true", &all)
	if len(all.Groups) != 1 || len(all.Groups[0].Rules) != 1 || len(find("Hot").Alerts) != 0 || find("Hot").State != "firing" {
		t.Errorf("asked for one without alerts: %+v", all.Groups)
	}
	all = readRules{}
	ask("/rules?type=record", &all)
	if len(all.Groups) != 0 {
		t.Errorf("recording rules: %+v", all.Groups)
	}
}

// TestRulesInPromQL are expressions that the query engine takes.
func TestRulesInPromQL(t *testing.T) {
	rules, err := pack.Rules()
	must(t, err)
	mixed, err := alerts.Rows("mixed", []byte(mixedRules+`  - {alert: ratio, series: 'a{b="c"}', divided_by: d, function: avg, window: 90s, condition: below 0.1}
  - {alert: quiet, kind: absence, window: 5m}
`))
	must(t, err)
	want := map[string]string{"last": "temperature > 60", "p95": "quantile_over_time(0.95, load[2m]) > 80", "delta": "abs(delta(load[1m])) > 40",
		"full": "predict_linear(temperature[2m], 300) > 120", "gone": "absent_over_time(load[40s])", "ratio": `avg_over_time((a{b="c"} / d{b="c"})[1m30s:]) < 0.1`,
		"odd": "load # ", "quiet": "vector(0) # agent absent for 5m"}
	for _, row := range mixed {
		one, err := alerting.ParseRule(row.Name, row.Group, []byte(row.YAML))
		must(t, err)
		if text, ok := want[row.Name]; ok && !strings.HasPrefix(one.PromQL(), text) {
			t.Errorf("%s is %s, want %s", row.Name, one.PromQL(), text)
		}
		rules.Rules = append(rules.Rules, one)
	}
	for _, one := range rules.Rules {
		if err := query.CheckAlert(one.PromQL()); err != nil {
			t.Errorf("%s: %s: %v", one.ID(), one.PromQL(), err)
		}
	}
}
