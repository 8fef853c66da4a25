package alerts_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/alerting/pack"
	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
)

const hotRule = `groups:
- name: weather
  rules:
  - alert: Hot
    series: temperature
    condition: above 30
    severity: critical
    annotations: {summary: "{{ labels.hostname }}: {{ value }} degrees"}
`

// ready waits until the rules of the database hold.
func (r *rig) ready() {
	r.t.Helper()
	want := ""
	waitFor(r.t, 20*time.Second, "the rules do not reach the broker", func() bool {
		rows, _, err := r.db.AlertRules(r.t.Context())
		must(r.t, err)
		e, err := r.b.Bucket(broker.BucketAlerting).Get(r.t.Context(), live.KeyRules)
		stored, serr := live.StoreRules(alerts.RuleVersion(rows), alerts.File(rows))
		must(r.t, serr)
		raw, merr := json.Marshal(stored)
		must(r.t, merr)
		want = string(raw)
		return err == nil && string(e.Value) == want
	})
}

// TestP26FromASampleToAWebhookAndBack is the whole way of an alert: a signed batch in
// the stream, a rule in the database, a message to people, its end, and what the
// database keeps of it.
func TestP26FromASampleToAWebhookAndBack(t *testing.T) {
	r := newRig(t, 3, postgrestest.URL(t))
	r.rules(hotRule)
	r.tell()
	r.work()
	r.ready()
	now := time.Now()
	for i := range r.agents {
		r.send(i, now, 20, 1)
	}
	r.send(1, now.Add(time.Second), 35, 1)
	got := r.hook.until(t, 20*time.Second, "nobody is told", func(n []note) bool { return len(n) == 1 })
	if got[0].status != "firing" || got[0].host != "host-1" || got[0].name != "Hot" {
		t.Errorf("told %+v", got[0])
	}
	t.Logf("told %s after the sample", got[0].at.Sub(now).Round(time.Millisecond))
	r.send(1, now.Add(2*time.Second), 36, 1)
	r.send(1, now.Add(3*time.Second), 21, 1)
	got = r.hook.until(t, 20*time.Second, "the end is not told", func(n []note) bool { return len(n) == 2 })
	if got[1].status != "resolved" || got[1].fingerprint != got[0].fingerprint {
		t.Errorf("told %+v", got[1])
	}

	var list []postgres.Incident
	waitFor(t, 20*time.Second, "the database does not know the end", func() bool {
		var err error
		list, err = r.db.Incidents(t.Context(), postgres.IncidentFilter{})
		must(t, err)
		return len(list) == 1 && list[0].State == "resolved"
	})
	timeline, err := r.db.Timeline(t.Context(), list[0].Fingerprint, 10)
	must(t, err)
	if len(timeline) != 2 || timeline[0].To != "resolved" || timeline[1].To != "firing" || !timeline[1].At.Equal(now.Add(time.Second).Truncate(time.Millisecond)) {
		t.Errorf("timeline: %+v", timeline)
	}
	events, err := r.db.Events(t.Context(), postgres.EventFilter{})
	must(t, err)
	if len(events) != 2 || events[1].Kind != "alert.firing" || events[1].Detail != `Hot temperature: host-1: 35 degrees` {
		t.Errorf("events: %+v", events)
	}
	waitFor(t, 10*time.Second, "the deliveries are not kept", func() bool {
		list, err := r.db.Deliveries(t.Context(), postgres.DeliveryFilter{Channel: "hook"})
		must(t, err)
		return len(list) == 2 && list[0].Error == ""
	})
}

// TestTheStarterPackIsInstalledOnce: not again where people removed it.
func TestTheStarterPackIsInstalledOnce(t *testing.T) {
	r := newRig(t, 1, postgrestest.URL(t))
	want, err := alerts.Rows("pack", pack.YAML())
	must(t, err)
	stop := r.work()
	r.ready()
	rows, _, err := r.db.AlertRules(t.Context())
	must(t, err)
	if len(rows) != len(want) {
		t.Fatalf("%d rules are installed, want %d", len(rows), len(want))
	}
	for _, row := range rows {
		must(t, r.db.DeleteAlertRule(t.Context(), by("rule.delete"), row.Group, row.Name))
	}
	stop()
	r.work()
	r.ready()
	if rows, _, err = r.db.AlertRules(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("%d rules are back: %v", len(rows), err)
	}
}
