package alerts_test

import (
	"encoding/json"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/alerting/pack"
	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
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

// TestSilenceOfAnAgentIsNoticed by the absence of sessions and data, and its end by a
// gateway's word.
func TestSilenceOfAnAgentIsNoticed(t *testing.T) {
	r := newRig(t, 2, postgrestest.URL(t))
	r.rules(`groups: [{name: fleet, rules: [{alert: AgentSilent, kind: absence, window: 1s}]}]`)
	r.tell()
	r.work()
	r.ready()
	r.send(0, time.Now(), 20, 1) // the other one was never heard of
	got := r.hook.until(t, 20*time.Second, "nobody is told", func(n []note) bool { return len(n) > 0 })
	if len(got) != 1 || got[0].host != "host-0" || got[0].status != "firing" {
		t.Errorf("told %+v", got)
	}
	raw, err := proto.Marshal(&sentinelpb.Sessions{Sessions: []*sentinelpb.Session{{AgentId: string(r.agents[0].cred.Agent)}}})
	must(t, err)
	must(t, r.b.Say(broker.TopicSessions, raw))
	r.hook.until(t, 20*time.Second, "the end is not told", func(n []note) bool { return told(n, "host-0", "resolved") == 1 })
}

// TestP26RulesComeAndGoUnderWhatFires: what another rule fires goes on, what a rule
// that is removed fires resolves, and an agent that is removed takes its incidents along.
func TestP26RulesComeAndGoUnderWhatFires(t *testing.T) {
	const other = "  - {alert: Busy, series: load, condition: above 5}\n"
	r := newRig(t, 2, postgrestest.URL(t))
	r.rules(hotRule + other)
	r.tell()
	r.work()
	r.ready()
	now := time.Now()
	for i := range r.agents {
		r.send(i, now, 35, 9)
	}
	r.hook.until(t, 20*time.Second, "not all is told", func(n []note) bool { return len(n) == 4 })
	r.rules(hotRule)
	r.hook.until(t, 20*time.Second, "what the removed rule fired does not end", func(n []note) bool {
		return told(n, "host-0", "resolved") == 1 && told(n, "host-1", "resolved") == 1
	})
	row, err := r.db.AgentByName(t.Context(), r.agents[1].cred.Agent)
	must(t, err)
	must(t, r.db.SetAgentDisabled(t.Context(), row.ID, true))
	got := r.hook.until(t, 20*time.Second, "what fired on the agent that is gone does not end", func(n []note) bool { return told(n, "host-1", "resolved") == 2 })
	if told(got, "host-0", "resolved") != 1 || len(got) != 7 {
		t.Errorf("told %+v", got)
	}
	for _, n := range got[4:] {
		if n.status != "resolved" {
			t.Errorf("told %+v", n)
		}
	}
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
