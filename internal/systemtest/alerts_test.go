//go:build linux

package systemtest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/notify/webhook"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const (
	alertAgents  = 20
	alertMetrics = 10
	alertRules   = 50
	// What is wrong on a host lasts from calm to over, of a script of scriptSeconds.
	scriptCalm, scriptOver, scriptSeconds = 4, 24, 32
	killEvery                             = 2500 * time.Millisecond
)

// rounds is how often the script is played; SYSTEMTEST_ALERT_ROUNDS asks for more
// (make soak).
func rounds(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("SYSTEMTEST_ALERT_ROUNDS"), "1"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// scriptedRules look at the metrics in different ways: with and without `for`, recovery
// conditions and keep_firing_for, last values and windows.
func scriptedRules() string {
	var b strings.Builder
	b.WriteString("groups:\n- name: script\n  rules:\n")
	for i := range alertRules {
		fmt.Fprintf(&b, "  - alert: R%d\n    series: m%d\n    condition: above %d\n    for: %ds\n", i, i%alertMetrics, 20+i, i%4)
		switch i % 5 {
		case 1:
			fmt.Fprintf(&b, "    keep_firing_for: 2s\n")
		case 2:
			fmt.Fprintf(&b, "    recovery: below 10\n")
		case 3:
			fmt.Fprintf(&b, "    function: max\n    window: 3s\n")
		case 4:
			fmt.Fprintf(&b, "    function: avg\n    window: 2s\n    annotations: {summary: \"{{ labels.hostname }} has {{ value }}\"}\n")
		}
	}
	return b.String()
}

// scriptedExpression is asked of the database, by one worker of the three: so what it
// says depends on when it is asked, and is not what the reference judges.
const scriptedExpression = "- name: fleet\n  interval: 1s\n  rules:\n  - {alert: Many, expr: count(m0 > 50) >= 10}\n"

// scriptedValue is what a metric of an agent is at a second of the script.
func scriptedValue(agent, metric, second int) float64 {
	second %= scriptSeconds
	if second >= scriptCalm+(agent+metric)%3 && second < scriptOver+(3*agent+metric)%4 {
		return 100 + float64(second%3)
	}
	return float64(second % 2)
}

// script plays the agents' parts: it signs and publishes what they collect, second by
// second, and shows it to the reference.
type script struct {
	s         *system
	b         *broker.Broker
	start     time.Time
	layout    sentinel.Layout
	hash      sentinel.LayoutHash
	epochs    []sentinel.Epoch
	reference *alerting.Engine
	want      map[string][]string // by fingerprint
}

func newScript(s *system) *script {
	s.t.Helper()
	cfg := broker.DefaultConfig()
	cfg.URL = fmt.Sprintf("nats://127.0.0.1:%d", s.ports["nats"])
	b, err := broker.Open(s.t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(b.Close)
	rules, err := alerting.ParseRules("script", []byte(scriptedRules()))
	if err != nil {
		s.t.Fatal(err)
	}
	p := &script{s: s, b: b, reference: alerting.New(rules, alerting.DefaultOptions()), want: map[string][]string{}}
	for m := range alertMetrics {
		p.layout = append(p.layout, sentinel.NewSeries(fmt.Sprint("m", m), sentinel.Gauge, ""))
	}
	p.hash = wire.HashLayout(wire.EncodeLayout(p.layout))
	for _, agent := range s.agents {
		p.epochs = append(p.epochs, sentinel.NewEpoch())
		if err := b.PutLayout(s.t.Context(), agent, p.hash, wire.EncodeLayout(p.layout)); err != nil {
			s.t.Fatal(err)
		}
	}
	return p
}

// second plays one second.
func (p *script) second(n int) error {
	at := p.start.Add(time.Duration(n) * time.Second)
	for i, agent := range p.s.agents {
		values := make([]float64, alertMetrics)
		for m := range values {
			values[m] = scriptedValue(i, m, n)
		}
		payload, err := wire.EncodeCycles([]sentinel.Cycle{{Layout: p.hash, Time: at, Values: values}})
		if err != nil {
			return err
		}
		e := &sentinelpb.Envelope{AgentId: string(agent), Epoch: uint64(p.epochs[i]), Seq: uint64(n + 1), Count: 1, Codec: sentinelpb.Codec_CODEC_CYCLES_V1, Payload: payload}
		p.s.creds[i].Key.Batch(e)
		raw, err := proto.Marshal(&sentinelpb.Deliveries{Deliveries: []*sentinelpb.Delivery{{Envelope: e, ReceivedUnixMs: time.Now().UnixMilli()}}})
		if err != nil {
			return err
		}
		if err := p.b.Publish(p.s.t.Context(), broker.Partition(agent, p.b.Partitions()), sentinel.RandomName(8), raw); err != nil {
			return err
		}
		who := alerting.Agent{ID: agent, Hostname: fmt.Sprint("host-", i)}
		for _, tr := range p.reference.Feed(alerting.Cycle{Agent: who, Layout: p.hash, Series: p.layout, Time: at, Values: values}, at) {
			p.want[tr.Fingerprint] = append(p.want[tr.Fingerprint], sayTransition(tr))
		}
	}
	return nil
}

// sayTransition is what has to be the same however often owners changed.
func sayTransition(tr alerting.Transition) string {
	return fmt.Sprintf("%s %s>%s %s at %d, since %d, fired %d, ended %d", tr.Rule, tr.From, tr.To, tr.Reason, tr.At.UnixMilli(), tr.StartsAt.UnixMilli(), tr.FiredAt.UnixMilli(), tr.EndsAt.UnixMilli())
}

// got reads the transitions that the database has.
func (p *script) got() (map[string][]string, error) {
	out := map[string][]string{}
	for _, agent := range p.s.agents {
		list, err := p.s.db.Incidents(p.s.t.Context(), postgres.IncidentFilter{Agent: string(agent), Limit: 1000})
		if err != nil {
			return nil, err
		}
		for _, in := range list {
			lines, err := p.s.db.Timeline(p.s.t.Context(), in.Fingerprint, 1000)
			if err != nil {
				return nil, err
			}
			for _, l := range slices.Backward(lines) {
				var tr alerting.Transition
				if err := json.Unmarshal([]byte(l.Change), &tr); err != nil {
					return nil, err
				}
				out[in.Fingerprint] = append(out[in.Fingerprint], sayTransition(tr))
			}
		}
	}
	return out, nil
}

// hookConcurrency is how many messages are on their way to the inbox at a time.
const hookConcurrency = 16

// inbox is a webhook that counts the keys of messages by incident and status.
type inbox struct {
	mu   sync.Mutex
	keys map[string]map[string]int // fingerprint, start and status; key
	many map[string]map[string]int // of the expression's incident: status and start; key
}

func newInbox() *inbox {
	return &inbox{keys: map[string]map[string]int{}, many: map[string]map[string]int{}}
}

func (in *inbox) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var p webhook.Payload
	if json.NewDecoder(r.Body).Decode(&p) != nil {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, a := range p.Alerts {
		keys, what := in.keys, fmt.Sprintf("%s %d %s", a.Fingerprint, a.StartsAt.UnixMilli(), a.Status)
		if a.Labels["alertname"] == "Many" {
			keys, what = in.many, fmt.Sprintf("%s %d", a.Status, a.StartsAt.UnixMilli())
		}
		if keys[what] == nil {
			keys[what] = map[string]int{}
		}
		keys[what][r.Header.Get(webhook.HeaderID)]++
	}
}

func (in *inbox) incidents() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.keys)
}

