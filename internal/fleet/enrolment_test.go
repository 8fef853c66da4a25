package fleet

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

func (f *fixture) token(t *testing.T, want postgres.EnrolmentToken) (string, postgres.EnrolmentToken) {
	t.Helper()
	if want.Name == "" {
		want.Name = "test"
	}
	if want.MaxUses == 0 {
		want.MaxUses = 1
	}
	token, made, err := f.registry.CreateEnrolmentToken(t.Context(), Console("test"), want, time.Hour)
	must(t, err)
	return token, made
}

func apply(token, host string) Application {
	return Application{Token: token, Hostname: host, Request: sign.Request{Nonce: sign.NewNonce(), Key: sign.NewKey()}}
}

// TestP19OneUseUnderARace lets 64 agents ask at once with a token for one.
func TestP19OneUseUnderARace(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	token, made := f.token(t, postgres.EnrolmentToken{Labels: []sentinel.Label{{Name: "site", Value: "fra"}}})
	var won atomic.Int64
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			a := apply(token, fmt.Sprint("host-", i))
			id, err := f.registry.Enrol(context.WithoutCancel(t.Context()), a)
			switch {
			case err == nil:
				won.Add(1)
				if err := f.lookup(t, sign.Credential{Agent: id, Key: a.Request.Key}); err != nil {
					t.Errorf("the key that was bought is not valid: %v", err)
				}
			case sentinel.CodeOf(err) != sentinel.Unauthenticated || err.Error() != errEnrolment().Error():
				t.Errorf("the refusal is %v", err)
			}
		})
	}
	group.Wait()
	agents, err := f.db.Agents(t.Context(), postgres.AgentFilter{})
	must(t, err)
	tokens, err := f.db.EnrolmentTokens(t.Context())
	must(t, err)
	if won.Load() != 1 || len(agents) != 1 || tokens[0].Uses != 1 || tokens[0].ID != made.ID {
		t.Errorf("%d of 64 enrolled, %d agents, token %+v", won.Load(), len(agents), tokens[0])
	}
	if agents[0].Labels[0].Value != "fra" {
		t.Errorf("the agent has the labels %v, not its token's", agents[0].Labels)
	}
}

// TestP19AskedAgainItIsTheSame: an agent whose answer got lost asks again, also after
// the token was used up, and nobody else gets its identity.
func TestP19AskedAgainItIsTheSame(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	token, made := f.token(t, postgres.EnrolmentToken{})
	other, _ := f.token(t, postgres.EnrolmentToken{})
	a := apply(token, "host")
	first, err := f.registry.Enrol(t.Context(), a)
	must(t, err)
	must(t, f.db.RevokeEnrolmentToken(t.Context(), Console("test"), made.ID))
	for _, again := range []string{token, token, other} {
		a.Token = again
		id, err := f.registry.Enrol(t.Context(), a)
		must(t, err)
		if id != first {
			t.Errorf("asked again it is %s, not %s", id, first)
		}
	}
	tokens, err := f.db.EnrolmentTokens(t.Context())
	must(t, err)
	if tokens[0].Uses != 0 || tokens[1].Uses != 1 {
		t.Errorf("asking again was charged: %+v", tokens)
	}

	refused := func(why string, change func(*Application)) {
		t.Helper()
		b := a
		change(&b)
		if id, err := f.registry.Enrol(t.Context(), b); err == nil || err.Error() != errEnrolment().Error() {
			t.Errorf("%s: got %q, %v", why, id, err)
		}
	}
	refused("another key with the same nonce", func(b *Application) { b.Request.Key = sign.NewKey() })
	refused("the nonce without a token", func(b *Application) { b.Token = "snte_x" })
	refused("a new nonce with a revoked token", func(b *Application) { b.Token, b.Request.Nonce = token, sign.NewNonce() })
	row, err := f.db.AgentByName(t.Context(), first)
	must(t, err)
	must(t, f.db.RevokeKey(t.Context(), Console("test"), row.ID, a.Request.Key.ID))
	refused("a key that was revoked since", func(*Application) {})
}

func TestP19ATokenBuysWhatItSays(t *testing.T) {
	url := postgrestest.URL(t)
	f := newFixture(t, postgrestest.Open(t, url))
	web, _ := f.token(t, postgres.EnrolmentToken{Hostnames: "web-*", MaxUses: 2})
	for _, tt := range []struct {
		host string
		want bool
	}{{"db-1", false}, {"web-1", true}, {"", false}, {"web-2", true}, {"web-3", false}} {
		_, err := f.registry.Enrol(t.Context(), apply(web, tt.host))
		if (err == nil) != tt.want || (err != nil && err.Error() != errEnrolment().Error()) {
			t.Errorf("%q: %v", tt.host, err)
		}
	}
	short, made := f.token(t, postgres.EnrolmentToken{})
	postgrestest.Exec(t, url, fmt.Sprint(`UPDATE enrolment_tokens SET expires_at = now() - INTERVAL '1 second' WHERE id = `, made.ID))
	if _, err := f.registry.Enrol(t.Context(), apply(short, "h")); err == nil || err.Error() != errEnrolment().Error() {
		t.Errorf("an expired token: %v", err)
	}
	api, err := f.registry.CreateToken(t.Context(), "api", postgres.Admin, 0)
	must(t, err)
	for _, token := range []string{"", "snte_", api, "snte_" + string(make([]byte, 200))} {
		if _, err := f.registry.Enrol(t.Context(), apply(token, "h")); err == nil || err.Error() != errEnrolment().Error() {
			t.Errorf("%.20q: %v", token, err)
		}
	}
	if _, err := f.registry.Authenticate(t.Context(), web); sentinel.CodeOf(err) != sentinel.Unauthenticated {
		t.Errorf("an enrolment token opens the API: %v", err)
	}
}

func TestEnrolmentTokenRefuses(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	for _, tt := range []struct {
		name string
		t    postgres.EnrolmentToken
		ttl  time.Duration
	}{
		{"no name", postgres.EnrolmentToken{MaxUses: 1}, time.Hour},
		{"no uses", postgres.EnrolmentToken{Name: "n"}, time.Hour},
		{"too many uses", postgres.EnrolmentToken{Name: "n", MaxUses: MaxEnrolmentUses + 1}, time.Hour},
		{"for ever", postgres.EnrolmentToken{Name: "n", MaxUses: 1}, 0},
		{"over a year", postgres.EnrolmentToken{Name: "n", MaxUses: 1}, MaxEnrolmentTTL + 1},
		{"a bad pattern", postgres.EnrolmentToken{Name: "n", MaxUses: 1, Hostnames: "web-["}, time.Hour},
		{"a pattern with NUL", postgres.EnrolmentToken{Name: "n", MaxUses: 1, Hostnames: "web\x00"}, time.Hour},
		{"a reserved label", postgres.EnrolmentToken{Name: "n", MaxUses: 1, Labels: []sentinel.Label{{Name: "agent", Value: "x"}}}, time.Hour},
	} {
		_, _, err := f.registry.CreateEnrolmentToken(t.Context(), Console("test"), tt.t, tt.ttl)
		if sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
