package alerts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/broker/embedded"
	"github.com/sentinelgo/sentinel/internal/localpg"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
)

// ownDatabase is one that can be stopped.
func ownDatabase(t *testing.T) (dir string, pg *localpg.Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sentinel-alerts-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	pg, err = localpg.Start(t.Context(), localpg.Config{Dir: dir})
	must(t, err)
	db := postgrestest.Open(t, pg.URL())
	must(t, db.Migrate(t.Context()))
	return dir, pg
}

// history returns the changes of all incidents of an agent, "from>to" in their order.
func (r *rig) history(i int) (list []string) {
	r.t.Helper()
	all, err := r.db.Incidents(r.t.Context(), postgres.IncidentFilter{Agent: string(r.agents[i].cred.Agent)})
	if err != nil {
		return nil // the database may be on its way back
	}
	for _, in := range all {
		lines, err := r.db.Timeline(r.t.Context(), in.Fingerprint, 100)
		if err != nil {
			return nil
		}
		for k := len(lines) - 1; k >= 0; k-- {
			list = append(list, lines[k].From+">"+lines[k].To)
		}
	}
	return list
}

// told returns how often an agent's incident was told with a status, as messages with
// different keys.
func told(notes []note, host, status string) int {
	keys := map[string]bool{}
	for _, n := range notes {
		if n.host == host && n.status == status {
			keys[n.key] = true
		}
	}
	return len(keys)
}

// TestP26P27AlertsGoOnWithoutTheDatabase stops the database: what fires is told, what
// ends is told, also by a worker that starts meanwhile, and the history is complete
// when the database is back.
func TestP26P27AlertsGoOnWithoutTheDatabase(t *testing.T) {
	dir, pg := ownDatabase(t)
	r := newRig(t, 2, pg.URL())
	r.rules(hotRule)
	r.tell()
	stop := r.work()
	r.ready()
	now := time.Now()
	r.send(0, now, 35, 1)
	r.send(1, now, 20, 1)
	r.hook.until(t, 20*time.Second, "nobody is told", func(n []note) bool { return told(n, "host-0", "firing") == 1 })
	must(t, pg.Stop(t.Context()))
	down := time.Now()
	r.send(0, now.Add(time.Second), 21, 1)
	r.send(1, now.Add(time.Second), 36, 1)
	r.hook.until(t, 20*time.Second, "without the database people are not told", func(n []note) bool {
		return told(n, "host-0", "resolved") == 1 && told(n, "host-1", "firing") == 1
	})
	t.Logf("told %s after the database went", time.Since(down).Round(time.Millisecond))
	stop()
	r.work()
	r.send(0, now.Add(2*time.Second), 37, 1)
	r.send(1, now.Add(2*time.Second), 22, 1)
	r.hook.until(t, 40*time.Second, "a worker that starts without the database tells nobody", func(n []note) bool {
		return told(n, "host-0", "firing") == 2 && told(n, "host-1", "resolved") == 1
	})
	pg, err := localpg.Start(t.Context(), localpg.Config{Dir: dir})
	must(t, err)
	t.Cleanup(func() { must(t, pg.Stop(context.Background())) })
	var first, second []string
	waitFor(t, 30*time.Second, "the history is not complete", func() bool {
		first, second = r.history(0), r.history(1)
		return len(first) == 3 && len(second) == 2
	})
	if first[0] != "inactive>firing" || first[1] != "firing>resolved" || first[2] != "inactive>firing" || second[1] != "firing>resolved" {
		t.Errorf("history: %v, %v", first, second)
	}
}

// write puts changes of an incident into the stream that no worker has made: it is over
// when somebody reads it.
func (r *rig) write(agent int, changes ...alerting.Transition) {
	r.t.Helper()
	id, seq := r.agents[agent].cred.Agent, uint64(0)
	for i, tr := range changes {
		tr.Version, tr.Rule, tr.Agent = 1, "test/Gone", id
		tr.Fingerprint = alerting.Fingerprint(tr.Rule, id, "")
		tr.Labels = map[string]string{"alertname": "Gone", "hostname": fmt.Sprint("host-", agent)}
		tr.Machine.State = alerting.Inactive
		raw, err := json.Marshal(live.Change{N: time.Now().UnixMilli() + int64(i), Transition: tr})
		must(r.t, err)
		list := []broker.Alert{{Fingerprint: tr.Fingerprint, Data: raw, Seq: seq}}
		must(r.t, r.b.PublishAlerts(r.t.Context(), broker.Partition(id, r.b.Partitions()), list))
		seq = list[0].Seq
	}
}