// ofMany counts the begins and the ends that were told of the expression's incident.
func (in *inbox) ofMany() (begins, ends int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for what := range in.many {
		if strings.HasPrefix(what, "firing ") {
			begins++
		} else {
			ends++
		}
	}
	return begins, ends
}

// halves lists the incidents of which only the begin or only the end was told.
func (in *inbox) halves() (list []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	told := map[string]int{}
	for what := range in.keys {
		told[what[:strings.LastIndex(what, " ")]]++
	}
	for what := range in.keys {
		if told[what[:strings.LastIndex(what, " ")]] != 2 {
			list = append(list, what)
		}
	}
	slices.Sort(list)
	return list
}

// TestP26P27KillWorkersWhileIncidentsComeAndGo kills one of three workers after the
// other while 50 rules see something wrong on 20 hosts. What came of it is, transition
// by transition, what one engine says that nobody has killed; and people are told of
// the begin and the end of each incident exactly once, but for repeats of the messages
// that were on their way when a process died, with the same keys.
func TestP26P27KillWorkersWhileIncidentsComeAndGo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 45 seconds")
	}
	s := newSystem(t, alertAgents)
	box := newInbox()
	hook := httptest.NewServer(box)
	t.Cleanup(hook.Close)
	s.prepareAlerts(hook.URL)
	s.addNATS()
	for i := range 3 {
		name := fmt.Sprint("worker-", i)
		s.add(name, "worker", s.write(name, fmt.Sprintf("worker: {listen: \"\"}\nbroker: {url: \"nats://127.0.0.1:%d\"}\nsecurity: {master_key_file: %s/master.key}\n", s.ports["nats"], s.dir)))
	}
	p := newScript(s)
	waitFor(t, 30*time.Second, "the workers do not begin", func() bool {
		entries, err := p.b.Bucket(broker.BucketOwners).All(t.Context(), "partition.")
		return err == nil && len(entries) == p.b.Partitions()
	})
	p.start = time.Now().Truncate(time.Second).Add(time.Second)
	n := rounds(t) * scriptSeconds
	kills := s.playAndKill(p, n)

	want := 0
	for _, list := range p.want {
		want += len(list)
	}
	have := 0
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("P26: after %d kills the database has %d transitions, the reference %d", kills, have, want)
		}
	})
	waitFor(t, 40*time.Second, "the transitions do not come", func() bool {
		got, err := p.got()
		if err != nil {
			return false
		}
		have = 0
		for _, list := range got {
			have += len(list)
		}
		return have >= want
	})
	got, err := p.got()
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for fp, list := range p.want {
		if !slices.Equal(got[fp], list) {
			if wrong++; wrong <= 5 {
				t.Errorf("P26: %s\ngot  %s\nwant %s", fp, strings.Join(got[fp], "\n     "), strings.Join(list, "\n     "))
			}
		}
	}
	if len(got) != len(p.want) || wrong > 0 {
		t.Errorf("P26: %d incidents, want %d; %d of them are not as they have to be", len(got), len(p.want), wrong)
	}
	if rounds(t) > 1 { // it has to wait for what killed writers had fetched
		s.checkBacktest(p, n)
	}
	incidents := 2 * len(p.want) * rounds(t)
	t.Cleanup(func() {
		if halves := box.halves(); t.Failed() {
			t.Logf("P27: %d of %d were told; of %d only one half: %v", box.incidents(), incidents, len(halves), halves[:min(len(halves), 10)])
		}
	})
	waitFor(t, 60*time.Second, "P27: people do not hear of every begin and every end", func() bool { return box.incidents() >= incidents })
	if box.incidents() > incidents {
		t.Errorf("P27: %d begins and ends were told, there were %d", box.incidents(), incidents)
	}
	s.checkMany(box)
	twice := 0
	for _, told := range []map[string]map[string]int{box.keys, box.many} {
		for what, keys := range told {
			if len(keys) != 1 {
				t.Errorf("P27: %s was told in %d messages", what, len(keys))
			}
			for _, times := range keys {
				twice += times - 1
			}
		}
	}
	// A kill repeats what was on its way: of each group one message, of the channel as
	// many as it sends at a time.
	if most := kills * hookConcurrency; twice > most {
		t.Errorf("P27: %d repeats for %d kills, want %d at the most: what was on its way", twice, kills, most)
	}
	t.Logf("%d kills; %d incidents, %d transitions as the reference has them; %d told, %d messages twice with the same key", kills, len(p.want), want, box.incidents(), twice)
}

