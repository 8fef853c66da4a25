package notifiers_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sentinelgo/sentinel/internal/app/notifiers"
	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/notify/notifytest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

var update = flag.Bool("update", false, "write the golden files")

// service takes requests over TLS and keeps them.
type service struct {
	*httptest.Server
	ca string

	mu     sync.Mutex
	status int
	got    []*http.Request
	bodies [][]byte
}

func newService(t testing.TB) *service {
	t.Helper()
	s := &service{status: 200}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got, s.bodies = append(s.got, r), append(s.bodies, body)
		if s.status != 200 {
			// A service that repeats everything it was sent.
			w.WriteHeader(s.status)
			fmt.Fprint(w, r.URL, r.Header, string(body))
		}
	}))
	t.Cleanup(s.Close)
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(s.ca, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// every is a file with one channel of every kind over HTTP.
func (s *service) every() string {
	common := fmt.Sprintf("allow_private: [127.0.0.1/32], ca_file: %s", s.ca)
	kinds := map[string]string{
		"webhook": "url: URL/T0KEN, secret: T0KENkey, bearer_token: T0KENbearer", "slack": "url: URL/services/T0KEN", "discord": "url: URL/api/webhooks/1/T0KEN",
		"msteams": "url: 'URL/workflows/T0KEN?sig=T0KEN'", "telegram": "url: URL, token: '123:T0KEN', chat_id: '-100'", "pagerduty": "url: URL/v2/enqueue, routing_key: T0KEN",
		"opsgenie": "url: URL, api_key: T0KEN", "ntfy": "url: URL, topic: ops, token: T0KEN", "gotify": "url: URL, token: T0KEN",
		"pushover": "url: URL/1/messages.json, token: T0KENapp, user: T0KENuser", "mattermost": "url: URL/hooks/T0KEN",
	}
	var b strings.Builder
	b.WriteString("route: {receiver: ops}\nreceivers:\n- name: ops\n")
	for kind, keys := range kinds {
		fmt.Fprintf(&b, "  %s:\n  - {%s, %s}\n", kind, strings.ReplaceAll(keys, "URL", s.URL), common)
	}
	return b.String()
}

func (s *service) channels(t testing.TB) []notify.Channel {
	t.Helper()
	setup, err := notifiers.Parse("test.yml", []byte(s.every()))
	if err != nil {
		t.Fatal(err)
	}
	return setup.Receivers["ops"]
}

func (s *service) take() (requests []*http.Request, bodies [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests, bodies, s.got, s.bodies = s.got, s.bodies, nil, nil
	return requests, bodies
}

// TestPayloads compares what every kind sends with a golden file.
func TestPayloads(t *testing.T) {
	s := newService(t)
	ended := notifytest.Message(notifytest.Ended(notifytest.Alert("db1")))
	ended.Reason = notify.ReasonResolved
	acked := notifytest.Message(notifytest.Alert("db1"))
	acked.Reason, acked.Note = notify.ReasonAcknowledged, "Acknowledged by ann: on it"
	digest := notifytest.Message(notifytest.Alert("db1"))
	digest.Reason, digest.Note = notify.ReasonDigest, "These alerts keep changing"
	test := notify.TestMessage("ops", "https://sentinel.example.org")
	test.Time, test.Key = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), "test"
	test.Alerts[0].StartsAt, test.Alerts[0].EndsAt = test.Time.Add(-time.Minute), test.Time
	hostile := notifytest.Message(notifytest.Hostile())
	for _, ch := range s.channels(t) {
		var out bytes.Buffer
		for _, m := range []struct {
			name string
			n    *notify.Notification
		}{{"firing", notifytest.Message(notifytest.Alert("db1"), notifytest.Alert("db2"))}, {"resolved", ended}, {"acknowledged", acked}, {"digest", digest}, {"test", test}, {"hostile", hostile}} {
			if err := ch.Notifier.Notify(t.Context(), m.n); err != nil {
				t.Errorf("%s, %s: %v", ch.Kind, m.name, err)
			}
			requests, bodies := s.take()
			fmt.Fprintf(&out, "== %s\n", m.name)
			for i, r := range requests {
				fmt.Fprintf(&out, "%s %s\n", r.Method, r.URL)
				for _, h := range []string{"Authorization", "Content-Type", "Idempotency-Key", "X-Gotify-Key", "X-Sentinel-Id"} {
					if v := r.Header.Get(h); v != "" {
						fmt.Fprintf(&out, "%s: %s\n", h, v)
					}
				}
				var pretty bytes.Buffer
				if err := json.Indent(&pretty, bodies[i], "", "  "); err != nil {
					t.Errorf("%s, %s: %v", ch.Kind, m.name, err)
				}
				fmt.Fprintf(&out, "%s\n", pretty.String())
			}
		}
		golden(t, ch.Kind, out.Bytes())
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from its golden file; -update writes it. Got:\n%s", name, got)
	}
}

// TestP20NoSecretInErrorsOfAnyKind lets the service repeat every secret.
func TestP20NoSecretInErrorsOfAnyKind(t *testing.T) {
	s := newService(t)
	for _, status := range []int{400, 429, 500} {
		s.status = status
		for _, ch := range s.channels(t) {
			err := ch.Notifier.Notify(t.Context(), notifytest.Message(notifytest.Alert("db1")))
			if err == nil || strings.Contains(err.Error(), "T0KEN") {
				t.Errorf("%s, %d: %v", ch.Kind, status, err)
			}
			var f *notify.Failure
			if !asFailure(err, &f) || f.Permanent != (status == 400) {
				t.Errorf("%s, %d: %+v", ch.Kind, status, f)
			}
			if shown := fmt.Sprintf("%+v %#v", ch.Notifier, ch.Notifier); strings.Contains(shown, "T0KEN") {
				t.Errorf("%s shows its secret: %s", ch.Kind, shown)
			}
		}
	}
}

func asFailure(err error, f **notify.Failure) bool {
	for ; err != nil; err = unwrap(err) {
		if x, ok := err.(*notify.Failure); ok {
			*f = x
			return true
		}
	}
	return false
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

// TestP29NoKindReachesInside asks every kind for an address that it was not given.
func TestP29NoKindReachesInside(t *testing.T) {
	s := newService(t)
	text := strings.ReplaceAll(s.every(), "allow_private: [127.0.0.1/32]", "allow_private: []")
	setup, err := notifiers.Parse("test.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range setup.Receivers["ops"] {
		err := ch.Notifier.Notify(t.Context(), notifytest.Message(notifytest.Alert("db1")))
		var f *notify.Failure
		if !asFailure(err, &f) || !f.Permanent || !strings.Contains(err.Error(), "not public") {
			t.Errorf("%s: %v", ch.Kind, err)
		}
	}
	if got, _ := s.take(); len(got) != 0 {
		t.Errorf("%d requests came through", len(got))
	}
}

// limits are the services' own, in characters of the field that the path names.
var limits = map[string]map[string]int{
	"discord": {"title": 256, "description": 4096}, "slack": {"text": 3000}, "telegram": {"text": 4096}, "pagerduty": {"summary": 1024},
	"opsgenie": {"message": 130, "description": 15000, "alias": 512}, "ntfy": {"message": 4096}, "pushover": {"title": 250, "message": 1024}, "mattermost": {"text": 16383},
}

func checkLimits(t testing.TB, kind string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok && limits[kind][k] > 0 && utf8.RuneCountInString(s) > limits[kind][k] {
				t.Errorf("%s: %s has %d characters, more than %d", kind, k, utf8.RuneCountInString(s), limits[kind][k])
			}
			checkLimits(t, kind, e)
		}
	case []any:
		for _, e := range v {
			checkLimits(t, kind, e)
		}
	}
}

