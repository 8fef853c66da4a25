package fleet

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// TestP18AFreshKeyIsFoundAtOnce: a keyring that has an agent's keys in memory finds
// one that was made a moment ago, and says nothing against it when it cannot ask.
func TestP18AFreshKeyIsFoundAtOnce(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	old := f.register(t)
	must(t, f.lookup(t, old))
	next := f.rotate(t, old)
	must(t, f.lookup(t, next)) // the clock has not moved

	f.db.Close()
	must(t, f.lookup(t, next))
	wantCode(t, f.lookup(t, sign.Credential{Agent: old.Agent, Key: sign.NewKey()}), sentinel.Unavailable)
}

// TestP18ABatchIsJudgedByWhenItCame: what came in before the grace ended is good,
// whenever it is looked at.
func TestP18ABatchIsJudgedByWhenItCame(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	old := f.register(t)
	next := f.rotate(t, old)
	r := NewRotation(f.registry, KeysConfig{Grace: time.Minute}, slog.New(slog.DiscardHandler))
	must(t, r.Activate(t.Context(), next.Agent, next.Key.ID))
	must(t, r.Activate(t.Context(), next.Agent, next.Key.ID)) // again
	activated := time.Now()
	for at, want := range map[time.Time]bool{activated: true, activated.Add(30 * time.Second): true, activated.Add(2 * time.Minute): false} {
		_, _, err := f.keys.Lookup(t.Context(), old.Agent, old.Key.ID, at)
		if (err == nil) != want {
			t.Errorf("a batch of %s after the change: %v", at.Sub(activated), err)
		}
	}
	must(t, r.pass(t.Context()))
	if _, _, err := f.keys.Lookup(t.Context(), old.Agent, old.Key.ID, activated); err != nil {
		t.Errorf("the key was forgotten while batches may wait: %v", err)
	}
}

func TestRotationBySchedule(t *testing.T) {
	url := postgrestest.URL(t)
	f := newFixture(t, postgrestest.Open(t, url))
	old, young, disabled, gone := f.register(t), f.register(t), f.register(t), f.register(t)
	row := func(c sign.Credential) postgres.Agent {
		a, err := f.db.AgentByName(t.Context(), c.Agent)
		must(t, err)
		return a
	}
	postgrestest.Exec(t, url, fmt.Sprint(`UPDATE agent_keys SET activated_at = now() - INTERVAL '2 hours' WHERE agent_id <> `, row(young).ID))
	must(t, f.db.SetAgentDisabled(t.Context(), row(disabled).ID, true))
	must(t, f.db.RevokeKey(t.Context(), Console("test"), row(gone).ID, gone.Key.ID))
	r := NewRotation(f.registry, KeysConfig{RotateAfter: time.Hour, Grace: time.Minute}, slog.New(slog.DiscardHandler))
	for range 2 { // the second pass finds nothing to do
		must(t, r.pass(t.Context()))
		pending, err := r.Pending(t.Context(), []sentinel.AgentID{old.Agent, young.Agent, disabled.Agent, gone.Agent})
		must(t, err)
		if _, ok := pending[old.Agent]; len(pending) != 1 || !ok {
			t.Errorf("pending keys: %v", pending)
		}
	}
	wantCode(t, func() error { _, err := r.Rotate(t.Context(), Console("test"), row(gone).ID, gone.Agent); return err }(), sentinel.Conflict)

	pending, err := r.Pending(t.Context(), []sentinel.AgentID{old.Agent})
	must(t, err)
	must(t, r.Activate(t.Context(), old.Agent, pending[old.Agent].ID))
	postgrestest.Exec(t, url, `UPDATE agent_keys SET expires_at = now() - INTERVAL '8 days' WHERE state = 'retiring'`)
	must(t, r.pass(t.Context()))
	keys, err := f.db.AgentKeys(t.Context(), row(old).ID)
	must(t, err)
	if len(keys) != 2 || keys[0].State != postgres.KeyRevoked || keys[1].State != postgres.KeyActive {
		t.Errorf("keys %+v", keys)
	}
}

// TestResealMovesEverySecret: afterwards the old master key is of no use, and every
// key is what it was.
func TestResealMovesEverySecret(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	var creds []sign.Credential
	for range 5 {
		creds = append(creds, f.register(t))
	}
	f.rotate(t, creds[0])
	line := func(id string, b byte) string {
		return id + ":" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) + "\n"
	}
	both, err := sign.ParseVault(line("m-new", 8) + line("m-test", 7))
	must(t, err)
	alone, err := sign.ParseVault(line("m-new", 8))
	must(t, err)
	if _, err := NewRegistry(f.db, alone).Reseal(t.Context(), nil); sentinel.CodeOf(err) != sentinel.Invalid {
		t.Errorf("without the old master key: %v", err)
	}
	for _, want := range []int{6, 0} {
		n, err := NewRegistry(f.db, both).Reseal(t.Context(), nil)
		must(t, err)
		if n != want {
			t.Errorf("sealed %d secrets anew, want %d", n, want)
		}
	}
	f.keys = NewKeyring(f.db, alone, slog.New(slog.DiscardHandler))
	for _, c := range creds {
		must(t, f.lookup(t, c))
	}
}