// TestP27WhatCameAndWentWhileNobodyToldIsTold once, begin and end, in their order.
func TestP27WhatCameAndWentWhileNobodyToldIsTold(t *testing.T) {
	r := newRig(t, 2, postgrestest.URL(t))
	r.rules(hotRule)
	r.tell()
	stop := r.work()
	r.ready()
	now := time.Now()
	r.send(0, now, 35, 1)
	r.hook.until(t, 20*time.Second, "nobody is told", func(n []note) bool { return told(n, "host-0", "firing") == 1 })
	waitFor(t, 10*time.Second, "it is not noted how far people were told", func() bool {
		_, err := r.b.Bucket(broker.BucketNotify).Get(t.Context(), "place")
		return err == nil
	})
	stop()
	var changes []alerting.Transition
	for i := range 2 {
		at := now.Add(time.Duration(i-2) * 20 * time.Second).Truncate(time.Millisecond)
		firing := alerting.Transition{From: alerting.Inactive, To: alerting.Firing, At: at, Now: at}
		firing.State, firing.StartsAt, firing.FiredAt = alerting.Firing, at, at
		end := alerting.Transition{From: alerting.Firing, To: alerting.Resolved, At: at.Add(10 * time.Second), Now: at.Add(10 * time.Second)}
		end.State, end.StartsAt, end.FiredAt, end.EndsAt = alerting.Resolved, at, at, end.At
		changes = append(changes, firing, end)
	}
	r.write(1, changes...)
	for range 2 { // the second one has nothing to tell
		stop = r.work()
		r.hook.until(t, 30*time.Second, "what came and went is not told", func(n []note) bool { return told(n, "host-1", "resolved") == 2 })
		r.ready()
		stop()
	}
	got, _ := r.hook.notes()
	var list []string
	for _, n := range got {
		if n.host == "host-1" {
			list = append(list, fmt.Sprint(n.status, " ", n.startsAt.Sub(now).Round(20*time.Second)))
		}
	}
	if want := []string{"firing -40s", "resolved -40s", "firing -20s", "resolved -20s"}; !slices.Equal(list, want) {
		t.Errorf("told %v, want %v", list, want)
	}
	if n := told(got, "host-0", "firing"); n != 1 {
		t.Errorf("what fires all the time was told in %d messages", n)
	}
}

// wipe stops the broker, removes all that it had, and starts it again.
func (r *rig) wipe() {
	r.t.Helper()
	port := r.port()
	r.nats.Stop()
	must(r.t, os.RemoveAll(r.dir))
	nats, err := embedded.Start(embedded.Config{Dir: r.dir, Listen: port, MaxBytes: 8 << 30}, r.log)
	must(r.t, err)
	r.t.Cleanup(nats.Stop)
	r.nats = nats
	waitFor(r.t, 20*time.Second, "the broker does not come back", func() bool { return r.b.Setup(r.t.Context()) == nil })
	r.know() // as agents do when their sessions begin anew
}

// TestP9P26P27ABrokerThatLosesEverythingLosesNoAlert wipes the broker's store under a
// worker that goes on, and then under one that is killed with it.
func TestP9P26P27ABrokerThatLosesEverythingLosesNoAlert(t *testing.T) {
	r := newRig(t, 2, postgrestest.URL(t))
	r.rules(hotRule)
	r.tell()
	stop := r.work()
	r.ready()
	now := time.Now()
	r.send(0, now, 35, 1)
	r.send(1, now, 20, 1)
	r.hook.until(t, 20*time.Second, "nobody is told", func(n []note) bool { return told(n, "host-0", "firing") == 1 })
	waitFor(t, 10*time.Second, "the history is empty", func() bool { return len(r.history(0)) == 1 })

	r.wipe()
	r.send(0, now.Add(time.Second), 21, 1)
	r.send(1, now.Add(time.Second), 36, 1)
	got := r.hook.until(t, 40*time.Second, "after the wipe the end is not told", func(n []note) bool {
		return told(n, "host-0", "resolved") == 1 && told(n, "host-1", "firing") == 1
	})
	if told(got, "host-0", "firing") != 1 {
		t.Errorf("the wipe made what fires be told again: %+v", got)
	}
	waitFor(t, 20*time.Second, "the history is not complete", func() bool { return len(r.history(0)) == 2 && len(r.history(1)) == 1 })

	stop()
	r.wipe()
	r.work()
	r.ready()
	r.send(1, now.Add(2*time.Second), 22, 1)
	waitFor(t, 40*time.Second, "what fired before both went does not end", func() bool {
		list := r.history(1)
		return len(list) == 2 && list[1] == "firing>resolved"
	})
}

// TestAReceiverThatHangsHoldsUpNobodyElse: another receiver is told at once, and
// judging goes on.
func TestAReceiverThatHangsHoldsUpNobodyElse(t *testing.T) {
	r := newRig(t, 1, postgrestest.URL(t))
	hang := newHook(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	hang.answer = func(_ http.ResponseWriter, req *http.Request) bool {
		select {
		case <-release:
		case <-req.Context().Done():
		}
		return true
	}
	r.rules(hotRule)
	r.tellBoth(hang.URL)
	r.work()
	r.ready()
	now := time.Now()
	worst := time.Duration(0)
	for i := range 6 {
		sent := time.Now()
		r.send(0, now.Add(time.Duration(i)*time.Second), []float64{35, 21}[i%2], 1)
		r.hook.until(t, 20*time.Second, "the other receiver is not told", func(n []note) bool { return len(n) == i+1 })
		if i > 0 { // the first one waits for the start
			worst = max(worst, time.Since(sent))
		}
	}
	t.Logf("told within %s while another receiver hangs", worst.Round(time.Millisecond))
	if worst > 3*time.Second {
		t.Errorf("it took %s", worst)
	}
}