// sendHostile sends an alert through every kind and judges what arrives.
func sendHostile(t testing.TB, s *service, channels []notify.Channel, a notify.Alert) {
	t.Helper()
	n := notifytest.Message()
	copies := 30
	if len(a.Annotations["summary"]) > 10_000 {
		copies = 2 // the limits have to hold all the same
	}
	for i := range copies {
		b := a
		b.Fingerprint = fmt.Sprint(i)
		n.Alerts = append(n.Alerts, b)
	}
	for _, ch := range channels {
		if err := ch.Notifier.Notify(t.Context(), n); err != nil {
			t.Errorf("%s: %v", ch.Kind, err)
		}
		_, bodies := s.take()
		for _, body := range bodies {
			var v any
			if err := json.Unmarshal(body, &v); err != nil || !utf8.Valid(body) {
				t.Errorf("%s sends no valid JSON: %v", ch.Kind, err)
			}
			checkLimits(t, ch.Kind, v)
			if ch.Kind == "msteams" && len(body) > 28<<10 {
				t.Errorf("msteams: %d bytes", len(body))
			}
			if ch.Kind != "webhook" && len(body) > 256<<10 {
				t.Errorf("%s: %d bytes", ch.Kind, len(body))
			}
		}
	}
}

func TestP22HostileTextsStayInTheLimits(t *testing.T) {
	s := newService(t)
	channels := s.channels(t)
	for _, text := range []string{"", strings.Repeat("ä", 1<<18), strings.Repeat("<&>", 1<<16), strings.Repeat("*_`[]", 1<<16), strings.Repeat("\n", 1<<18), strings.Repeat("\xff", 1<<18),
		strings.Repeat("@everyone <!channel> ", 10_000), strings.Repeat("{{", 1<<17), strings.Repeat("🔥", 1<<16), "\x00"} {
		a := notifytest.Alert("db1")
		a.Labels["long"], a.Annotations["summary"], a.Annotations["description"], a.Runbook = text, text, text, text
		sendHostile(t, s, channels, a)
	}
}

