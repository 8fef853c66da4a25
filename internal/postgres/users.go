package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// User is a person who signs in with a password.
type User struct {
	ID          int64
	Name        string // lower case
	Password    string // Argon2id in PHC form; for those who verify it, never to be shown
	Role        Role
	CreatedAt   time.Time
	PasswordAt  time.Time // when the password was set
	LastLoginAt time.Time // zero: never
	DisabledAt  time.Time // zero: may sign in
}

const userColumns = `id, name, password, role, created_at, password_at, last_login_at, disabled_at`

func scanUser(row pgx.CollectableRow) (User, error) {
	var u User
	var login, disabled *time.Time
	err := row.Scan(&u.ID, &u.Name, &u.Password, &u.Role, &u.CreatedAt, &u.PasswordAt, &login, &disabled)
	u.LastLoginAt, u.DisabledAt = orZero(login), orZero(disabled)
	return u, err
}

func oneUser(ctx context.Context, tx pgx.Tx, sql string, args ...any) (User, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return User{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanUser)
}

const insertUser = `INSERT INTO users (name, password, role) VALUES ($1, $2, $3) RETURNING ` + userColumns

// CreateUser keeps a new user. A name that is taken is a Conflict.
func (db *DB) CreateUser(ctx context.Context, e Entry, name, password string, role Role) (u User, err error) {
	err = db.audited(ctx, "create a user", &e, func(tx pgx.Tx) error {
		u, err = oneUser(ctx, tx, insertUser, name, password, role)
		return err
	})
	return u, err
}

// Users returns all users by name.
func (db *DB) Users(ctx context.Context) ([]User, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+userColumns+` FROM users ORDER BY name`)
	if err != nil {
		return nil, failed("list users", err)
	}
	users, err := pgx.CollectRows(rows, scanUser)
	return users, failed("list users", err)
}

// UserByName returns one user, or NotFound.
func (db *DB) UserByName(ctx context.Context, name string) (User, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+userColumns+` FROM users WHERE name = $1`, name)
	if err != nil {
		return User{}, failed("look up a user", err)
	}
	u, err := pgx.CollectExactlyOneRow(rows, scanUser)
	return u, failed("look up a user", err)
}

// UserChange says what is to be different; nil and empty leave as it is.
type UserChange struct {
	Role     Role
	Disabled *bool
	Password string // in PHC form
	// OldPassword, where set, is what the password in PHC form must still be.
	OldPassword string
}

// ChangeUser changes a user. A new password, another role or being disabled ends
// all the user's sessions in the same transaction. The error is NotFound for an
// unknown user, Conflict where the old password is another one by now.
func (db *DB) ChangeUser(ctx context.Context, e Entry, id int64, ch UserChange) (u User, err error) {
	err = db.audited(ctx, "change a user", &e, func(tx pgx.Tx) error {
		before, err := oneUser(ctx, tx, `SELECT `+userColumns+` FROM users WHERE id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		if ch.OldPassword != "" && ch.OldPassword != before.Password {
			return sentinel.Errorf(sentinel.Conflict, "the password was changed meanwhile")
		}
		if u, err = oneUser(ctx, tx, `UPDATE users SET
				role = CASE WHEN $2 = '' THEN role ELSE $2 END,
				password = CASE WHEN $3 = '' THEN password ELSE $3 END,
				password_at = CASE WHEN $3 = '' THEN password_at ELSE now() END,
				disabled_at = CASE WHEN $4::bool IS NULL THEN disabled_at WHEN $4 THEN coalesce(disabled_at, now()) END
			WHERE id = $1 RETURNING `+userColumns, id, string(ch.Role), ch.Password, ch.Disabled); err != nil {
			return err
		}
		if ch.Password == "" && u.Role == before.Role && u.DisabledAt.IsZero() {
			return nil
		}
		_, err = tx.Exec(ctx, `DELETE FROM sessions WHERE user_id = $1`, id)
		return err
	})
	return u, err
}

// DeleteUser removes a user and all sessions, or answers NotFound.
func (db *DB) DeleteUser(ctx context.Context, e Entry, id int64) error {
	return db.audited(ctx, "delete a user", &e, func(tx pgx.Tx) error {
		return mustChange(ctx, tx, "delete a user", `DELETE FROM users WHERE id = $1`, id)
	})
}

// mustChange is change within a transaction.
func mustChange(ctx context.Context, tx pgx.Tx, doing, sql string, args ...any) error {
	tag, err := tx.Exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() == 0 {
		return sentinel.Errorf(sentinel.NotFound, "%s: no such row", doing)
	}
	return err
}

// CreateSetupToken keeps the hash of a token that makes the first user; older ones
// end. Where there is a user already it is a Conflict.
func (db *DB) CreateSetupToken(ctx context.Context, e Entry, hash []byte, expires time.Time) error {
	return db.audited(ctx, "create a setup token", &e, func(tx pgx.Tx) error {
		if err := noUserYet(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM setup_tokens`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO setup_tokens (hash, expires_at) VALUES ($1, $2)`, hash, expires)
		return err
	})
}

// noUserYet holds, until the transaction ends, that nobody else makes the first user.
func noUserYet(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockSetup); err != nil {
		return err
	}
	var some bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users)`).Scan(&some); err != nil {
		return err
	}
	if some {
		return sentinel.Errorf(sentinel.Conflict, "there is a user already")
	}
	return nil
}

// SetupTokenValid reports whether the token could be redeemed now.
func (db *DB) SetupTokenValid(ctx context.Context, hash []byte) (ok bool, err error) {
	err = db.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM setup_tokens WHERE hash = $1 AND expires_at > now())
		AND NOT EXISTS (SELECT FROM users)`, hash).Scan(&ok)
	return ok, failed("look up a setup token", err)
}

// Setup makes the first user, an admin, for a setup token, which ends with that:
// of many who try at once exactly one succeeds. The others get NotFound or Conflict.
func (db *DB) Setup(ctx context.Context, e Entry, hash []byte, name, password string) (u User, err error) {
	err = db.audited(ctx, "set up", &e, func(tx pgx.Tx) error {
		if err := noUserYet(ctx, tx); err != nil {
			return err
		}
		if err := mustChange(ctx, tx, "redeem", `DELETE FROM setup_tokens WHERE hash = $1 AND expires_at > now()`, hash); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM setup_tokens`); err != nil {
			return err
		}
		u, err = oneUser(ctx, tx, insertUser, name, password, Admin)
		return err
	})
	return u, err
}
