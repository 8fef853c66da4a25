package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/notify/notifytest"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// recorder is a notifier that takes notes of what it was sent and when.
type recorder struct {
	mu    sync.Mutex
	start time.Time
	got   []*notify.Notification
	at    []time.Duration
	fail  func(n *notify.Notification, try int) error // nil means that all is well
	hang  func(n *notify.Notification) bool
	tries int
}

func (r *recorder) Notify(ctx context.Context, n *notify.Notification) error {
	r.mu.Lock()
	r.tries++
	try, hang, fail := r.tries, r.hang, r.fail
	r.mu.Unlock()
	if hang != nil && hang(n) {
		<-ctx.Done()
		return ctx.Err()
	}
	if fail != nil {
		if err := fail(n, try); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.at = append(r.got, n), append(r.at, time.Since(r.start))
	return nil
}

func (r *recorder) tried() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tries
}

// lines shows what was received, a line for each message: time, reason, alerts.
func (r *recorder) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for i, n := range r.got {
		var alerts []string
		for _, a := range n.Alerts {
			mark := "+"
			if a.State == notify.Resolved {
				mark = "-"
			}
			alerts = append(alerts, mark+a.Fingerprint)
		}
		out = append(out, fmt.Sprintf("%s %s %s", r.at[i], n.Reason, strings.Join(alerts, " ")))
	}
	return out
}

func (r *recorder) keys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, n := range r.got {
		out = append(out, n.Key)
	}
	return out
}

// bench is a dispatcher with two receivers, a and b, under a faked clock.
type bench struct {
	t     *testing.T
	d     *notify.Dispatcher
	store *notifytest.Store
	sil   *notify.Silences
	reg   *telemetry.Registry
	a, b  *recorder
	tune  func(*notify.ChannelConfig)
	conf  string
	stop  func()
	done  chan error
	seen  []notify.Delivery
	mu    sync.Mutex
	// before, if set, puts what a new process knows before it runs.
	before func(*notify.Dispatcher)
}

func newBench(t *testing.T, conf string) *bench {
	return &bench{t: t, conf: conf, store: &notifytest.Store{}, a: &recorder{start: time.Now()}, b: &recorder{start: time.Now()}, stop: func() {}}
}

func routing(t testing.TB, conf string) *notify.Routing {
	t.Helper()
	var c notify.Config
	if err := config.Decode("test", []byte(conf), &c); err != nil {
		t.Fatal(err)
	}
	r, err := c.Compile([]string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run starts a new process on the same store.
func (b *bench) run() {
	b.sil, b.reg = notify.NewSilences(b.store), telemetry.NewRegistry()
	channel := func(name string, r *recorder) []notify.Channel {
		cfg := notify.DefaultChannelConfig()
		if b.tune != nil {
			b.tune(&cfg)
		}
		return []notify.Channel{{ID: name + "/test/0", Kind: "test", Notifier: r, ChannelConfig: cfg}}
	}
	b.d = notify.New(notify.Options{Routing: routing(b.t, b.conf), Store: b.store, Silences: b.sil, Log: slog.New(slog.DiscardHandler), Metrics: b.reg,
		Receivers: map[string][]notify.Channel{"a": channel("a", b.a), "b": channel("b", b.b)},
		Delivered: func(d notify.Delivery) { b.mu.Lock(); b.seen = append(b.seen, d); b.mu.Unlock() }})
	if b.before != nil {
		b.before(b.d)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	b.done = make(chan error, 1)
	go func() { b.done <- b.d.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-b.done; err != nil {
			b.t.Errorf("run: %v", err)
		}
	}
	synctest.Wait()
}

func alert(fp string, labels ...string) notify.Alert {
	l := map[string]string{"alertname": "X", "id": fp}
	for i := 0; i < len(labels); i += 2 {
		l[labels[i]] = labels[i+1]
	}
	return notify.Alert{Fingerprint: fp, Labels: l, State: notify.Firing, StartsAt: time.Now()}
}

func ended(a notify.Alert) notify.Alert {
	a.State, a.EndsAt = notify.Resolved, time.Now()
	return a
}

func (b *bench) put(alerts ...notify.Alert) {
	b.t.Helper()
	if err := b.d.Put(alerts...); err != nil {
		b.t.Fatal(err)
	}
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantLines(t *testing.T, r *recorder, want ...string) {
	t.Helper()
	if got := r.lines(); !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

const simple = `
route:
  receiver: a
  group_by: [alertname]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 1h
`

const instant = `
route:
  receiver: a
  group_by: ['...']
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
`

func TestGroupWaitIntervalAndRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, simple)
		b.run()
		defer b.stop()
		x, y := alert("x"), alert("y")
		b.put(x)
		after(5 * time.Second)
		b.put(y)
		after(20 * time.Second) // 25 s
		z := alert("z")
		b.put(z)
		after(time.Minute) // 1m25s
		b.put(ended(x))
		after(time.Minute) // 2m25s
		after(time.Hour + 2*time.Minute)
		b.put(ended(y), ended(z))
		after(2 * time.Minute)
		wantLines(t, b.a, "10s first +x +y", "1m10s firing +x +y +z", "2m10s resolved +y +z -x", "1h3m10s repeat +y +z", "1h5m10s resolved -y -z")
		if left := b.d.Alerts(); len(left) != 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

func TestP27RestartTellsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, simple)
		b.run()
		x, y := alert("x"), alert("y")
		b.put(x, y)
		after(time.Minute)
		b.stop()
		b.run()
		defer func() { b.stop() }()
		b.put(x, ended(y))
		after(time.Minute)
		b.stop()
		b.run()
		b.put(x, ended(y))
		after(2 * time.Minute)
		wantLines(t, b.a, "10s first +x +y", "1m0s resolved +x -y")
	})
}

