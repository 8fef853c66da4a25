package fleet

import (
	"context"
	"fmt"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// SelfTest returns the row and the credential of sentinel.SelfTestAgent, which it makes
// where there is none yet. The error is Unavailable where its key is sealed under a
// master key that this process does not have.
func (r *Registry) SelfTest(ctx context.Context) (int64, sign.Credential, error) {
	a, err := r.db.AgentByName(ctx, sentinel.SelfTestAgent)
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		key := sign.NewKey()
		a, err = r.db.CreateAgent(ctx, postgres.NewAgent{Name: sentinel.SelfTestAgent, Synthetic: true}, r.sealed(sentinel.SelfTestAgent, key, postgres.KeyActive))
		if err != nil && sentinel.CodeOf(err) == sentinel.Conflict { // another server was first
			a, err = r.db.AgentByName(ctx, sentinel.SelfTestAgent)
		}
	}
	if err != nil {
		return 0, sign.Credential{}, fmt.Errorf("identity of the self-test: %w", err)
	}
	keys, err := r.db.AgentKeys(ctx, a.ID)
	if err != nil {
		return 0, sign.Credential{}, fmt.Errorf("key of the self-test: %w", err)
	}
	for _, row := range keys {
		if row.State != postgres.KeyActive {
			continue
		}
		key, err := r.vault.Open(a.Name, row.KeyID, row.Secret)
		if err != nil {
			return 0, sign.Credential{}, sentinel.Errorf(sentinel.Unavailable, "the key of the self-test is sealed under the master key %s, which this server does not have", row.MasterKeyID)
		}
		return a.ID, sign.Credential{Agent: a.Name, Key: key}, nil
	}
	return 0, sign.Credential{}, sentinel.Errorf(sentinel.Conflict, "the identity of the self-test has no active key")
}
