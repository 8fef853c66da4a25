// Package fleet knows who belongs to the fleet: it registers agents, finds the
// keys they sign with, and the tokens of the people and programs that ask.
package fleet

import (
	"context"
	"fmt"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Registry registers agents, and lets people and programs in. Safe for concurrent use.
type Registry struct {
	db     *postgres.DB
	vault  *sign.Vault
	hasher *hasher
	logins *throttle
}

// NewRegistry returns a registry that seals secrets in the vault.
func NewRegistry(db *postgres.DB, vault *sign.Vault) *Registry {
	return &Registry{db: db, vault: vault, hasher: newHasher(), logins: newThrottle()}
}

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
