package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestSetupSucceedsOnceAmongMany(t *testing.T) {
	db := postgrestest.New(t)
	must(t, db.CreateSetupToken(t.Context(), console, []byte("old"), time.Now().Add(time.Hour)))
	must(t, db.CreateSetupToken(t.Context(), console, []byte("new"), time.Now().Add(time.Hour)))
	_, err := db.Setup(t.Context(), console, []byte("old"), "eve", "phc")
	wantCode(t, err, sentinel.NotFound) // a newer one took its place
	var won atomic.Int32
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			_, err := db.Setup(context.WithoutCancel(t.Context()), console, []byte("new"), fmt.Sprintf("user-%d", i), "phc")
			if err == nil {
				won.Add(1)
			} else if code := sentinel.CodeOf(err); code != sentinel.NotFound && code != sentinel.Conflict {
				t.Error(err)
			}
		})
	}
	group.Wait()
	users, err := db.Users(t.Context())
	must(t, err)
	if won.Load() != 1 || len(users) != 1 || users[0].Role != postgres.Admin {
		t.Errorf("%d succeeded, users are %+v", won.Load(), users)
	}
	wantCode(t, db.CreateSetupToken(t.Context(), console, []byte("x"), time.Now().Add(time.Hour)), sentinel.Conflict)
}

func TestSetupTokenExpires(t *testing.T) {
	db := postgrestest.New(t)
	must(t, db.CreateSetupToken(t.Context(), console, []byte("h"), time.Now().Add(-time.Second)))
	if ok, err := db.SetupTokenValid(t.Context(), []byte("h")); ok || err != nil {
		t.Errorf("%t %v", ok, err)
	}
	_, err := db.Setup(t.Context(), console, []byte("h"), "eve", "phc")
	wantCode(t, err, sentinel.NotFound)
}

func TestSessionsEndWithWhatTheyRestOn(t *testing.T) {
	yes, no := true, false
	for name, change := range map[string]postgres.UserChange{
		"another password": {Password: "other"}, "another role": {Role: postgres.Operator}, "being disabled": {Disabled: &yes},
		"nothing": {Disabled: &no},
	} {
		t.Run(name, func(t *testing.T) {
			db := postgrestest.New(t)
			u, err := db.CreateUser(t.Context(), console, "ann", "phc", postgres.Viewer)
			must(t, err)
			must(t, db.CreateSession(t.Context(), console, u, []byte("s"), nil, time.Now().Add(time.Hour)))
			_, err = db.SessionByHash(t.Context(), []byte("s"))
			must(t, err)
			_, err = db.ChangeUser(t.Context(), console, u.ID, change)
			must(t, err)
			_, err = db.SessionByHash(t.Context(), []byte("s"))
			if ended := sentinel.CodeOf(err) == sentinel.NotFound; ended == (name == "nothing") {
				t.Errorf("after %s: %v", name, err)
			}
			// A login that was under way with what is no longer true begins no session.
			err = db.CreateSession(t.Context(), console, u, []byte("late"), nil, time.Now().Add(time.Hour))
			if refused := sentinel.CodeOf(err) == sentinel.NotFound; refused != (name == "another password" || name == "being disabled") {
				t.Errorf("after %s: %v", name, err)
			}
		})
	}
}

func TestSessionEndsByTime(t *testing.T) {
	db := postgrestest.New(t)
	u, err := db.CreateUser(t.Context(), console, "ann", "phc", postgres.Viewer)
	must(t, err)
	must(t, db.CreateSession(t.Context(), console, u, []byte("absolute"), nil, time.Now().Add(-time.Second)))
	_, err = db.SessionByHash(t.Context(), []byte("absolute"))
	wantCode(t, err, sentinel.NotFound)
	must(t, db.CreateSession(t.Context(), console, u, []byte("idle"), nil, time.Now().Add(100*time.Hour)))
	must(t, db.Exec(t.Context(), `UPDATE sessions SET used_at = now() - INTERVAL '11 hours 59 minutes'`))
	_, err = db.SessionByHash(t.Context(), []byte("idle"))
	must(t, err)
	// Its use was noted: 12 hours begin again.
	must(t, db.Exec(t.Context(), `UPDATE sessions SET used_at = used_at - INTERVAL '11 hours'`))
	_, err = db.SessionByHash(t.Context(), []byte("idle"))
	must(t, err)
	must(t, db.Exec(t.Context(), `UPDATE sessions SET used_at = now() - INTERVAL '12 hours 1 second'`))
	_, err = db.SessionByHash(t.Context(), []byte("idle"))
	wantCode(t, err, sentinel.NotFound)
	// The next login replaces the browser's session.
	must(t, db.CreateSession(t.Context(), console, u, []byte("next"), nil, time.Now().Add(time.Hour)))
	must(t, db.CreateSession(t.Context(), console, u, []byte("rotated"), []byte("next"), time.Now().Add(time.Hour)))
	_, err = db.SessionByHash(t.Context(), []byte("next"))
	wantCode(t, err, sentinel.NotFound)
}

func TestAuditLogIsOnlyAddedTo(t *testing.T) {
	db := postgrestest.New(t)
	must(t, db.Audit(t.Context(), console))
	for _, sql := range []string{`UPDATE audit_log SET actor = 'x'`, `DELETE FROM audit_log`, `TRUNCATE audit_log`} {
		if err := db.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s was let through", sql)
		}
	}
	// A change that fails leaves no entry, and an entry that fails no change.
	wantCode(t, db.DeleteToken(t.Context(), console, 99), sentinel.NotFound)
	bad := console
	bad.Actor.Kind = "ghost"
	_, err := db.CreateUser(t.Context(), bad, "ann", "phc", postgres.Viewer)
	if err == nil {
		t.Error("a change without an entry was let through")
	}
	users, err := db.Users(t.Context())
	must(t, err)
	log, err := db.AuditLog(t.Context(), postgres.AuditFilter{})
	must(t, err)
	if len(users) != 0 || len(log) != 1 {
		t.Errorf("%d users and %d entries", len(users), len(log))
	}
}

// TestAuditLogMissesNothing reads on from the last number while many write, as
// those do who watch.
func TestAuditLogMissesNothing(t *testing.T) {
	db := postgrestest.New(t)
	const writers, each = 4, 25
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				if err := db.Audit(ctx, console); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var seen []int64
	for last := int64(0); len(seen) < writers*each; {
		page, err := db.AuditLog(ctx, postgres.AuditFilter{After: last, Oldest: true, Limit: 7})
		if err != nil {
			t.Fatalf("%d of %d entries were seen: %v", len(seen), writers*each, errors.Join(err, ctx.Err()))
		}
		for _, e := range page {
			seen, last = append(seen, e.ID), e.ID
		}
	}
	group.Wait()
	if !slices.IsSorted(seen) || len(slices.Compact(seen)) != writers*each {
		t.Errorf("saw %v", seen)
	}
}
