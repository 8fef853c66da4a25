package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// EnrolmentToken buys identities. The token itself is nowhere: only its hash is
// kept, and it is not returned.
type EnrolmentToken struct {
	ID        int64
	Name      string
	Hostnames string           // a pattern that the host's name must match; empty: any
	Labels    []sentinel.Label // what its agents get
	MaxUses   int
	Uses      int
	CreatedAt time.Time
	ExpiresAt time.Time
	RevokedAt time.Time // zero: it was not
}

// Spent reports why the token buys nothing any more, empty where it does.
func (t EnrolmentToken) Spent(now time.Time) string {
	switch {
	case !t.RevokedAt.IsZero():
		return "revoked"
	case !now.Before(t.ExpiresAt):
		return "expired"
	case t.Uses >= t.MaxUses:
		return "used up"
	}
	return ""
}

const enrolmentColumns = `id, name, hostnames, labels, max_uses, uses, created_at, expires_at, revoked_at`

func scanEnrolmentToken(row pgx.CollectableRow) (EnrolmentToken, error) {
	var t EnrolmentToken
	var labels []byte
	var revoked *time.Time
	err := row.Scan(&t.ID, &t.Name, &t.Hostnames, &labels, &t.MaxUses, &t.Uses, &t.CreatedAt, &t.ExpiresAt, &revoked)
	if err != nil {
		return t, err
	}
	t.RevokedAt = orZero(revoked)
	t.Labels, err = parseLabels(labels)
	return t, err
}

// CreateEnrolmentToken keeps the hash of a token that the caller made from at
// least 128 random bits; of t it takes name, pattern, labels, uses and expiry.
func (db *DB) CreateEnrolmentToken(ctx context.Context, by Entry, t EnrolmentToken, hash []byte) (EnrolmentToken, error) {
	labels, err := labelsJSON(t.Labels)
	if err != nil {
		return EnrolmentToken{}, err
	}
	var created EnrolmentToken
	err = db.audited(ctx, "create an enrolment token", &by, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `INSERT INTO enrolment_tokens (name, hash, hostnames, labels, max_uses, expires_at)
			VALUES ($1, $2, $3, $4::text::jsonb, $5, $6) RETURNING `+enrolmentColumns, t.Name, hash, t.Hostnames, labels, t.MaxUses, t.ExpiresAt)
		if err != nil {
			return err
		}
		created, err = pgx.CollectExactlyOneRow(rows, scanEnrolmentToken)
		by.Target = strconv.FormatInt(created.ID, 10)
		return err
	})
	return created, err
}

// EnrolmentTokens returns all enrolment tokens, newest first, spent ones included.
func (db *DB) EnrolmentTokens(ctx context.Context) ([]EnrolmentToken, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+enrolmentColumns+` FROM enrolment_tokens ORDER BY id DESC`)
	if err != nil {
		return nil, failed("list enrolment tokens", err)
	}
	tokens, err := pgx.CollectRows(rows, scanEnrolmentToken)
	return tokens, failed("list enrolment tokens", err)
}

// RevokeEnrolmentToken makes a token buy nothing from now on; what it bought
// stays. It is idempotent; an unknown token is NotFound.
func (db *DB) RevokeEnrolmentToken(ctx context.Context, by Entry, id int64) error {
	return db.changeBy(ctx, "revoke an enrolment token", by, `UPDATE enrolment_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1`, id)
}

// Enrolment is what a token bought.
type Enrolment struct {
	Agent  sentinel.AgentID
	Key    NewKey
	Before bool // it was bought earlier, by the same nonce
}

// Enrol buys an identity with the token of this hash. A nonce that bought one
// before gets the same again, whichever valid or spent token asks, and nothing is
// consumed: the caller must compare the key. Else what makes an agent of the token
// is asked for agent and key, and token, agent, key and enrolment change together
// or not at all. An unknown or spent token is Unauthenticated. However many ask at
// once, a token buys no more than it says.
func (db *DB) Enrol(ctx context.Context, hash, nonce []byte, make func(EnrolmentToken) (NewAgent, NewKey, error)) (Enrolment, error) {
	var out Enrolment
	err := pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		token, err := lockToken(ctx, tx, hash)
		if err != nil {
			return err
		}
		bought, err := boughtBefore(ctx, tx, nonce)
		if err != nil || bought.Before {
			out = bought
			return err
		}
		var now time.Time // the database's clock decides, as for every other token
		if err := tx.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
			return err
		}
		if why := token.Spent(now); why != "" {
			return sentinel.Errorf(sentinel.Unauthenticated, "the enrolment token is %s", why)
		}
		agent, key, err := make(token)
		if err != nil {
			return err
		}
		labels, err := labelsJSON(agent.Labels)
		if err != nil {
			return err
		}
		created, err := insertAgent(ctx, tx, agent, labels, key)
		if err != nil {
			return err
		}
		out = Enrolment{Agent: agent.Name, Key: key}
		if _, err := tx.Exec(ctx, `UPDATE enrolment_tokens SET uses = uses + 1 WHERE id = $1`, token.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO enrolments (nonce, token_id, agent_id, key_id) VALUES ($1, $2, $3, $4)`, nonce, token.ID, created.ID, key.KeyID); err != nil {
			return err
		}
		return audit(ctx, tx, Entry{Actor: Actor{Kind: ActorEnrolment, Name: fmt.Sprintf("%d %s", token.ID, token.Name)}, Action: "agent.enrol",
			Target: string(agent.Name), Details: map[string]any{"hostname": agent.Hostname}})
	})
	return out, failed("enrol", err)
}

// lockToken returns the token and makes others that ask with it wait.
func lockToken(ctx context.Context, tx pgx.Tx, hash []byte) (EnrolmentToken, error) {
	rows, err := tx.Query(ctx, `SELECT `+enrolmentColumns+` FROM enrolment_tokens WHERE hash = $1 FOR UPDATE`, hash)
	if err != nil {
		return EnrolmentToken{}, err
	}
	list, err := pgx.CollectRows(rows, scanEnrolmentToken)
	if err == nil && len(list) == 0 {
		err = sentinel.Errorf(sentinel.Unauthenticated, "no such enrolment token")
	}
	if err != nil {
		return EnrolmentToken{}, err
	}
	return list[0], nil
}

func boughtBefore(ctx context.Context, tx pgx.Tx, nonce []byte) (Enrolment, error) {
	rows, err := tx.Query(ctx, `SELECT a.name, k.key_id, k.secret, k.master_key_id, k.state
		FROM enrolments e JOIN agents a ON a.id = e.agent_id JOIN agent_keys k ON k.agent_id = a.id AND k.key_id = e.key_id
		WHERE e.nonce = $1`, nonce)
	if err != nil {
		return Enrolment{}, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Enrolment, error) {
		e := Enrolment{Before: true}
		err := row.Scan(&e.Agent, &e.Key.KeyID, &e.Key.Secret, &e.Key.MasterKeyID, &e.Key.State)
		return e, err
	})
	if err != nil || len(list) == 0 {
		return Enrolment{}, err
	}
	return list[0], nil
}
