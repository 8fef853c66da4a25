package fleet

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const password = "correct horse battery"

func login(t *testing.T, r *Registry, user, pass, remote string) (string, error) {
	t.Helper()
	cookie, _, err := r.Login(t.Context(), postgres.Entry{Remote: remote}, user, pass, "")
	return cookie, err
}

func TestLogin(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	f.registry.logins.now = f.clock.now
	_, err := f.registry.CreateUser(t.Context(), Console("test"), "Ann", password, postgres.Operator)
	must(t, err)
	off, err := f.registry.CreateUser(t.Context(), Console("test"), "off", password, postgres.Admin)
	must(t, err)
	yes := true
	_, err = f.registry.ChangeUser(t.Context(), Console("test"), off, "", &yes, "")
	must(t, err)

	cookie, err := login(t, f.registry, "ANN", password, "1.1.1.1")
	must(t, err)
	who, err := f.registry.Session(t.Context(), cookie)
	if err != nil || who.Name != "ann" || who.Role != postgres.Operator || who.Kind != postgres.ActorUser {
		t.Errorf("%+v %v", who, err)
	}
	// One refusal for all, with the same work behind it.
	var texts []string
	for _, c := range []struct{ user, pass string }{{"ann", password + "x"}, {"ann", ""}, {"off", password}, {"nobody", password}, {"no body\x00", password}, {"ann", strings.Repeat("x", 2000)}} {
		_, err := login(t, f.registry, c.user, c.pass, "2.2.2.2")
		if sentinel.CodeOf(err) != sentinel.Unauthenticated {
			t.Fatalf("%s: %v", c.user, err)
		}
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("%q and %q differ", text, texts[0])
		}
	}
	log, err := f.db.AuditLog(t.Context(), postgres.AuditFilter{Action: "session.refused"})
	must(t, err)
	if len(log) != len(texts) {
		t.Errorf("%d refusals are in the audit log, want %d", len(log), len(texts))
	}
	for _, e := range log {
		if e.Target != "" && e.Target != "ann" && e.Target != "off" {
			t.Errorf("P20: a name that nobody has is kept: %q", e.Target)
		}
	}
	// Every cookie that is not valid is told the same.
	for _, bad := range []string{"", "x", cookie + "A", cookie[:len(cookie)-1], sessionPrefix, strings.Repeat("A", 1<<20)} {
		if _, err := f.registry.Session(t.Context(), bad); sentinel.CodeOf(err) != sentinel.Unauthenticated || err.Error() != "the session has ended; sign in again" {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	// A token is no cookie and a cookie is no token.
	if _, err := f.registry.Authenticate(t.Context(), cookie); sentinel.CodeOf(err) != sentinel.Unauthenticated {
		t.Errorf("a cookie serves as a token: %v", err)
	}
}

func TestChangePassword(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	by := Console("session.password")
	_, err := f.registry.CreateUser(t.Context(), by, "ann", password, postgres.Viewer)
	must(t, err)
	cookie, err := login(t, f.registry, "ann", password, "")
	must(t, err)
	if err := f.registry.ChangePassword(t.Context(), by, "ann", "wrong", "another password"); sentinel.CodeOf(err) != sentinel.Forbidden {
		t.Error(err)
	}
	if err := f.registry.ChangePassword(t.Context(), by, "ann", password, "short"); sentinel.CodeOf(err) != sentinel.Invalid {
		t.Error(err)
	}
	_, err = f.registry.Session(t.Context(), cookie)
	must(t, err)
	must(t, f.registry.ChangePassword(t.Context(), by, "ann", password, "another password"))
	if _, err = f.registry.Session(t.Context(), cookie); err == nil {
		t.Error("the session goes on with the old password")
	}
	if _, err := login(t, f.registry, "ann", password, ""); err == nil {
		t.Error("the old password still serves")
	}
	_, err = login(t, f.registry, "ann", "another password", "")
	must(t, err)
}

func TestThrottle(t *testing.T) {
	c := &clock{at: time.Now()}
	th := newThrottle()
	th.now = c.now
	try := func(user, remote string) time.Duration {
		t.Helper()
		_, err := th.begin(user, remote)
		var wait *Throttled
		if err != nil && (sentinel.CodeOf(err) != sentinel.ResourceExhausted || !errors.As(err, &wait)) {
			t.Fatal(err)
		}
		if wait == nil {
			return 0
		}
		return wait.RetryAfter()
	}
	for range freeFailures {
		if try("ann", "a") != 0 {
			t.Fatal("the first failures cost time")
		}
	}
	want := time.Second
	for i := range 14 {
		if got := try("ann", "a"); got != 0 {
			t.Fatalf("attempt %d: must wait %s", i, got)
		}
		if got := try("ann", "a"); got != want {
			t.Fatalf("after attempt %d: wait %s, want %s", i, got, want)
		}
		c.add(want)
		want = min(2*want, longestDelay)
	}
	if want != longestDelay {
		t.Fatalf("the longest delay was not reached: %s", want)
	}
	// Others are not held up: another address, another user.
	try("ann", "a")
	if try("ann", "b") != 0 || try("bob", "a") != 0 {
		t.Error("others wait too")
	}
	// A success forgets, and what could not be looked at does not count.
	c.add(longestDelay)
	a, err := th.begin("ann", "a")
	must(t, err)
	a.succeed()
	for range 20 {
		a, err := th.begin("ann", "a")
		must(t, err)
		a.forget()
	}
	// All together have a rate, and memory has a bound.
	c.add(time.Hour)
	for i := range attemptsBurst {
		if try("u", strings.Repeat("r", i)) != 0 {
			t.Fatalf("attempt %d of a burst is refused", i)
		}
	}
	if try("fresh", "fresh") == 0 {
		t.Error("there is no bound on all together")
	}
	c.add(attemptsEvery)
	if try("fresh", "fresh") != 0 {
		t.Error("the bound does not lift")
	}
	for i := range maxWatched + 500 {
		c.add(attemptsEvery)
		try("u"+strings.Repeat("x", i%40), string(rune('a'+i%26))+strings.Repeat("y", i))
	}
	if len(th.watched) > maxWatched {
		t.Errorf("%d are watched", len(th.watched))
	}
}

// TestHashesAreFewAtATime wants that logins wait for each other, and that too many
// are sent away at once.
func TestHashesAreFewAtATime(t *testing.T) {
	h := newHasher()
	for range hashesAtOnce {
		h.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var refused atomic.Int32
	var group sync.WaitGroup
	for range cap(h.queue) {
		group.Go(func() {
			if _, err := h.verify(ctx, "", password); sentinel.CodeOf(err) == sentinel.ResourceExhausted {
				refused.Add(1)
			}
		})
	}
	for len(h.queue) < cap(h.queue) {
		if ctx.Err() != nil {
			t.Fatal("the queue does not fill")
		}
	}
	if _, err := h.verify(t.Context(), "", password); sentinel.CodeOf(err) != sentinel.ResourceExhausted {
		t.Errorf("one too many was let in: %v", err)
	}
	cancel()
	group.Wait()
	if int(refused.Load()) != cap(h.queue) {
		t.Errorf("%d were refused, want all %d", refused.Load(), cap(h.queue))
	}
}

func TestPasswordHashes(t *testing.T) {
	h := newHasher()
	text, err := h.hash(t.Context(), password)
	must(t, err)
	p, err := parsePHC(text)
	must(t, err)
	if !strings.HasPrefix(text, "$argon2id$v=19$m=65536,t=3,p=4$") || p.memory != 65536 || p.passes != 3 || p.lanes != 4 || len(p.salt) != 16 || len(p.tag) != 32 {
		t.Errorf("%s", text)
	}
	again, err := h.hash(t.Context(), password)
	if err != nil || again == text {
		t.Error("two hashes of one password are the same")
	}
	for pass, want := range map[string]bool{password: true, password + " ": false, "": false} {
		if good, err := h.verify(t.Context(), text, pass); err != nil || good != want {
			t.Errorf("%q: %t %v", pass, good, err)
		}
	}
	if good, err := h.verify(t.Context(), "", password); good || err != nil {
		t.Errorf("nobody has a password: %t %v", good, err)
	}
	// A hash with other parameters serves: these may change.
	tag := argon2.IDKey([]byte(password), p.salt, 1, 8<<10, 1, 16)
	older := strings.Replace(encodePHC(p.salt, tag), "m=65536,t=3,p=4", "m=8192,t=1,p=1", 1)
	if good, err := h.verify(t.Context(), older, password); !good || err != nil {
		t.Errorf("other parameters: %t %v", good, err)
	}
	for _, bad := range []string{"short", strings.Repeat("x", 11), strings.Repeat("é", 600), strings.Repeat("\xff", 20)} {
		if _, err := h.hash(t.Context(), bad); sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add(encodePHC(make([]byte, 16), make([]byte, 32)))
	f.Add("$argon2id$v=19$m=99999999,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAA")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePHC(text)
		if err == nil && (p.memory > 256<<10 || p.passes > 16 || p.lanes == 0 || p.lanes > 16 || p.passes == 0 || len(p.salt) < 8) {
			t.Errorf("P22: %+v", p)
		}
	})
}

func TestP19SetupOfTheFirstUser(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	token, err := f.registry.CreateSetupToken(t.Context())
	must(t, err)
	for _, bad := range []string{"", "x", setupPrefix, token + "A"} {
		if _, err := f.registry.Setup(t.Context(), postgres.Entry{Action: "setup"}, bad, "ann", password); sentinel.CodeOf(err) != sentinel.Unauthenticated {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// What is wrong with the rest does not cost the token.
	if _, err := f.registry.Setup(t.Context(), postgres.Entry{Action: "setup"}, token, "ann", "short"); sentinel.CodeOf(err) != sentinel.Invalid {
		t.Error(err)
	}
	var won atomic.Int32
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			_, err := f.registry.Setup(context.WithoutCancel(t.Context()), postgres.Entry{Action: "setup"}, token, "ann", password)
			if err == nil {
				won.Add(1)
			} else if sentinel.CodeOf(err) != sentinel.Unauthenticated {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 {
		t.Errorf("P19: %d administrators were made with one token", won.Load())
	}
	if _, err := f.registry.CreateSetupToken(t.Context()); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Error(err)
	}
	_, err = login(t, f.registry, "ann", password, "")
	must(t, err)
}
