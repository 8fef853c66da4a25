package notify_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	amnotify "github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// compared is read by both sides.
const compared = `
route:
  receiver: a
  group_by: [alertname]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 10m
  routes:
  - matchers: ['team="db"']
    receiver: b
    group_by: ['...']
    continue: true
  - matchers: [severity=~"crit.*|page", 'team!="db"']
    group_wait: 0s
    group_by: []
    routes:
    - matchers: ['{host!~"h[12]",team=web}']
      receiver: b
      repeat_interval: 3m
      mute_time_intervals: [odd]
  - matchers: [severity="info"]
    active_time_intervals: [office]
    group_by: [host, alertname]
inhibit_rules:
- source_matchers: [alertname="Down"]
  target_matchers: [severity!="info"]
  equal: [host]
- source_matchers: [severity="critical"]
  target_matchers: [severity=~"warning|info"]
  equal: [alertname, host]
time_intervals:
- name: odd
  time_intervals:
  - times: [{start_time: "00:10", end_time: "00:25"}]
- name: office
  time_intervals:
  - weekdays: ['friday:saturday']
    location: Europe/Berlin
    times: [{start_time: "01:00", end_time: "01:20"}, {start_time: "01:40", end_time: "02:00"}]
`

// peer is Alertmanager's own pipeline: provider, dispatcher and all stages.
type peer struct {
	mu     sync.Mutex
	lines  map[string][]string
	start  time.Time
	alerts *mem.Alerts
	sil    *silence.Silences
	stop   func()
}

type peerNotifier struct {
	p    *peer
	name string
}

func (peerNotifier) SendResolved() bool { return true }

func (n peerNotifier) Notify(_ context.Context, alerts ...*amalert.Alert) (bool, error) {
	n.p.mu.Lock()
	defer n.p.mu.Unlock()
	var states []string
	for _, a := range alerts {
		mark := "+"
		if a.Resolved() {
			mark = "-"
		}
		states = append(states, mark+string(a.Labels["id"]))
	}
	slices.Sort(states)
	n.p.lines[n.name] = append(n.p.lines[n.name], fmt.Sprint(time.Since(n.p.start).Round(time.Millisecond), states))
	return false, nil
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{lines: map[string][]string{}, start: time.Now()}
	conf, err := amconfig.Load(strings.Replace(compared, "\nroute:", "\nreceivers: [{name: a}, {name: b}]\nroute:", 1))
	if err != nil {
		t.Fatal(err)
	}
	log, reg, ctx := slog.New(slog.DiscardHandler), prometheus.NewRegistry(), context.Background()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	groups := marker.NewGroupMarker()
	actx, cancel := context.WithCancel(ctx)
	p.alerts, err = mem.NewAlerts(actx, time.Hour, 0, nil, log, eventrecorder.NopRecorder(), reg, featurecontrol.NoopFlags{})
	check(err)
	p.sil, err = silence.New(silence.Options{Retention: time.Hour, Logger: log, Metrics: reg})
	check(err)
	nlog, err := nflog.New(nflog.Options{Retention: 100 * time.Hour, Logger: log, Metrics: reg})
	check(err)
	inh := inhibit.NewInhibitor(p.alerts, conf.InhibitRules, log, eventrecorder.NopRecorder())
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, ti := range conf.TimeIntervals {
		intervals[ti.Name] = ti.TimeIntervals
	}
	receivers := map[string][]amnotify.Integration{}
	for _, name := range []string{"a", "b"} {
		n := peerNotifier{p, name}
		receivers[name] = []amnotify.Integration{amnotify.NewIntegration(n, n, "test", 0, name)}
	}
	stage := amnotify.NewPipelineBuilder(reg, featurecontrol.NoopFlags{}, eventrecorder.NopRecorder()).New(receivers,
		func() time.Duration { return 0 }, inh, silence.NewSilencer(p.sil, log, eventrecorder.NopRecorder()),
		timeinterval.NewIntervener(intervals), groups, nlog, nil)
	tmpl, err := template.FromGlobs(nil)
	check(err)
	tmpl.ExternalURL, _ = url.Parse("http://am")
	d := dispatch.NewDispatcher(p.alerts, dispatch.NewRoute(conf.Route, nil), stage, groups, func(d time.Duration) time.Duration { return d },
		time.Second, nil, log, eventrecorder.NopRecorder(), dispatch.NewDispatcherMetrics(false, reg, featurecontrol.NoopFlags{}), tmpl)
	go inh.Run()
	inh.WaitForLoading()
	go d.Run(time.Now())
	p.stop = func() {
		d.Stop()
		inh.Stop()
		p.alerts.Close()
		cancel()
	}
	return p
}

