package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// SessionIdle is how long a session that nobody uses is valid.
const SessionIdle = 12 * time.Hour

// CreateSession begins a session of a user who has just shown the password that
// the user's row holds, and ends the session that the browser had before. Where
// the user has been disabled or given another password meanwhile it is NotFound.
func (db *DB) CreateSession(ctx context.Context, e Entry, u User, hash, before []byte, expires time.Time) error {
	return db.audited(ctx, "begin a session", &e, func(tx pgx.Tx) error {
		if err := mustChange(ctx, tx, "begin a session", `UPDATE users SET last_login_at = now()
			WHERE id = $1 AND password = $2 AND disabled_at IS NULL`, u.ID, u.Password); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM sessions WHERE hash = $1
			OR (user_id = $2 AND (expires_at < now() OR used_at < $3))`, before, u.ID, time.Now().Add(-SessionIdle)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO sessions (hash, user_id, expires_at) VALUES ($1, $2, $3)`, hash, u.ID, expires)
		return err
	})
}

// SessionByHash returns whose session it is and notes its use. One that does not
// exist, has ended or is of a disabled user is NotFound.
func (db *DB) SessionByHash(ctx context.Context, hash []byte) (Actor, error) {
	a := Actor{Kind: ActorUser}
	var used time.Time
	err := db.pool.QueryRow(ctx, `SELECT u.id, u.name, u.role, s.used_at, s.expires_at
		FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.hash = $1 AND s.expires_at > now() AND s.used_at > now() - $2::interval AND u.disabled_at IS NULL`,
		hash, SessionIdle).Scan(&a.ID, &a.Name, &a.Role, &used, &a.Expires)
	if err != nil {
		return Actor{}, failed("look up a session", err)
	}
	// At most one write a minute, as with tokens.
	if _, err := db.pool.Exec(ctx, `UPDATE sessions SET used_at = now() WHERE hash = $1 AND used_at < now() - INTERVAL '1 minute'`, hash); err != nil {
		return Actor{}, failed("note the use of a session", err)
	}
	return a, nil
}

// EndSession ends a session; one that has ended already is no error.
func (db *DB) EndSession(ctx context.Context, e Entry, hash []byte) error {
	return db.audited(ctx, "end a session", &e, func(tx pgx.Tx) error {
		err := mustChange(ctx, tx, "end a session", `DELETE FROM sessions WHERE hash = $1`, hash)
		if sentinel.CodeOf(err) == sentinel.NotFound {
			return nil
		}
		return err
	})
}
