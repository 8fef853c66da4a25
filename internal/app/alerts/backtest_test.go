package alerts_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/app/notifiers"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const mixedRules = `groups:
- name: mixed
  rules:
  - {alert: last, series: temperature, condition: above 60, for: 20s, keep_firing_for: 10s}
  - {alert: avg, series: temperature, function: avg, window: 1m, condition: above 55, recovery: below 50}
  - {alert: max, series: temperature, function: max, window: 30s, condition: above 90}
  - {alert: p95, series: load, function: p95, window: 2m, condition: above 80}
  - {alert: delta, series: load, function: delta, window: 1m, condition: outside 40}
  - {alert: odd, kind: anomaly, series: load, window: 10m, min_history: 3m, condition: outside 4, recovery: inside 2}
  - {alert: full, kind: forecast, series: temperature, window: 2m, ahead: 5m, condition: above 120}
  - {alert: gone, kind: absence, series: load, window: 40s}
`

// TestBacktestsSayWhatTheLiveEngineSays plays half an hour of three agents, out of the
// database, and live: an engine that gets each cycle a moment after it was collected,
// and the time every second.
func TestBacktestsSayWhatTheLiveEngineSays(t *testing.T) {
	r := newRig(t, 3, postgrestest.URL(t))
	rules, err := alerting.ParseRules("mixed", []byte(mixedRules))
	must(t, err)
	end := time.Now().Truncate(time.Second).Add(-time.Minute)
	start := end.Add(-30 * time.Minute)
	var want []string
	for i, a := range r.agents {
		row, err := r.db.AgentByName(t.Context(), a.cred.Agent)
		must(t, err)
		id, err := r.db.EnsureLayout(t.Context(), row.ID, r.hash, wire.EncodeLayout(r.layout), r.layout)
		must(t, err)
		batch := postgres.Batch{Agent: row.ID, AgentName: row.Name, Epoch: 7, First: 1, LayoutID: id, Received: time.Now(), Envelope: []byte("e")}
		engine, rnd := alerting.New(rules, alerting.DefaultOptions()), rand.New(rand.NewPCG(uint64(i), 1))
		who := alerting.Agent{ID: row.Name, Hostname: row.Hostname, Labels: row.Labels}
		note := func(list []alerting.Transition) {
			for _, tr := range list {
				if tr.From != tr.To {
					want = append(want, said(tr))
				}
			}
		}
		level := 40.0
		for at := start; at.Before(end); at = at.Add(time.Second) {
			note(engine.Advance(at))
			if at.Unix()%5 != 0 {
				continue
			}
			level = min(max(level+rnd.NormFloat64()*6, 0), 100)
			values := []float64{level, 50 + rnd.NormFloat64()*8}
			if rnd.IntN(40) == 0 {
				values[1] += 60
			}
			if m := int(at.Sub(start).Minutes()); m%7 == 3 { // a metric that stays out
				values[1] = sentinel.Absent()
			}
			c := sentinel.Cycle{Layout: r.hash, Time: at, Values: values}
			batch.Cycles, batch.Digests = append(batch.Cycles, c), append(batch.Digests, wire.Digest(c))
			note(engine.Feed(alerting.Cycle{Agent: who, Layout: r.hash, Series: r.layout, Time: at, Values: values}, at.Add(150*time.Millisecond)))
		}
		for n := 0; n < len(batch.Cycles); n += 100 {
			part := batch
			part.First = uint64(n + 1)
			part.Cycles, part.Digests = batch.Cycles[n:min(n+100, len(batch.Cycles))], batch.Digests[n:min(n+100, len(batch.Cycles))]
			part.Count = uint32(len(part.Cycles))
			_, err := r.db.Commit(t.Context(), []postgres.Batch{part}, nil)
			must(t, err)
		}
	}
	out, err := alerts.Backtest{DB: r.db, From: start, To: end}.Play(t.Context(), rules)
	must(t, err)
	var got []string
	for _, tr := range out.Transitions {
		got = append(got, said(tr))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d transitions, want %d\n%s", len(got), len(want), strings.Join(differences(got, want), "\n"))
	}
	if len(want) < 50 || out.Agents != 3 || out.Cycles != 3*360 {
		t.Errorf("%d transitions of %d agents with %d cycles prove little", len(want), out.Agents, out.Cycles)
	}

	// One message for what comes within a group's interval.
	setup, err := notifiers.Parse("n", []byte("route: {receiver: a, group_by: [hostname], group_wait: 10s, group_interval: 24h}\nreceivers: [{name: a}]\n"))
	must(t, err)
	total := 0
	for rule, n := range alerts.Messages(setup.Routing, out.Transitions) {
		if n > 6 {
			t.Errorf("%s is told in %d messages", rule, n)
		}
		total += n
	}
	if total == 0 {
		t.Error("nobody would be told")
	}
	t.Logf("%d transitions, as the live engine has them", len(want))
}

func said(tr alerting.Transition) string {
	return fmt.Sprintf("%s %s %s>%s %s at %s since %s", tr.Agent, tr.Rule, tr.From, tr.To, tr.Reason, tr.At.Format(time.TimeOnly), tr.StartsAt.Format(time.TimeOnly))
}

// differences returns the first lines that only one of the two has.
func differences(got, want []string) (out []string) {
	for _, line := range got {
		if !slices.Contains(want, line) {
			out = append(out, "only the backtest: "+line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			out = append(out, "only the live engine: "+line)
		}
	}
	return out[:min(len(out), 10)]
}
