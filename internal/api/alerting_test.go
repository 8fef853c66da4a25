package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// rule makes a rule and returns its path.
func (f *fixture) rule(t *testing.T, name string) string {
	t.Helper()
	_, err := f.db.PutAlertRules(t.Context(), fleet.Console("test"), []postgres.AlertRule{{Group: "g", Name: name, YAML: "alert: " + name + "\nseries: x\ncondition: above 1\n"}}, nil)
	must(t, err)
	return "/api/v1/rules/g/" + name
}

// incident makes one that fires, and returns its fingerprint.
func (f *fixture) incident(t *testing.T, agent string) string {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	fp := alerting.Fingerprint("g/Hot", sentinel.AgentID(agent), now.String())
	change := `{"n":1,"labels":{"alertname":"Hot","hostname":"web-1"},"annotations":{"summary":"hot"},"values":{"value":31}}`
	must(t, f.db.NoteChanges(t.Context(), []postgres.IncidentChange{{At: now, From: "inactive", To: "firing", Incident: postgres.Incident{Fingerprint: fp, N: 1,
		Agent: sentinel.AgentID(agent), Hostname: "web-1", Rule: "g/Hot", AlertName: "Hot", Severity: "warning", State: "firing", Reason: "condition_met", StartsAt: now, FiredAt: now, ChangedAt: now, Change: []byte(change)}}}))
	return fp
}

// silence makes one and returns its id.
func (f *fixture) silence(t *testing.T) string {
	t.Helper()
	w := f.ask(t, "operator", "POST", "/api/v1/silences", `{"matchers":["alertname=\"Hot\""],"comment":"works","lasts":"1h"}`)
	var s api.Silence
	must(t, json.Unmarshal(w.Body.Bytes(), &s))
	return s.ID
}

// TestRulesNameLineAndField: what is wrong with a rule is said where it stands.
func TestRulesNameLineAndField(t *testing.T) {
	f := newFixture(t)
	for body, want := range map[string]string{
		`{"yaml":"groups:\n- name: g\n  rules:\n  - alert: A\n    series: x\n    condition: above\n"}`:                              "6",
		`{"yaml":"groups:\n- name: g\n  rules:\n  - alert: A\n    series: x\n    condition: above 1\n    foor: 5m\n"}`:              "foor",
		`{"yaml":"groups:\n- name: g\n  rules:\n  - alert: A\n    series: x\n    condition: above 1\n    severity: catastrophe\n"}`: `yaml:7: alert \"A\": severity:`,
	} {
		w := f.ask(t, "operator", "POST", "/api/v1/rules", body)
		wantProblem(t, w, 422, "body.yaml")
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s does not name %s", w.Body, want)
		}
	}
	wantProblem(t, f.ask(t, "operator", "PUT", "/api/v1/rules/g/B", `{"yaml":"{alert: A, series: x, condition: above 1}"}`), 422, "body.yaml")
	if rows, _, err := f.db.AlertRules(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("%d rules were kept: %v", len(rows), err)
	}
}

// TestApplyingPrunesAndKeepsVersions: a rule whose text is the same keeps its version.
func TestApplyingPrunesAndKeepsVersions(t *testing.T) {
	f := newFixture(t)
	file := func(bound, rest string) string {
		raw, err := json.Marshal(api.RuleFile{YAML: "groups: [{name: g, rules: [{alert: A, series: x, condition: above " + bound + "}" + rest + "]}]", Prune: true})
		must(t, err)
		return string(raw)
	}
	apply := func(body string) (out api.RuleList) {
		w := f.ask(t, "operator", "POST", "/api/v1/rules", body)
		if w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		must(t, json.Unmarshal(w.Body.Bytes(), &out))
		return out
	}
	first := apply(file("1", ", {alert: B, series: y, condition: below 0}"))
	f.rule(t, "other") // of the same group: pruned
	second := apply(file("1", ""))
	third := apply(file("2", ""))
	if len(first.Rules) != 2 || len(second.Rules) != 1 || second.Rules[0].Version != first.Rules[0].Version || third.Rules[0].Version == first.Rules[0].Version {
		t.Errorf("versions: %+v, %+v, %+v", first, second, third)
	}
	rows, _, err := f.db.AlertRules(t.Context())
	must(t, err)
	if len(rows) != 1 {
		t.Errorf("%d rules are left, want 1", len(rows))
	}
	versions, err := f.db.AlertRuleVersions(t.Context(), "g", "A")
	must(t, err)
	if len(versions) != 2 {
		t.Errorf("%d versions are known, want 2", len(versions))
	}
}

// TestP20NotificationSecretsAreNeverShown: not by the interface, not in the database.
func TestP20NotificationSecretsAreNeverShown(t *testing.T) {
	f := newFixture(t)
	yaml := "route: {receiver: a} # to ops\nreceivers:\n- name: a\n  webhook:\n  - {url: \"https://hooks.example/quietplace\", secret: tops3cret}\n  telegram:\n  - {token: \"12:to\\x6ben\", chat_id: \"5\"}\n"
	raw, err := json.Marshal(api.NewNotificationConfig{YAML: yaml})
	must(t, err)
	for _, ask := range [][]string{{"PUT", "/api/v1/notifications/config", string(raw)}, {"GET", "/api/v1/notifications/config", ""}, {"GET", "/api/v1/notifications/receivers", ""}} {
		w := f.ask(t, "admin", ask[0], ask[1], ask[2])
		if w.Code != 200 {
			t.Fatalf("%d %s %s", w.Code, w.Body, f.log)
		}
		for _, secret := range []string{"quietplace", "tops3cret", "12:token", "to\\\\x6ben"} {
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s %s shows %s: %s", ask[0], ask[1], secret, w.Body)
			}
		}
	}
	row, err := f.db.NotificationConfig(t.Context())
	must(t, err)
	if strings.Contains(string(row.Sealed), "tops3cret") {
		t.Error("the file lies in the database in clear")
	}
	var cfg api.NotificationConfig
	must(t, json.Unmarshal(f.ask(t, "viewer", "GET", "/api/v1/notifications/config", "").Body.Bytes(), &cfg))
	again, err := json.Marshal(api.NewNotificationConfig{YAML: cfg.YAML})
	must(t, err)
	wantProblem(t, f.ask(t, "admin", "PUT", "/api/v1/notifications/config", string(again)), 422, "body.yaml")
	stale, err := json.Marshal(map[string]any{"yaml": yaml, "version": 7})
	must(t, err)
	wantProblem(t, f.ask(t, "admin", "PUT", "/api/v1/notifications/config", string(stale)), 409, "")
}
