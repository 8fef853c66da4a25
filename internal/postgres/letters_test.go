package postgres_test

import (
	"sync"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// again is a quarantined batch as it comes again, of use now.
func (f *fixture) again(epoch sentinel.Epoch, first, last uint64) postgres.Batch {
	b := f.batch(epoch, first, last)
	b.Envelope = []byte("exact bytes")
	return b
}

func (f *fixture) letters(t *testing.T) []postgres.Letter {
	t.Helper()
	list, err := f.Letters(t.Context(), postgres.LetterFilter{})
	must(t, err)
	return list
}

func seqs(first, last uint64) map[uint64]bool {
	m := map[uint64]bool{}
	for seq := first; seq <= last; seq++ {
		m[seq] = true
	}
	return m
}

func TestP13QuarantinedBecomesStored(t *testing.T) {
	f := newFixture(t, 2)
	f.commit(t, f.batch(7, 1, 4))
	f.commit(t, f.quarantine(7, 3, 8)) // 3 and 4 are stored already
	if b := f.books(t).Total; b.StoredCycles != 4 || b.Quarantined != 4 {
		t.Fatalf("%+v", b)
	}
	l := f.letters(t)
	if len(l) != 1 || l[0].Charged != 4 || l[0].Count != 6 {
		t.Fatalf("%+v", l)
	}
	// Other bytes under the same numbers are no reason to change anything.
	if o := f.commit(t, f.batch(7, 3, 8)); o[0].StoredCycles != 0 || o[0].Duplicates != 6 {
		t.Errorf("%+v", o)
	}
	// Still of no use: all stays, and the letter says when it was tried.
	must(t, f.NoteReplay(t.Context(), console, l[0].ID))
	f.commit(t, f.quarantine(7, 3, 8))
	l = f.letters(t)
	if b := f.books(t).Total; b.Quarantined != 4 || len(l) != 1 || l[0].TriedAt.IsZero() || l[0].ReplayedAt.IsZero() {
		t.Errorf("%+v, letters %+v", b, l)
	}
	// Of use: in several workers and twice in one commit it is stored once.
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := f.Commit(t.Context(), []postgres.Batch{f.again(7, 3, 8), f.batch(7, 9, 10), f.again(7, 3, 8)}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	b := f.books(t)
	if b.Total.StoredCycles != 10 || b.Total.Quarantined != 0 || b.Total.StoredSamples != 20 || b.Total.InFlight != 0 || len(f.letters(t)) != 0 {
		t.Errorf("%+v, %d letters", b.Total, len(f.letters(t)))
	}
	f.checkStored(t, map[sentinel.Epoch]map[uint64]bool{7: seqs(1, 10)})
	if o := f.commit(t, f.again(7, 3, 8)); o[0].StoredCycles != 0 {
		t.Errorf("it was stored once more: %+v", o)
	}
}

func TestP13QuarantinedLossReportIsDeclared(t *testing.T) {
	f := newFixture(t, 2)
	q := f.quarantine(7, 5, 5)
	f.commit(t, f.batch(7, 1, 2), q)
	r := f.losses(7, 5, lost(7, 3, 4, sentinel.LossAge))
	r.Envelope = q.Envelope
	f.commit(t, r)
	if b := f.books(t).Total; b.StoredReports != 1 || b.Quarantined != 0 || b.Lost[sentinel.LossAge] != 2 || b.InFlight != 0 {
		t.Errorf("%+v", b)
	}
}

// TestReplayOfTwoLettersOfOneEpoch wants that each gives back only its own.
func TestReplayOfTwoLettersOfOneEpoch(t *testing.T) {
	f := newFixture(t, 1)
	second := f.quarantine(7, 4, 6)
	second.Envelope = []byte("other bytes")
	f.commit(t, f.quarantine(7, 1, 3), second)
	f.commit(t, f.again(7, 1, 3))
	if b := f.books(t).Total; b.StoredCycles != 3 || b.Quarantined != 3 {
		t.Errorf("%+v", b)
	}
	if l := f.letters(t); len(l) != 1 || l[0].Seq != 4 {
		t.Errorf("%+v", l)
	}
}

func TestReplayedOrphanIsKeptOnce(t *testing.T) {
	f := newFixture(t, 1)
	o := postgres.Orphan{AgentName: "x", Reason: "bad_signature", Envelope: []byte("forged"), Received: time.Now()}
	commit := func() {
		_, err := f.Commit(t.Context(), nil, []postgres.Orphan{o})
		must(t, err)
	}
	commit()
	l := f.letters(t)
	must(t, f.NoteReplay(t.Context(), console, l[0].ID))
	commit()
	if l = f.letters(t); len(l) != 1 || l[0].TriedAt.IsZero() || l[0].Charged != 0 {
		t.Errorf("%+v", l)
	}
	o.Envelope = []byte("another")
	commit()
	if l = f.letters(t); len(l) != 2 {
		t.Errorf("%+v", l)
	}
}

func TestPurgeLeavesTheBooks(t *testing.T) {
	f := newFixture(t, 1)
	other := f.quarantine(7, 4, 6)
	other.Quarantine = &postgres.Quarantine{Reason: "bad_time"}
	f.commit(t, f.quarantine(7, 1, 3), other)
	before := f.books(t).Total
	purge := func(p postgres.LetterPurge) int64 {
		t.Helper()
		n, err := f.PurgeLetters(t.Context(), console, p)
		must(t, err)
		return n
	}
	if n := purge(postgres.LetterPurge{Orphans: true}) + purge(postgres.LetterPurge{Reason: "nothing"}) + purge(postgres.LetterPurge{Agent: 999}) +
		purge(postgres.LetterPurge{Before: time.Now().Add(-time.Hour)}); n != 0 {
		t.Errorf("%d letters that do not fit were purged", n)
	}
	if n := purge(postgres.LetterPurge{Agent: f.agent, Reason: "bad_time"}); n != 1 {
		t.Errorf("%d were purged", n)
	}
	purge(postgres.LetterPurge{ID: f.letters(t)[0].ID})
	_, err := f.PurgeLetters(t.Context(), console, postgres.LetterPurge{ID: 1})
	wantCode(t, err, sentinel.NotFound)
	after := f.books(t).Total
	if len(f.letters(t)) != 0 || after.Quarantined != before.Quarantined || after.Quarantined != 6 {
		t.Errorf("%+v, was %+v", after, before)
	}
	// Without its letter a batch stays quarantined, whatever comes.
	if o := f.commit(t, f.again(7, 1, 3)); o[0].StoredCycles != 0 {
		t.Errorf("%+v", o)
	}
	log, err := f.AuditLog(t.Context(), postgres.AuditFilter{Limit: 1})
	must(t, err)
	if log[0].Details["letters"] != float64(1) {
		t.Errorf("%+v", log[0])
	}
}