// TestMentionsReachNobody looks for marks that would ring somebody.
func TestMentionsReachNobody(t *testing.T) {
	s := newService(t)
	for _, ch := range s.channels(t) {
		if err := ch.Notifier.Notify(t.Context(), notifytest.Message(notifytest.Hostile())); err != nil {
			t.Error(err)
		}
		_, bodies := s.take()
		bad := map[string]string{"slack": "<!channel>", "discord": "@everyone", "mattermost": "@everyone", "telegram": "<script>", "msteams": "|[x](javascript"}[ch.Kind]
		for _, b := range bodies {
			if bad != "" && bytes.Contains(b, []byte(bad)) {
				t.Errorf("%s: %q went through: %s", ch.Kind, bad, b)
			}
		}
	}
}

// TestSignature checks a request as docs/notifications.md tells receivers to.
func TestSignature(t *testing.T) {
	s := newService(t)
	for _, ch := range s.channels(t) {
		if ch.Kind != "webhook" {
			continue
		}
		if err := ch.Notifier.Notify(t.Context(), notifytest.Message(notifytest.Alert("db1"))); err != nil {
			t.Fatal(err)
		}
		requests, bodies := s.take()
		h := requests[0].Header
		mac := hmac.New(sha256.New, []byte("T0KENkey"))
		fmt.Fprintf(mac, "%s.%s.%s", h.Get("X-Sentinel-Timestamp"), h.Get("X-Sentinel-Id"), bodies[0])
		if want := "v1=" + hex.EncodeToString(mac.Sum(nil)); h.Get("X-Sentinel-Signature") != want {
			t.Errorf("signature %s, want %s", h.Get("X-Sentinel-Signature"), want)
		}
		if h.Get("Authorization") != "Bearer T0KENbearer" {
			t.Error("no bearer token")
		}
	}
}