func (p *peer) put(t *testing.T, a notify.Alert) {
	t.Helper()
	now := time.Now()
	la := &amalert.Alert{Alert: model.Alert{Labels: model.LabelSet{}, StartsAt: a.StartsAt, EndsAt: now.Add(240 * time.Hour)}, UpdatedAt: now}
	if a.State == notify.Resolved {
		la.EndsAt = a.EndsAt
	}
	for k, v := range a.Labels {
		la.Labels[model.LabelName(k)] = model.LabelValue(v)
	}
	if err := p.alerts.Put(context.Background(), la); err != nil {
		t.Fatal(err)
	}
}

func (p *peer) silence(t *testing.T, ms notify.Matchers, until time.Time) string {
	t.Helper()
	types := map[string]silencepb.Matcher_Type{"=": silencepb.Matcher_EQUAL, "!=": silencepb.Matcher_NOT_EQUAL, "=~": silencepb.Matcher_REGEXP, "!~": silencepb.Matcher_NOT_REGEXP}
	set := &silencepb.MatcherSet{}
	for _, m := range ms {
		set.Matchers = append(set.Matchers, &silencepb.Matcher{Type: types[m.Op], Name: m.Name, Pattern: m.Value})
	}
	s := &silencepb.Silence{MatcherSets: []*silencepb.MatcherSet{set}, StartsAt: timestamppb.Now(), EndsAt: timestamppb.New(until), CreatedBy: "ann", Comment: "c"}
	if err := p.sil.Set(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	return s.Id
}

// TestP26SameTimelineAsAlertmanager plays random scripts of alerts and silences to
// both and compares who is told what, and when.
func TestP26SameTimelineAsAlertmanager(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playBoth(t, seed) })
		})
	}
}