// TestHousekeepingDoesNotWaitForItself lets housekeeping and flushes meet: both need
// the alerts and the acknowledgements.
func TestHousekeepingDoesNotWaitForItself(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, strings.Replace(simple, "group_wait: 10s", "group_wait: 0s", 1)) // flushes on the hour
			b.run()
			defer b.stop()
			for i := range 50 {
				fp := fmt.Sprint(i)
				b.put(alert(fp))
				if _, err := b.d.Acknowledge(t.Context(), fp, "ann", ""); err != nil {
					t.Fatal(err)
				}
			}
			after(12*time.Hour + 30*time.Second)
		})
	}
}

// TestP27CrashSendsAgainWithTheSameKey kills the process at every write of the log.
func TestP27CrashSendsAgainWithTheSameKey(t *testing.T) {
	for _, at := range []int{1, 2, 3, 4} {
		t.Run(fmt.Sprint("write ", at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, instant)
				writes := 0
				var dead atomic.Bool
				b.store.Fault = func(op, key string) error {
					if op == "put" {
						if writes++; writes == at {
							dead.Store(true)
						}
					}
					if dead.Load() {
						return errors.New("the process is dead")
					}
					return nil
				}
				b.a.fail = func(*notify.Notification, int) error {
					if dead.Load() {
						return errors.New("the process is dead")
					}
					return nil
				}
				b.run()
				x := alert("x")
				b.put(x)
				after(10 * time.Second)
				end := ended(x)
				b.put(end)
				after(10 * time.Second)
				b.stop()
				dead.Store(false)
				b.store.Fault = nil
				b.run()
				if at < 3 {
					b.put(x)
					after(10 * time.Second)
				}
				b.put(end)
				after(10 * time.Second)
				b.stop()
				var kinds []string
				byKey := map[string]int{}
				for i, l := range b.a.lines() {
					key := b.a.keys()[i]
					if byKey[key]++; byKey[key] == 1 {
						kinds = append(kinds, strings.Fields(l)[2])
					} else if byKey[key] > 2 {
						t.Errorf("%s was sent %d times", key, byKey[key])
					}
				}
				if !slices.Equal(kinds, []string{"+x", "-x"}) {
					t.Errorf("told %v, want the firing and the resolved: %v", kinds, b.a.lines())
				}
			})
		})
	}
}

// TestP27CrashAfterSending dies between the sending of a message and the writing of its
// outcome; another alert of the group has come up before the next process starts. The
// same message has to go out first, under the same key.
func TestP27CrashAfterSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, simple)
		var dead atomic.Bool
		b.a.fail = func(*notify.Notification, int) error { dead.Store(true); return nil }
		b.store.Fault = func(string, string) error {
			if dead.Load() {
				return errors.New("the process is dead")
			}
			return nil
		}
		b.run()
		x, y := alert("x"), alert("y")
		b.put(x)
		after(30 * time.Second)
		b.stop()
		dead.Store(false)
		b.a.fail, b.store.Fault = nil, nil
		b.run()
		defer b.stop()
		b.put(x, y)
		after(5 * time.Minute)
		wantLines(t, b.a, "10s first +x", "30s first +x", "30s firing +x +y")
		if k := b.a.keys(); len(k) != 3 || k[0] != k[1] || k[1] == k[2] {
			t.Errorf("keys %v", k)
		}
	})
}