// checkMany looks at the one incident that is about no single agent. In each round it
// begins and ends, unless nobody asked while it was over: an owner died just then.
func (s *system) checkMany(box *inbox) {
	s.t.Helper()
	var changes []string
	waitFor(s.t, 40*time.Second, "P26: the expression's incident does not end", func() bool {
		list, err := s.db.Incidents(s.t.Context(), postgres.IncidentFilter{Rule: "fleet/Many"})
		if err != nil || len(list) != 1 {
			return false
		}
		lines, err := s.db.Timeline(s.t.Context(), list[0].Fingerprint, 1000)
		if err != nil {
			return false
		}
		changes = changes[:0]
		for _, l := range slices.Backward(lines) {
			if l.From != l.To { // no mere update of its value
				changes = append(changes, l.From+">"+l.To)
			}
		}
		return len(changes) > 0 && strings.HasSuffix(changes[len(changes)-1], ">resolved")
	})
	for i, c := range changes {
		if want := []string{">firing", "firing>resolved"}[i%2]; !strings.HasSuffix(c, want) {
			s.t.Errorf("P26: change %d of the expression's incident is %s, want %s: %v", i, c, want, changes)
		}
	}
	incidents := len(changes) / 2
	if incidents > rounds(s.t) {
		s.t.Errorf("P26: the expression had %d incidents in %d rounds", incidents, rounds(s.t))
	}
	begins, ends := 0, 0
	waitFor(s.t, 40*time.Second, "P27: people do not hear of the expression's begin and end", func() bool {
		begins, ends = box.ofMany()
		return begins >= incidents && ends >= incidents
	})
	if begins != incidents || ends != incidents {
		s.t.Errorf("P27: %d begins and %d ends of %d of the expression's incidents were told", begins, ends, incidents)
	}
}

