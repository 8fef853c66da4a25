package alerts_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/localpg"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const manyHot = `groups:
- name: fleet
  interval: 1s
  rules:
  - alert: ManyHot
    expr: count by (site) (temperature > 30) >= 2
    for: 3s
    labels: {severity: critical}
    annotations: {summary: "{{ $value }} hosts are hot in {{ $labels.site }}"}
`

// store writes one cycle of an agent to the database, as a writer does.
func (r *rig) store(i int, at time.Time, values ...float64) {
	r.t.Helper()
	a := r.agents[i]
	row, err := r.db.AgentByName(r.t.Context(), a.cred.Agent)
	must(r.t, err)
	id, err := r.db.EnsureLayout(r.t.Context(), row.ID, r.hash, wire.EncodeLayout(r.layout), r.layout)
	must(r.t, err)
	a.seq++
	c := sentinel.Cycle{Layout: r.hash, Time: at.Truncate(time.Millisecond), Values: values}
	_, err = r.db.Commit(r.t.Context(), []postgres.Batch{{Agent: row.ID, AgentName: row.Name, Epoch: a.epoch, First: a.seq, Count: 1, LayoutID: id, Received: time.Now(), Envelope: []byte("e"),
		Cycles: []sentinel.Cycle{c}, Digests: []uint64{wire.Digest(c)}}}, nil)
	must(r.t, err)
}

// fleetHistory returns the changes of incidents that are about no single agent.
func (r *rig) fleetHistory() (list []string) {
	r.t.Helper()
	all, err := r.db.Incidents(r.t.Context(), postgres.IncidentFilter{Rule: "fleet/ManyHot"})
	if err != nil {
		return nil // the database may be on its way back
	}
	for _, in := range all {
		lines, err := r.db.Timeline(r.t.Context(), in.Fingerprint, 100)
		if err != nil {
			return nil
		}
		for _, l := range slices.Backward(lines) {
			list = append(list, l.From+">"+l.To)
		}
	}
	return list
}

// TestP26P27ExpressionsThroughHandOversAndOutages: workers change while `for` runs and
// while the database is out, and people hear of one begin and one end.
func TestP26P27ExpressionsThroughHandOversAndOutages(t *testing.T) {
	dir, pg := ownDatabase(t)
	r := newRig(t, 2, pg.URL())
	r.rules(manyHot)
	r.tell()
	now := time.Now()
	for i := range 2 {
		r.store(i, now, 35, 1)
	}
	stop := r.work()
	waitFor(t, 30*time.Second, "the expression is not asked", func() bool {
		return slices.Equal(r.fleetHistory(), []string{"inactive>pending"})
	})
	stop() // while `for` runs
	stop = r.work()
	got := r.hook.until(t, 30*time.Second, "nobody is told", func(n []note) bool { return len(n) > 0 })
	if got[0].name != "ManyHot" || got[0].status != "firing" || got[0].host != "" {
		t.Errorf("told %+v", got[0])
	}
	waitFor(t, 10*time.Second, "the history is not complete", func() bool { return len(r.fleetHistory()) >= 2 })
	in, err := r.db.Incidents(t.Context(), postgres.IncidentFilter{Rule: "fleet/ManyHot"})
	must(t, err)
	if waited := in[0].FiredAt.Sub(in[0].StartsAt); waited < 3*time.Second || waited > 3*time.Second+10*time.Second {
		t.Errorf("it was pending for %s: a hand-over takes a few seconds and counts", waited)
	}

	must(t, pg.Stop(t.Context()))
	waitFor(t, 30*time.Second, "it is not said that the expression is not answered", func() bool {
		asked, err := live.ReadAsked(t.Context(), r.b)
		return err == nil && asked["fleet/ManyHot"].Error != ""
	})
	stop()
	r.work() // one that comes while the database is out
	down := time.Now()
	waitFor(t, 30*time.Second, "the next worker does not ask", func() bool {
		asked, err := live.ReadAsked(t.Context(), r.b)
		return err == nil && asked["fleet/ManyHot"].Tried.After(down)
	})
	if n, _ := r.hook.notes(); len(n) != 1 {
		t.Errorf("while the database was out people were told: %+v", n)
	}
	pg, err = localpg.Start(t.Context(), localpg.Config{Dir: dir})
	must(t, err)
	t.Cleanup(func() { must(t, pg.Stop(context.Background())) })
	waitFor(t, 30*time.Second, "the expression is not answered again", func() bool {
		asked, err := live.ReadAsked(t.Context(), r.b)
		return err == nil && asked["fleet/ManyHot"].Error == ""
	})
	r.store(0, time.Now(), 20, 1)
	got = r.hook.until(t, 30*time.Second, "the end is not told", func(n []note) bool { return len(n) > 1 })
	if len(got) != 2 || got[1].status != "resolved" || got[1].fingerprint != got[0].fingerprint {
		t.Errorf("told %+v", got)
	}
	waitFor(t, 20*time.Second, "the history is not complete", func() bool { return len(r.fleetHistory()) == 3 })
	if list := r.fleetHistory(); !slices.Equal(list, []string{"inactive>pending", "pending>firing", "firing>resolved"}) {
		t.Errorf("history: %v", list)
	}
}

// TestP9P26ExpressionsSurviveTheBrokersStore: what fires is written again, and ends.
func TestP9P26ExpressionsSurviveTheBrokersStore(t *testing.T) {
	r := newRig(t, 2, postgrestest.URL(t))
	r.rules(strings.Replace(manyHot, "    for: 3s\n", "", 1))
	r.tell()
	for i := range 2 {
		r.store(i, time.Now(), 35, 1)
	}
	r.work()
	r.hook.until(t, 30*time.Second, "nobody is told", func(n []note) bool { return len(n) == 1 })
	r.wipe()
	r.store(0, time.Now(), 20, 1)
	got := r.hook.until(t, 60*time.Second, "the end is not told", func(n []note) bool { return told(n, "", "resolved") == 1 })
	if told(got, "", "firing") != 1 {
		t.Errorf("told %+v", got)
	}
}

// TestBacktestsAskExpressions plays history, and says what asking each second said.
func TestBacktestsAskExpressions(t *testing.T) {
	r := newRig(t, 3, postgrestest.URL(t))
	rules, err := alerting.ParseRules("r", []byte(strings.Replace(manyHot, "interval: 1s", "interval: 10s", 1)))
	must(t, err)
	engine := query.New(r.db, query.DefaultLimits(), slog.New(slog.DiscardHandler))
	end := time.Now().Truncate(time.Minute)
	start := end.Add(-10 * time.Minute)
	for at, n := start.Add(-time.Minute), 0; at.Before(end); at, n = at.Add(15*time.Second), n+1 {
		for i := range r.agents {
			v := 20.0
			if n%(5+i) > 2 {
				v = 40
			}
			r.store(i, at, v, 1)
		}
	}
	machine, want := alerting.NewFleetwide(rules, alerting.DefaultOptions()), []string{}
	for at := start.Add(-30 * time.Second); at.Before(end); at = at.Add(10 * time.Second) {
		answer, err := engine.Ask(t.Context(), rules.Rules[0].Expr, at)
		must(t, err)
		list, err := machine.Answer(rules.Rules[0], answer, at, at)
		must(t, err)
		for _, tr := range list {
			if tr.From != tr.To && !at.Before(start) {
				want = append(want, said(tr)+fmt.Sprint(tr.Value))
			}
		}
	}
	out, err := alerts.Backtest{DB: r.db, Query: engine, From: start, To: end}.Play(t.Context(), rules)
	must(t, err)
	var got []string
	for _, tr := range out.Transitions {
		got = append(got, said(tr)+fmt.Sprint(tr.Value))
	}
	if !slices.Equal(got, want) || len(want) < 10 {
		t.Errorf("got %d transitions, want %d\n%s", len(got), len(want), strings.Join(differences(got, want), "\n"))
	}
}
