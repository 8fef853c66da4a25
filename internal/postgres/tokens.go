package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Role says what a token may do; each includes the one before.
type Role string

const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// Token is a person's or a script's access to the REST interface. The token
// itself is nowhere: only its hash is kept, and it is not returned.
type Token struct {
	ID         int64
	Name       string
	Role       Role
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // zero: never; true to the minute
	CreatedBy  string    // as the audit log names actors; empty where that was not kept
}

const tokenColumns = `id, name, role, created_at, expires_at, last_used_at, created_by`

func scanToken(row pgx.CollectableRow) (Token, error) {
	var t Token
	var expires, used *time.Time
	err := row.Scan(&t.ID, &t.Name, &t.Role, &t.CreatedAt, &expires, &used, &t.CreatedBy)
	t.ExpiresAt, t.LastUsedAt = orZero(expires), orZero(used)
	return t, err
}

// CreateToken keeps the hash of a token that the caller made from at least 128
// random bits. A zero expires means never. An unknown role is Invalid, a hash
// that exists a Conflict.
func (db *DB) CreateToken(ctx context.Context, e Entry, name string, role Role, hash []byte, expires time.Time) (t Token, err error) {
	err = db.audited(ctx, "create a token", &e, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `INSERT INTO api_tokens (name, role, hash, expires_at, created_by) VALUES ($1, $2, $3, $4, $5)
			RETURNING `+tokenColumns, name, role, hash, orNull(expires), printable(string(e.Actor.Kind)+":"+e.Actor.Name, 255))
		if err != nil {
			return err
		}
		t, err = pgx.CollectExactlyOneRow(rows, scanToken)
		e.Target = strconv.FormatInt(t.ID, 10)
		return err
	})
	return t, err
}

// TokenByHash returns the token with this hash and notes its use. One that does
// not exist or has expired is NotFound.
func (db *DB) TokenByHash(ctx context.Context, hash []byte) (Token, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+tokenColumns+` FROM api_tokens
		WHERE hash = $1 AND (expires_at IS NULL OR expires_at > now())`, hash)
	if err != nil {
		return Token{}, failed("look up a token", err)
	}
	t, err := pgx.CollectExactlyOneRow(rows, scanToken)
	if err != nil {
		return Token{}, failed("look up a token", err)
	}
	// At most one write a minute: a token is used by every request.
	if _, err := db.pool.Exec(ctx, `UPDATE api_tokens SET last_used_at = now()
		WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - INTERVAL '1 minute')`, t.ID); err != nil {
		return Token{}, failed("note the use of a token", err)
	}
	return t, nil
}

// Tokens returns all tokens, oldest first, expired ones included.
func (db *DB) Tokens(ctx context.Context) ([]Token, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+tokenColumns+` FROM api_tokens ORDER BY id`)
	if err != nil {
		return nil, failed("list tokens", err)
	}
	tokens, err := pgx.CollectRows(rows, scanToken)
	return tokens, failed("list tokens", err)
}

// Token returns one token, or NotFound.
func (db *DB) Token(ctx context.Context, id int64) (Token, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+tokenColumns+` FROM api_tokens WHERE id = $1`, id)
	if err != nil {
		return Token{}, failed("read a token", err)
	}
	t, err := pgx.CollectExactlyOneRow(rows, scanToken)
	return t, failed("read a token", err)
}

// DeleteToken removes a token, or answers NotFound.
func (db *DB) DeleteToken(ctx context.Context, e Entry, id int64) error {
	return db.audited(ctx, "delete a token", &e, func(tx pgx.Tx) error {
		return mustChange(ctx, tx, "delete a token", `DELETE FROM api_tokens WHERE id = $1`, id)
	})
}