func TestSecretsFromFilesAreReadEachTime(t *testing.T) {
	s := newService(t)
	file := filepath.Join(t.TempDir(), "url")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	setup, err := notifiers.Parse("f", []byte(fmt.Sprintf("route: {receiver: a}\nreceivers: [{name: a, slack: [{url_file: %s, allow_private: [127.0.0.1], ca_file: %s}]}]", file, s.ca)))
	if err != nil {
		t.Fatal(err)
	}
	ch := setup.Receivers["a"][0]
	for _, path := range []string{"/one", "/two"} {
		write(s.URL + path + "\n")
		if err := ch.Notifier.Notify(t.Context(), notifytest.Message(notifytest.Alert("x"))); err != nil {
			t.Fatal(err)
		}
		if got, _ := s.take(); len(got) != 1 || got[0].URL.Path != path {
			t.Errorf("not read again: %v", got)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := ch.Notifier.Notify(t.Context(), notifytest.Message(notifytest.Alert("x"))); err == nil {
		t.Error("sent without a URL")
	}
}

func TestWatchdogPingsWhileThePipelineLives(t *testing.T) {
	s := newService(t)
	setup, err := notifiers.Parse("f", []byte(fmt.Sprintf("route: {receiver: a}\nreceivers: [{name: a}]\nwatchdogs: [{url: '%s/ping/T0KEN', interval: 1s, timeout: 1s, allow_private: [127.0.0.1], ca_file: %s}]", s.URL, s.ca)))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 100)
	fine := make(chan error, 1)
	fine <- nil
	dogs, err := setup.Watchdogs(func(context.Context) error {
		asked <- struct{}{}
		select {
		case err := <-fine:
			return err
		default:
			return sentinel.Errorf(sentinel.Unavailable, "stuck")
		}
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- dogs[0].Run(ctx) }()
	<-asked
	<-asked
	<-asked
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got, _ := s.take(); len(got) != 1 || got[0].Method != "GET" || got[0].URL.Path != "/ping/T0KEN" {
		t.Errorf("%d pings, want one", len(got))
	}
}

func TestParseNamesLineAndKey(t *testing.T) {
	head := "route:\n  receiver: a\n"
	for _, tt := range []struct{ text, want string }{
		{"receivers: [{name: a}]\n", "route.receiver: is missing"},
		{head, "f:2: route.receiver: there is no receiver \"a\""},
		{head + "receivers:\n- name: a\n  slak: []\n", `f:5: receivers[0].slak: unknown key; did you mean "slack"?`},
		{head + "receivers:\n- name: a\n  slack:\n  - {}\n", "f:6: receivers[0].slack[0].url: is missing; write it or url_file"},
		{head + "receivers:\n- name: a\n  slack:\n  - url: ftp://x\n", "f:6: receivers[0].slack[0].url: want a URL"},
		{head + "receivers:\n- name: a\n  slack:\n  - url: https://x\n    timeout: 1h\n", "f:7: receivers[0].slack[0].timeout: 1h0m0s, want"},
		{head + "receivers:\n- name: a\n  slack:\n  - url: https://x\n    allow_private: [10.0.0.0/99]\n", "f:7: receivers[0].slack[0].allow_private[0]:"},
		{head + "receivers:\n- name: a\n  email:\n  - host: h\n    from: x\n    to: [a@b.c]\n", "f:7: receivers[0].email[0].from:"},
		{head + "receivers:\n- name: a\n- name: a\n", "f:5: receivers[1].name: \"a\" stands there twice"},
		{head + "  routes:\n  - matchers:\n    - a=b\n    - a\nreceivers: [{name: a}]\n", "f:5: route.routes[0].matchers[1]: \"a\" is no matcher"},
		{head + "  routes:\n  - receiver: b\nreceivers: [{name: a}]\n", "f:4: route.routes[0].receiver: there is no receiver \"b\""},
		{head + "  routes:\n  - mute_time_intervals: [x]\nreceivers: [{name: a}]\n", "f:4: route.routes[0].mute_time_intervals[0]: there is no time interval"},
		{head + "  routes:\n  - group_by: ['...', a]\nreceivers: [{name: a}]\n", "f:4: route.routes[0].group_by: '...' means all labels"},
		{head + "  routes:\n  - group_interval: 0s\nreceivers: [{name: a}]\n", "f:4: route.routes[0].group_interval: 0s, want at least 1s"},
		{head + "  escalations: [{after: 5m, receiver: z}]\nreceivers: [{name: a}]\n", "f:3: route.escalations[0].receiver: there is no receiver"},
		{head + "receivers: [{name: a}]\ntime_intervals:\n- name: n\n  time_intervals:\n  - times: [{start_time: '9:00', end_time: '10:00'}]\n", "f:7: time_intervals[0].time_intervals[0].times[0].start_time: want a time of day"},
		{head + "receivers: [{name: a}]\ninhibit_rules:\n- source_matchers: ['a=b']\n", "f:5: inhibit_rules[0].target_matchers: is missing"},
	} {
		if _, err := notifiers.Parse("f", []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) || sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%q:\nerror is %v\nwant     %s", tt.text, err, tt.want)
		}
	}
}

// TestExamplesOfTheManual parses every example of docs/notifications.md.
func TestExamplesOfTheManual(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(raw), -1)
	kinds := []string{}
	for _, b := range blocks {
		text := b[1]
		if !strings.Contains(text, "\nroute:") && !strings.HasPrefix(text, "route:") {
			text = "route: {receiver: ops}\n" + text
		}
		if !strings.Contains(text, "receivers:") {
			text += "receivers: [{name: ops}, {name: db-team}, {name: boss}]\n"
		}
		setup, err := notifiers.Parse("example", []byte(text))
		if err != nil {
			t.Errorf("%v\n%s", err, b[1])
			continue
		}
		for _, list := range setup.Receivers {
			for _, ch := range list {
				kinds = append(kinds, ch.Kind)
			}
		}
	}
	slices.Sort(kinds)
	if kinds = slices.Compact(kinds); len(kinds) != 12 {
		t.Errorf("the manual has examples of %v, want all 12 kinds", kinds)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("route: {receiver: a}\nreceivers: [{name: a, webhook: [{url: https://x}]}]\n"))
	f.Add([]byte("route:\n  receiver: a\n  routes: [{matchers: ['a=~\"b\"'], group_by: ['...']}]\nreceivers: [{name: a}]\ntime_intervals: [{name: x, time_intervals: [{weekdays: [monday]}]}]\n"))
	f.Add([]byte("a: &a [*a]\nroute: *a"))
	f.Fuzz(func(t *testing.T, text []byte) {
		setup, err := notifiers.Parse("fuzz", text)
		if err != nil {
			if sentinel.CodeOf(err) != sentinel.Invalid {
				t.Errorf("code %v: %v", sentinel.CodeOf(err), err)
			}
			return
		}
		setup.Routing.Explain(map[string]string{"a": "b", "alertname": "x"}, time.Unix(1_800_000_000, 0))
	})
}

func FuzzPayloads(f *testing.F) {
	s := newService(f)
	channels := s.channels(f)
	h := notifytest.Hostile()
	f.Add(h.Labels["instance"], h.Annotations["summary"], h.Annotations["description"])
	f.Add("\xff\xfe", strings.Repeat("<", 5000), "{{ $labels.instance }}")
	f.Fuzz(func(t *testing.T, label, summary, description string) {
		a := notifytest.Alert("db1")
		a.Labels[label], a.Labels["instance"] = label, label
		a.Annotations["summary"], a.Annotations["description"], a.Runbook = summary, description, label
		sendHostile(t, s, channels, a)
	})
}
