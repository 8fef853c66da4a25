package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
)

// TestP26WhoNotesChangesWaitsForNobodyInACircle: two workers note the same incidents in
// opposite orders, as they do after a hand-over.
func TestP26WhoNotesChangesWaitsForNobodyInACircle(t *testing.T) {
	db := postgrestest.New(t)
	now := time.Now()
	const incidents, rounds = 40, 30
	group, ctx := errgroup.WithContext(t.Context())
	for who := range 2 {
		group.Go(func() error {
			for round := range rounds {
				var list []postgres.IncidentChange
				for i := range incidents {
					list = append(list, postgres.IncidentChange{At: now, From: "inactive", To: "firing", Event: "fires", Incident: postgres.Incident{
						Fingerprint: fmt.Sprintf("%016x", i), N: int64(2*round + who + 1), Rule: "test/Hot", AlertName: "Hot", Severity: "warning",
						State: "firing", StartsAt: now, FiredAt: now, ChangedAt: now, Change: []byte(`{}`)}})
				}
				if who == 1 {
					slices.Reverse(list)
				}
				if err := db.NoteChanges(ctx, list); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	n, err := postgres.One[int](t.Context(), db, `SELECT count(*) FROM incident_changes`)
	must(t, err)
	if n != 2*rounds*incidents {
		t.Errorf("%d changes are kept, want %d", n, 2*rounds*incidents)
	}
}