func playBoth(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	b := newBench(t, compared)
	b.run()
	am := newPeer(t)
	synctest.Wait()
	pool := make([]notify.Alert, 24)
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for i := range pool {
		pool[i] = alert(fmt.Sprint(i), "alertname", pick("Down", "Disk", "Load"), "host", pick("h1", "h2", "h3"),
			"team", pick("db", "web", "ops"), "severity", pick("critical", "page", "warning", "info"))
	}
	firing := map[int]notify.Alert{}
	var silences [][2]string
	for range 300 {
		switch i := r.IntN(len(pool)); {
		case r.IntN(15) == 0:
			ms, err := notify.ParseMatchers(pick(`team="db"`, `host=~"h[12]",severity!="page"`, `alertname="Load"`, `host!~"h1|h2",team=~".+"`))
			if err != nil {
				t.Fatal(err)
			}
			until := time.Now().Add(time.Duration(30+r.IntN(600)) * time.Second)
			s, err := b.sil.Add(t.Context(), notify.Silence{Matchers: ms, Author: "ann", Comment: "c", StartsAt: time.Now(), EndsAt: until})
			if err != nil {
				t.Fatal(err)
			}
			silences = append(silences, [2]string{s.ID, am.silence(t, ms, until)})
		case r.IntN(20) == 0 && len(silences) > 0:
			pair := silences[r.IntN(len(silences))]
			err, amErr := b.sil.Expire(t.Context(), pair[0]), am.sil.Expire(context.Background(), pair[1])
			if (err == nil) != (amErr == nil) {
				t.Errorf("expire: %v, Alertmanager: %v", err, amErr)
			}
		default:
			a, is := firing[i]
			if is {
				a = ended(a)
				delete(firing, i)
			} else {
				a = pool[i]
				a.StartsAt = time.Now()
				firing[i] = a
			}
			b.put(a)
			am.put(t, a)
		}
		// Off the ticks, so that no order is left to chance.
		after(time.Duration(r.IntN(40))*time.Second + 137*time.Millisecond)
	}
	after(15 * time.Minute)
	b.stop()
	am.stop()
	for name, rec := range map[string]*recorder{"a": b.a, "b": b.b} {
		var got []string
		for i, n := range rec.got {
			var states []string
			for _, al := range n.Alerts {
				mark := "+"
				if al.State == notify.Resolved {
					mark = "-"
				}
				states = append(states, mark+al.Labels["id"])
			}
			slices.Sort(states)
			got = append(got, fmt.Sprint(rec.at[i].Round(time.Millisecond), states))
		}
		want := am.lines[name]
		slices.Sort(got) // several groups at one time
		slices.Sort(want)
		if len(want) < 10 {
			t.Errorf("only %d messages: the script is weak", len(want))
		}
		if !slices.Equal(got, want) {
			for _, l := range got {
				if !slices.Contains(want, l) {
					t.Errorf("%s: only here: %s", name, l)
				}
			}
			for _, l := range want {
				if !slices.Contains(got, l) {
					t.Errorf("%s: only Alertmanager: %s", name, l)
				}
			}
			if !t.Failed() {
				t.Errorf("%s: %d messages, Alertmanager sent %d", name, len(got), len(want))
			}
		}
	}
}

// TestMatchersAsAlertmanager compares the parsers and what matches.
func TestMatchersAsAlertmanager(t *testing.T) {
	texts := []string{`a=b`, `a="b"`, ` a = "b" `, `{a="b",c!="d"}`, `a=~"x.*",b!~"y|z",`, `a="",b=""`, `a=`, `a`, `="b"`, `a=="b"`, `a="b`, `a=b"`, `a="b"c"`,
		`a="x\"y"`, `a="x\\y"`, `a="x\ny"`, `a="x\qy"`, `a=x\`, `a="x,y",b=z`, `a=x,y=z`, `{a=b`, `a=b}`, `{}`, ``, `,`, `a=b,,c=d`, `a=b, `, `é=b`, `a=é`, `a="("`, `a=~"("`,
		`a=~"^x$"`, `a:b=c`, `1a=b`, `a=~x|y`, `a="{b}"`, `{{a=b}}`, "a=\"x\ny\"", `a="\"`, `a="\\"`, `a=~"\\d+"`, `a!=b`, `a!~b`, `a=~`, `a=!b`, `a==b`, `a="x}"`}
	sets := []map[string]string{{}, {"a": "b"}, {"a": "x"}, {"a": "x,y"}, {"a": "xyz", "b": "y"}, {"a": "b", "c": "d"}, {"a": "12"}, {"a": `x"y`}, {"a": "x\ny"}}
	for _, text := range texts {
		got, err := notify.ParseMatchers(text)
		want, amErr := labels.ParseMatchers(text)
		if (err == nil) != (amErr == nil) {
			t.Errorf("%q: error %v, Alertmanager's %v", text, err, amErr)
			continue
		}
		if err != nil {
			continue
		}
		for _, set := range sets {
			ls := model.LabelSet{}
			for k, v := range set {
				ls[model.LabelName(k)] = model.LabelValue(v)
			}
			if g, w := got.Matches(set), labels.Matchers(want).Matches(ls); g != w {
				t.Errorf("%q matches %v: %v, Alertmanager %v", text, set, g, w)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%q: %v, Alertmanager %v", text, got, want)
		}
	}
}