func TestP27StoreDownDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, instant)
		b.run()
		defer b.stop()
		b.store.Fault = func(string, string) error { return errors.New("down") }
		x := alert("x")
		b.put(x)
		after(2 * time.Second)
		b.put(ended(x))
		after(2 * time.Second)
		wantLines(t, b.a, "0s first +x", "3s resolved -x")
	})
}

// TestAWriteWithUnknownOutcome loses the answers of writes that happened.
func TestP27AWriteWithUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, instant)
		b.run()
		defer b.stop()
		n := 0
		b.store.Lost = func(string) bool { n++; return n%2 == 1 }
		x := alert("x")
		b.put(x)
		after(time.Minute)
		b.put(ended(x))
		after(time.Minute)
		wantLines(t, b.a, "0s first +x", "1m1s resolved -x")
	})
}

func TestP27ResolvedNeverOvertakesFiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, instant)
		b.a.fail = func(n *notify.Notification, try int) error {
			if try <= 3 {
				return errors.New("busy")
			}
			return nil
		}
		b.run()
		defer b.stop()
		x := alert("x")
		b.put(x)
		after(100 * time.Millisecond)
		b.put(ended(x))
		after(10 * time.Minute)
		got := b.a.lines()
		if len(got) != 2 || !strings.HasSuffix(got[0], "first +x") || !strings.HasSuffix(got[1], "resolved -x") {
			t.Error(got)
		}
		if left := b.d.Alerts(); len(left) != 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

func TestP29AHangingReceiverHoldsUpItselfAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
route:
  receiver: a
  group_by: ['...']
  group_wait: 0s
  group_interval: 1s
  routes:
  - {receiver: a, continue: true}
  - {receiver: b}
