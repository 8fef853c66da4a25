package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Class says what a failed write means for the data that was to be written.
type Class uint8

const (
	// Outage: nothing is known against the data. Keep it and try again. Every
	// failure that is not recognised is one.
	Outage Class = iota
	// Poison: the database refused the data itself, and will again.
	Poison
)

// String returns the class as it stands in logs and metrics.
func (c Class) String() string {
	if c == Poison {
		return "poison"
	}
	return "outage"
}

// Classify says whether err, from any method of DB, speaks against the data or
// against the database. Of a group of batches that fails with Poison at least
// one is bad: the caller may split the group to find it. A nil error is a bug in
// the caller and is answered with Outage.
func Classify(err error) Class {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		if missingPartition(pg) || len(pg.Code) != 5 {
			return Outage
		}
		// https://www.postgresql.org/docs/current/errcodes-appendix.html
		switch pg.Code[:2] {
		case "22", // data exception: out of range, NUL byte, invalid encoding
			"23", // integrity violation: the agent is gone, a check fails
			"54": // program limit exceeded: a row or key too large
			return Poison
		}
		return Outage
	}
	if sentinel.CodeOf(err) == sentinel.Invalid {
		return Poison
	}
	return Outage
}

// missingPartition recognises "no partition of relation … found for row", which
// has the code of a check violation but no constraint. It happens when another
// process drops a partition, and says nothing against the row.
func missingPartition(pg *pgconn.PgError) bool {
	return pg.Code == "23514" && pg.ConstraintName == ""
}

// failed gives a driver error its code and says what was being done. The
// driver's texts name host, role and database, never the password.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	if sentinel.CodeOf(err) != sentinel.Unknown {
		return sentinel.Errorf(sentinel.CodeOf(err), "%s: %w", doing, err)
	}
	code := sentinel.Unavailable
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		code = sentinel.NotFound
	case errors.Is(err, context.Canceled):
		code = sentinel.Unavailable
	case errors.As(err, &pg) && pg.Code == "23505":
		code = sentinel.Conflict
	case errors.As(err, &pg) && pg.Code == "23503":
		code = sentinel.NotFound
	case Classify(err) == Poison:
		code = sentinel.Invalid
	case errors.As(err, &pg) && len(pg.Code) == 5 && (pg.Code[:2] == "42" || pg.Code[:2] == "XX"):
		code = sentinel.Internal
	}
	return sentinel.Errorf(code, "%s: %w", doing, err)
}

// milliseconds writes a duration the way PostgreSQL's settings take it.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
