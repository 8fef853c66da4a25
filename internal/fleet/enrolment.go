package fleet

import (
	"context"
	"crypto/hmac"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Bounds of an enrolment token.
const (
	MaxEnrolmentTTL  = 365 * 24 * time.Hour
	MaxEnrolmentUses = 100_000
)

// CreateEnrolmentToken makes a token that buys identities and returns it, the only
// time that it is shown; the database keeps its hash. Of t it takes name, pattern,
// labels and uses. The error is Invalid for a ttl or a number of uses out of
// bounds, a pattern that path.Match does not know, and labels that an agent cannot
// have.
func (r *Registry) CreateEnrolmentToken(ctx context.Context, by postgres.Entry, t postgres.EnrolmentToken, ttl time.Duration) (string, postgres.EnrolmentToken, error) {
	none := postgres.EnrolmentToken{}
	if _, err := path.Match(t.Hostnames, "host"); err != nil || len(t.Hostnames) > 255 || !utf8.ValidString(t.Hostnames) || strings.IndexByte(t.Hostnames, 0) >= 0 {
		return "", none, sentinel.Errorf(sentinel.Invalid, "hostnames: %.80q is not a pattern; want one such as web-* or db-[0-9]", t.Hostnames)
	}
	switch {
	case ttl < time.Minute || ttl > MaxEnrolmentTTL:
		return "", none, sentinel.Errorf(sentinel.Invalid, "ttl: %s, want 1m to %s", ttl, MaxEnrolmentTTL)
	case t.MaxUses < 1 || t.MaxUses > MaxEnrolmentUses:
		return "", none, sentinel.Errorf(sentinel.Invalid, "max_uses: %d, want 1 to %d", t.MaxUses, MaxEnrolmentUses)
	}
	if err := checkName(t.Name); err != nil {
		return "", none, err
	}
	if err := checkLabels("", t.Labels); err != nil {
		return "", none, err
	}
	token := newSecret(enrolmentPrefix)
	t.ExpiresAt = time.Now().Add(ttl)
	by.Details = map[string]any{"name": t.Name, "ttl": ttl.String(), "max_uses": t.MaxUses, "hostnames": t.Hostnames}
	created, err := r.db.CreateEnrolmentToken(ctx, by, t, hashSecret(token))
	if err != nil {
		return "", none, fmt.Errorf("create enrolment token: %w", err)
	}
	return token, created, nil
}

// checkName holds what people call a token to bounds.
func checkName(name string) error {
	if strings.TrimSpace(name) == "" || len(name) > 255 || !utf8.ValidString(name) || strings.IndexByte(name, 0) >= 0 {
		return sentinel.Errorf(sentinel.Invalid, "name: want up to 255 bytes of text that say what the token is for")
	}
	return nil
}

// Application is how an agent asks for an identity.
type Application struct {
	Token    string
	Request  sign.Request
	Hostname string
	Info     postgres.AgentInfo
}

// Enrol gives the agent an identity. The same request, asked again, gets the same
// one and consumes nothing. Every token that buys nothing, for whatever reason,
// gets the same Unauthenticated error; Unavailable says that it cannot be known
// now. The secret that the agent chose is sealed and never sent back.
func (r *Registry) Enrol(ctx context.Context, a Application) (sentinel.AgentID, error) {
	if !plausible(a.Token, enrolmentPrefix) {
		return "", errEnrolment()
	}
	bought, err := r.db.Enrol(ctx, hashSecret(a.Token), a.Request.Nonce, func(t postgres.EnrolmentToken) (postgres.NewAgent, postgres.NewKey, error) {
		if t.Hostnames != "" {
			if ok, err := path.Match(t.Hostnames, a.Hostname); err != nil || !ok {
				return postgres.NewAgent{}, postgres.NewKey{}, errEnrolment()
			}
		}
		id := sentinel.NewAgentID()
		return postgres.NewAgent{Name: id, Hostname: a.Hostname, Labels: t.Labels, Info: a.Info},
			r.sealed(id, a.Request.Key, postgres.KeyActive), nil
	})
	if err != nil && sentinel.CodeOf(err) == sentinel.Unauthenticated {
		return "", errEnrolment()
	}
	if err != nil {
		return "", err
	}
	if bought.Before && !r.same(bought, a.Request.Key) {
		return "", errEnrolment()
	}
	return bought.Agent, nil
}

// same reports whether what was bought before still belongs to the key.
func (r *Registry) same(bought postgres.Enrolment, key sign.Key) bool {
	if bought.Key.State == postgres.KeyRevoked {
		return false
	}
	held, err := r.vault.Open(bought.Agent, bought.Key.KeyID, bought.Key.Secret)
	return err == nil && held.ID == key.ID && hmac.Equal(held.Secret(), key.Secret())
}

func (r *Registry) sealed(agent sentinel.AgentID, key sign.Key, state postgres.KeyState) postgres.NewKey {
	return postgres.NewKey{KeyID: key.ID, Secret: r.vault.Seal(agent, key), MasterKeyID: r.vault.ID(), State: state}
}

func errEnrolment() error {
	return sentinel.Errorf(sentinel.Unauthenticated, "the enrolment token is not valid for this host; `sentinelctl enrolment ls` shows those there are")
}