// checkBacktest plays the stored history through the engine: the same transitions.
func (s *system) checkBacktest(p *script, seconds int) {
	s.t.Helper()
	for i := range s.agents {
		waitFor(s.t, 60*time.Second, fmt.Sprintf("agent %d's cycles are not all stored", i), func() bool { return len(s.stored(i)) == seconds })
	}
	rules, err := alerting.ParseRules("script", []byte(scriptedRules()))
	if err != nil {
		s.t.Fatal(err)
	}
	b := alerts.Backtest{DB: s.db, From: p.start.Add(-time.Minute), To: p.start.Add(time.Duration(seconds) * time.Second)}
	out, err := b.Play(s.t.Context(), rules)
	if err != nil {
		s.t.Fatal(err)
	}
	got := map[string][]string{}
	for _, tr := range out.Transitions {
		got[tr.Fingerprint] = append(got[tr.Fingerprint], sayTransition(tr))
	}
	wrong := 0
	for fp, list := range p.want {
		list = slices.DeleteFunc(slices.Clone(list), func(line string) bool { return strings.Contains(line, " firing>firing ") })
		if !slices.Equal(got[fp], list) {
			if wrong++; wrong <= 3 {
				s.t.Errorf("the backtest says\n%s\nwant\n%s", strings.Join(got[fp], "\n"), strings.Join(list, "\n"))
			}
		}
	}
	if wrong > 0 || len(got) != len(p.want) {
		s.t.Errorf("the backtest has %d incidents, want %d; %d are not those of the live engine", len(got), len(p.want), wrong)
	}
}

// prepareAlerts writes rules and receivers into the database.
func (s *system) prepareAlerts(hook string) {
	s.t.Helper()
	rows, err := alerts.Rows("script", []byte(scriptedRules()+scriptedExpression))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.db.PutAlertRules(s.t.Context(), fleet.Console("test"), rows, nil); err != nil {
		s.t.Fatal(err)
	}
	text := fmt.Sprintf("route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s}\nreceivers:\n- name: hook\n  webhook: [{url: %q, allow_private: [127.0.0.0/8], concurrency: %d}]\n", hook, hookConcurrency)
	if _, err := s.db.PutNotificationConfig(s.t.Context(), fleet.Console("test"), s.vault.SealText(alerts.NotificationPurpose, []byte(text)), s.vault.ID(), -1); err != nil {
		s.t.Fatal(err)
	}
}

// playAndKill plays n seconds of the script and kills workers meanwhile.
func (s *system) playAndKill(p *script, n int) (kills int) {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	var killing sync.WaitGroup
	killing.Go(func() {
		clock := time.NewTicker(killEvery)
		defer clock.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-clock.C:
			}
			s.killAndRestart(fmt.Sprint("worker-", kills%3))
			kills++
		}
	})
	for second := range n {
		due := time.NewTimer(time.Until(p.start.Add(time.Duration(second) * time.Second)))
		<-due.C
		if err := p.second(second); err != nil {
			s.t.Error(err)
			break
		}
	}
	stop()
	killing.Wait()
	return kills
}
