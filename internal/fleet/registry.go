// Package fleet knows who belongs to the fleet: it registers agents, finds the
// keys they sign with, and the tokens of the people and programs that ask.
package fleet

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Registry registers agents and tokens. Safe for concurrent use.
type Registry struct {
	db    *postgres.DB
	vault *sign.Vault
}

// NewRegistry returns a registry that seals secrets in the vault.
func NewRegistry(db *postgres.DB, vault *sign.Vault) *Registry { return &Registry{db, vault} }

// Register makes a new agent and returns its credential, the only time that its
// secret is shown. It never returns an identity that existed before.
func (r *Registry) Register(ctx context.Context, hostname string, labels []sentinel.Label) (sign.Credential, error) {
	if err := checkLabels(hostname, labels); err != nil {
		return sign.Credential{}, err
	}
	cred := sign.Credential{Agent: sentinel.NewAgentID(), Key: sign.NewKey()}
	_, err := r.db.CreateAgent(ctx, postgres.NewAgent{Name: cred.Agent, Hostname: hostname, Labels: labels}, r.sealed(cred.Agent, cred.Key, postgres.KeyActive))
	if err != nil {
		return sign.Credential{}, fmt.Errorf("register agent: %w", err)
	}
	return cred, nil
}

// checkLabels holds an agent's labels to the rules of series, of which they may
// become labels.
func checkLabels(hostname string, labels []sentinel.Label) error {
	text := make([]string, 0, 2*len(labels)+2)
	for _, l := range labels {
		text = append(text, l.Name, l.Value)
	}
	s := sentinel.NewSeries("agent_info", sentinel.Gauge, "", append(text, "hostname", hostname)...)
	if err := sentinel.DefaultLimits().CheckLayout(sentinel.Layout{s}); err != nil {
		return sentinel.Errorf(sentinel.Invalid, "labels: %w", err)
	}
	return nil
}

// tokenPrefix makes a token recognisable to people and to secret scanners.
const tokenPrefix = "sntl_"

// CreateToken makes an API token and returns it, the only time that it is shown;
// the database keeps its hash. A zero ttl means that it does not expire. The error is
// Invalid for an unknown role, a negative ttl or a name that says nothing.
func (r *Registry) CreateToken(ctx context.Context, name string, role postgres.Role, ttl time.Duration) (string, error) {
	switch {
	case role != postgres.Viewer && role != postgres.Operator && role != postgres.Admin:
		return "", sentinel.Errorf(sentinel.Invalid, "role %.40q is not known, want %s, %s or %s", role, postgres.Viewer, postgres.Operator, postgres.Admin)
	case ttl < 0:
		return "", sentinel.Errorf(sentinel.Invalid, "ttl: %s has passed already; 0 means that the token does not expire", ttl)
	}
	if err := checkName(name); err != nil {
		return "", err
	}
	token := newToken(tokenPrefix)
	var expires time.Time
	if ttl > 0 {
		expires = time.Now().Add(ttl)
	}
	if _, err := r.db.CreateToken(ctx, name, role, hashToken(token), expires); err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	return token, nil
}

// Authenticate returns the token's role. Every token that is not valid, for
// whatever reason, gets the same Unauthenticated error.
func (r *Registry) Authenticate(ctx context.Context, token string) (postgres.Role, error) {
	if !strings.HasPrefix(token, tokenPrefix) || len(token) > 128 {
		return "", errToken()
	}
	t, err := r.db.TokenByHash(ctx, hashToken(token))
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return "", errToken()
	}
	if err != nil {
		return "", fmt.Errorf("authenticate: %w", err)
	}
	return t.Role, nil
}

func errToken() error {
	return sentinel.Errorf(sentinel.Unauthenticated, "the token is not valid; `sentinel-server token create` makes one")
}

// hashToken is SHA-256: a token has 256 random bits, so nothing slower is needed.
func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
