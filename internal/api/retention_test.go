package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/postgres"
)

// Raw samples of two days, three and ten days ago, and of today.
func TestRetentionAsksBeforeItDrops(t *testing.T) {
	f := newFixture(t)
	now := time.Now().UTC()
	for _, age := range []int{10, 3, 0} {
		f.measure(t, "web", now.Add(-time.Duration(age)*24*time.Hour).Add(-time.Minute), 20*time.Second, 1, 2, 3)
	}
	const dayLong = 24 * time.Hour
	_, err := f.db.ConfigureRetention(t.Context(), postgres.Retention{Raw: 30 * dayLong, Minute: 90 * dayLong, Hour: 730 * dayLong})
	must(t, err)
	ask := func(method, target, body string) (api.Retention, int, string) {
		t.Helper()
		w := f.ask(t, "admin", method, "/api/v1/retention"+target, body)
		var r api.Retention
		if w.Code == http.StatusOK {
			must(t, json.Unmarshal(w.Body.Bytes(), &r))
		}
		return r, w.Code, w.Body.String()
	}

	r, _, _ := ask(http.MethodGet, "", "")
	if len(r.Tiers) != 3 || r.Tiers[0].Days != 30 || *r.Tiers[1].ConfiguredDays != 90 || r.Tiers[2].ChosenDays != nil || r.Tiers[0].Drops != nil ||
		r.Tiers[0].Oldest == nil || now.Sub(*r.Tiers[0].Oldest) < 9*dayLong || r.Tiers[0].Bytes <= 0 || r.Bytes < r.Tiers[0].Bytes || r.DatabaseBytes < r.Bytes || r.ChangedAt != nil {
		t.Errorf("before any change: %+v", r)
	}
	r, _, _ = ask(http.MethodGet, "?raw=5", "")
	if d := r.Tiers[0].Drops; r.Tiers[0].Days != 5 || d == nil || d.Parts != 1 || d.Bytes <= 0 || now.Sub(d.Before) < 5*dayLong || r.ChangedAt != nil {
		t.Errorf("what five days would be: %+v", r)
	}
	_, code, text := ask(http.MethodPut, "", `{"raw_days":2}`)
	if code != http.StatusConflict || !strings.Contains(text, "this removes samples from before ") {
		t.Errorf("without being told to drop: %d %s", code, text)
	}
	for body, field := range map[string]string{`{"raw_days":0.5}`: "body.raw_days", `{"raw_days":91}`: "body.minute_days", `{"minute_days":20}`: "body.minute_days", `{"hour_days":40000}`: "body.hour_days"} {
		wantProblem(t, f.ask(t, "admin", http.MethodPut, "/api/v1/retention", body), http.StatusUnprocessableEntity, field)
	}
	if r, _, _ = ask(http.MethodGet, "", ""); r.Tiers[0].Days != 30 {
		t.Errorf("what was refused holds: %+v", r)
	}

	r, code, text = ask(http.MethodPut, "", `{"raw_days":2,"drop":true}`)
	if code != http.StatusOK || r.Tiers[0].Days != 2 || *r.Tiers[0].ChosenDays != 2 || *r.Tiers[0].ConfiguredDays != 30 || r.ChangedAt == nil || r.Tiers[0].Drops.Parts != 2 {
		t.Fatalf("%d %s", code, text)
	}
	if _, code, text = ask(http.MethodPut, "", `{"raw_days":2,"minute_days":100}`); code != http.StatusOK { // drops no more than what holds does
		t.Errorf("longer: %d %s", code, text)
	}
	state, err := f.db.ConfigureRetention(t.Context(), postgres.Retention{Raw: 30 * dayLong, Minute: 90 * dayLong, Hour: 730 * dayLong}) // as a worker does
	must(t, err)
	stats, err := f.db.Maintain(t.Context(), now, state.Holds())
	must(t, err)
	dropped := slices.DeleteFunc(stats.Dropped, func(name string) bool { return !strings.HasPrefix(name, "scrapes_p") })
	if len(dropped) != 2 {
		t.Errorf("maintenance drops %v", dropped)
	}
	if r, _, _ = ask(http.MethodGet, "", ""); r.Tiers[0].Drops != nil || now.Sub(*r.Tiers[0].Oldest) > dayLong+time.Hour {
		t.Errorf("after maintenance: %+v", r.Tiers[0])
	}
	if r, _, _ = ask(http.MethodPut, "", `{}`); r.Tiers[0].Days != 30 || r.Tiers[0].ChosenDays != nil || r.ChangedAt != nil {
		t.Errorf("the file's again: %+v", r)
	}
	log, err := f.db.AuditLog(t.Context(), postgres.AuditFilter{Action: "retention"})
	must(t, err)
	if len(log) != 3 || log[0].Actor.Name == "" {
		t.Errorf("audit log: %+v", log)
	}
}
