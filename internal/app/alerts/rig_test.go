package alerts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/broker/embedded"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/notify/webhook"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/wire"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// rig is a worker's alerting between a real broker, a real database and a webhook, and
// agents whose batches the test makes by hand.
type rig struct {
	t     testing.TB
	url   string
	db    *postgres.DB
	nats  embedded.Server
	dir   string // of the broker
	cfg   broker.Config
	b     *broker.Broker
	vault *sign.Vault
	hook  *hook
	log   *slog.Logger

	layout sentinel.Layout
	hash   sentinel.LayoutHash
	agents []*agent
}

type agent struct {
	cred  sign.Credential
	epoch sentinel.Epoch
	seq   uint64
}

// logger shows what goes on where a test is looked into.
func logger() *slog.Logger {
	if os.Getenv("ALERTS_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

func newRig(t testing.TB, agents int, url string) *rig {
	t.Helper()
	r := &rig{t: t, url: url, db: postgrestest.Open(t, url), dir: t.TempDir(), hook: newHook(t), log: logger()}
	r.startBroker()
	var err error
	r.vault, err = sign.NewVault("m-test", make([]byte, 32))
	must(t, err)
	registry := fleet.NewRegistry(r.db, r.vault)
	r.layout = sentinel.Layout{sentinel.NewSeries("temperature", sentinel.Gauge, ""), sentinel.NewSeries("load", sentinel.Gauge, "")}
	r.hash = wire.HashLayout(wire.EncodeLayout(r.layout))
	for i := range agents {
		cred, err := registry.Register(t.Context(), fmt.Sprint("host-", i), []sentinel.Label{{Name: "site", Value: "fra"}})
		must(t, err)
		r.agents = append(r.agents, &agent{cred: cred, epoch: sentinel.NewEpoch()})
	}
	r.know()
	return r
}

// know makes the agents' layout known, as a gateway does.
func (r *rig) know() {
	r.t.Helper()
	for _, a := range r.agents {
		must(r.t, r.b.PutLayout(r.t.Context(), a.cred.Agent, r.hash, wire.EncodeLayout(r.layout)))
	}
}

// port returns the broker's.
func (r *rig) port() int {
	return r.nats.Addr().(*net.TCPAddr).Port
}

// tellBoth makes every alert go to the webhook and to another one.
func (r *rig) tellBoth(other string) {
	r.t.Helper()
	r.config(fmt.Sprintf("{url: %q, allow_private: [127.0.0.0/8]}, {url: %q, allow_private: [127.0.0.0/8], timeout: 2s}", r.hook.URL, other))
}

func (r *rig) config(hooks string) {
	r.t.Helper()
	text := "route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s}\nreceivers:\n- name: hook\n  webhook: [" + hooks + "]\n"
	_, err := r.db.PutNotificationConfig(r.t.Context(), by("notification.put"), r.vault.SealText(alerts.NotificationPurpose, []byte(text)), r.vault.ID(), -1)
	must(r.t, err)
}

func (r *rig) startBroker() {
	r.t.Helper()
	var err error
	r.nats, err = embedded.Start(embedded.Config{Dir: r.dir, Listen: -1, MaxBytes: 8 << 30}, r.log)
	must(r.t, err)
	r.t.Cleanup(r.nats.Stop)
	r.cfg = broker.DefaultConfig()
	r.cfg.URL, r.cfg.Partitions, r.cfg.MaxBytes = r.nats.ClientURL(), 4, 1<<30
	r.b, err = broker.Open(r.t.Context(), r.cfg, r.log)
	must(r.t, err)
	r.t.Cleanup(r.b.Close)
}

// work runs one worker's alerting until stop is called.
func (r *rig) work() (stop func()) {
	r.t.Helper()
	b, err := broker.Open(r.t.Context(), r.cfg, r.log)
	must(r.t, err)
	a := alerts.New(alerts.Deps{DB: r.db, Broker: b, Vault: r.vault, Keys: fleet.NewKeyring(r.db, r.vault, r.log), Metrics: telemetry.NewRegistry(), Log: r.log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		b.Close()
	})
	r.t.Cleanup(stop)
	return stop
}

// rules replaces all rules.
func (r *rig) rules(text string) {
	r.t.Helper()
	rows, err := alerts.Rows("test", []byte(text))
	must(r.t, err)
	old, _, err := r.db.AlertRules(r.t.Context())
	must(r.t, err)
	var groups []string
	for _, o := range old {
		groups = append(groups, o.Group)
	}
	_, err = r.db.PutAlertRules(r.t.Context(), by("rule.apply"), rows, groups)
	must(r.t, err)
}

// tell makes every alert of each its own group go to the webhook at once.
func (r *rig) tell() {
	r.t.Helper()
	r.config(fmt.Sprintf("{url: %q, allow_private: [127.0.0.0/8], secret: s3cret}", r.hook.URL))
}

func by(action string) postgres.Entry {
	return postgres.Entry{Actor: postgres.Actor{Kind: postgres.ActorConsole, Name: "test"}, Action: action}
}

// send publishes one cycle of an agent, as a gateway would.
func (r *rig) send(i int, at time.Time, values ...float64) {
	r.t.Helper()
	must(r.t, r.publish(r.t.Context(), i, at, values...))
}

func (r *rig) publish(ctx context.Context, i int, at time.Time, values ...float64) error {
	a := r.agents[i]
	payload, err := wire.EncodeCycles([]sentinel.Cycle{{Layout: r.hash, Time: at.Truncate(time.Millisecond), Values: values}})
	if err != nil {
		return err
	}
	a.seq++
	e := &sentinelpb.Envelope{AgentId: string(a.cred.Agent), Epoch: uint64(a.epoch), Seq: a.seq, Count: 1, Codec: sentinelpb.Codec_CODEC_CYCLES_V1, Payload: payload}
	a.cred.Key.Batch(e)
	raw, err := proto.Marshal(&sentinelpb.Deliveries{Deliveries: []*sentinelpb.Delivery{{Envelope: e, ReceivedUnixMs: time.Now().UnixMilli()}}})
	if err != nil {
		return err
	}
	return r.b.Publish(ctx, broker.Partition(a.cred.Agent, r.b.Partitions()), sentinel.RandomName(8), raw)
}

// hook is a webhook that takes notes.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	got  []note
	wait chan struct{} // closed and replaced with each message
	// Answer, where set, stands in for taking a note.
	answer func(http.ResponseWriter, *http.Request) bool
}

// note is one alert of one message.
type note struct {
	key, status, fingerprint, name, host string
	startsAt                             time.Time
	at                                   time.Time
}

func newHook(t testing.TB) *hook {
	h := &hook{wait: make(chan struct{})}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	answer := h.answer
	h.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	var p webhook.Payload
	if json.NewDecoder(r.Body).Decode(&p) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range p.Alerts {
		h.got = append(h.got, note{r.Header.Get(webhook.HeaderID), a.Status, a.Fingerprint, a.Labels["alertname"], a.Labels["hostname"], a.StartsAt, time.Now()})
	}
	close(h.wait)
	h.wait = make(chan struct{})
}

func (h *hook) notes() ([]note, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got), h.wait
}

// until waits for the notes to be as they have to be.
func (h *hook) until(t testing.TB, patience time.Duration, what string, ok func([]note) bool) []note {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		got, more := h.notes()
		if ok(got) {
			return got
		}
		select {
		case <-end.C:
			t.Fatalf("after %s: %s; got %+v", patience, what, got)
		case <-more:
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// waitFor asks until ok is true, or fails the test.
func waitFor(t testing.TB, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("after %s: %s", patience, what)
		case <-tick.C:
		}
	}
}