`)
		b.tune = func(c *notify.ChannelConfig) { c.Queue, c.Concurrency, c.RetryFor = 2, 2, 5*time.Minute }
		b.a.hang = func(*notify.Notification) bool { return true }
		b.run()
		for i := range 100 {
			b.put(alert(fmt.Sprint(i)))
		}
		after(time.Second)
		if got := len(b.b.lines()); got != 100 {
			t.Errorf("the other receiver got %d of 100", got)
		}
		after(30 * time.Minute)
		letters, err := b.d.Letters(t.Context())
		if err != nil || len(letters) != 100 {
			t.Errorf("%d dead letters, want 100 (%v)", len(letters), err)
		}
		b.a.mu.Lock()
		b.a.hang = nil
		b.a.mu.Unlock()
		if err := b.d.Replay(t.Context(), letters[0].ID); err != nil {
			t.Error(err)
		}
		if keys := b.a.keys(); len(keys) != 1 || keys[0] != letters[0].Notification.Key {
			t.Errorf("replayed %v", keys)
		}
		if letters, _ := b.d.Letters(t.Context()); len(letters) != 99 {
			t.Errorf("%d dead letters after one was replayed", len(letters))
		}
		b.stop()
		if got := b.metric("sentinel_notify_queue_full_total"); got == "" {
			t.Error("a full queue was not counted")
		}
	})
}

func (b *bench) metric(name string) string {
	var s strings.Builder
	b.reg.Write(&s)
	for _, l := range strings.Split(s.String(), "\n") {
		if strings.HasPrefix(l, name) {
			return l
		}
	}
	return ""
}

func TestPermanentFailureIsADeadLetterAndWaitsForAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, instant)
		b.a.fail = func(*notify.Notification, int) error { return notify.Permanent(errors.New("404")) }
		b.run()
		defer b.stop()
		b.put(alert("x"))
		after(30 * time.Minute)
		if n := b.a.tried(); n != 1 {
			t.Errorf("%d tries, want 1", n)
		}
		after(31 * time.Minute)
		if n := b.a.tried(); n != 2 {
			t.Errorf("%d tries after the repeat interval, want 2", n)
		}
		letters, _ := b.d.Letters(t.Context())
		if len(letters) != 2 || letters[0].Error != "404" {
			t.Errorf("dead letters: %+v", letters)
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, instant)
		b.a.fail = func(_ *notify.Notification, try int) error {
			if try == 1 {
				return &notify.Failure{Err: errors.New("429"), After: 7 * time.Minute}
			}
			return nil
		}
		b.run()
		defer b.stop()
		b.put(alert("x"))
		after(time.Hour)
		wantLines(t, b.a, "7m0s first +x")
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.seen) != 2 || b.seen[0].Error != "429" || b.seen[1].Error != "" || b.seen[1].Attempt != 2 {
			t.Errorf("the delivery log is %+v", b.seen)
		}
	})
}

func TestAcknowledgedIsNotRepeatedUntilItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, simple+"  escalations: [{after: 10m, receiver: b}]\n")
		b.tune = func(c *notify.ChannelConfig) { c.SendAcknowledged = true }
		b.run()
		defer func() { b.stop() }()
		x, y := alert("x"), alert("y")
		b.put(x)
		after(time.Minute)
		if _, err := b.d.Acknowledge(t.Context(), "x", "ann", "on it"); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Hour)
		wantLines(t, b.a, "10s first +x", "1m0s acknowledged +x")
		if n := b.a.got[1]; n.Note != "Acknowledged by ann: on it" {
			t.Errorf("note %q", n.Note)
		}
		b.put(y)
		after(30 * time.Minute)
		b.stop()
		b.run()
		b.put(x, y)
		after(time.Hour)
		b.put(ended(x))
		after(2 * time.Minute)
		got := b.a.lines()
		if want := []string{"3h1m10s firing +x +y", "4h2m10s repeat +x +y", "4h31m10s resolved +y -x"}; len(got) < 4 || got[2] != want[0] {
			t.Errorf("got %v", got)
		}
		// Only y was escalated.
		for _, l := range b.b.lines() {
			if strings.Contains(l, "x") {
				t.Errorf("the acknowledged alert was escalated: %s", l)
			}
		}
		if l := b.b.lines(); len(l) == 0 || l[0] != "3h11m10s first +y" {
			t.Errorf("escalated: %v", l)
		}
		if _, err := b.d.Acknowledge(t.Context(), "x", "ann", ""); err == nil {
			t.Error("acknowledged what does not fire")
		}
	})
}

func TestEscalationEndsWithTheAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, simple+"  escalations: [{after: 5m30s, receiver: b}]\n")
		b.run()
		defer func() { b.stop() }()
		x, y := alert("x"), alert("y")
		b.put(x, y)
		after(3 * time.Minute)
		b.put(ended(y)) // before it is escalated
		after(time.Minute)
		b.stop() // a restart does not begin the time again
		b.run()
		b.put(x)
		after(2 * time.Minute)
		wantLines(t, b.b, "5m40s first +x")
		b.put(ended(x))
		after(2 * time.Minute)
		wantLines(t, b.b, "5m40s first +x", "7m0s resolved -x")
	})
}

func TestFlappingIsDampedIntoADigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, instant+"  flap_damping: {changes: 6, window: 10m, digest_interval: 5m}\n")
		b.run()
		defer b.stop()
		for range 20 {
			x := alert("x")
			b.put(x)
			after(30 * time.Second)
			b.put(ended(x))
			after(30 * time.Second)
		}
		x := alert("x")
		b.put(x)
		after(time.Hour)
		got := b.a.lines()
		digests := slices.DeleteFunc(slices.Clone(got), func(l string) bool { return !strings.Contains(l, "digest") })
		single := len(got) - len(digests)
		if single < 5 || single > 7 || len(digests) < 4 || len(digests) > 7 {
			t.Errorf("%d messages and %d digests: %v", single, len(digests), got)
		}
		if last := got[len(got)-1]; !strings.HasSuffix(last, "+x") || strings.Contains(last, "digest") {
			t.Errorf("when it was stable again: %s", last)
		}
	})
}

func TestBigGroupsAreContinuedAndCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, simple)
		b.run()
		defer b.stop()
		big := strings.Repeat("ä", 20_000)
		for i := range 7000 {
			a := alert(fmt.Sprintf("%05d", i))
			a.Annotations = map[string]string{"summary": big}
			b.put(a)
		}
		after(time.Minute)
		total := 0
		for _, n := range b.a.got {
			total += len(n.Alerts) + n.Truncated
		}
		if len(b.a.got) != 2 || total != 7000 {
			t.Errorf("%d messages with %d alerts", len(b.a.got), total)
		}
		entries, _ := b.store.All(t.Context(), "log.")
		for _, e := range entries {
			if len(e.Value) > notify.MaxValue {
				t.Errorf("%d bytes in the log", len(e.Value))
			}
		}
	})
}

// TestP26TwoOwnersTellOnce runs two dispatchers on one store, as after a hand-over
// that the first one has not noticed.
func TestP26TwoOwnersTellOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, instant)
		b.run()
		first, stopFirst := b.d, b.stop
		b.run()
		for i := range 20 {
			x := alert(fmt.Sprint(i))
			if err := first.Put(x); err != nil {
				t.Fatal(err)
			}
			b.put(x)
		}
		after(time.Minute)
		seen := map[string]int{}
		for i, k := range b.a.keys() {
			if seen[k]++; seen[k] > 1 {
				t.Errorf("twice: %s", b.a.lines()[i])
			}
		}
		if len(seen) != 20 {
			t.Errorf("%d messages, want 20", len(seen))
		}
		stopFirst()
		b.stop()
	})
}
