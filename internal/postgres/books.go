package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Book balances one epoch, or several: Appended = StoredCycles + StoredReports +
// Quarantined + the sum of Lost + InFlight, always.
type Book struct {
	Appended      uint64 // records that the agent is known to have written
	StoredCycles  uint64
	StoredReports uint64 // records that declare losses
	Quarantined   uint64
	Lost          map[sentinel.LossReason]uint64 // LossRejected among them
	InFlight      uint64                         // not settled: in the agent's log or on the way
	StoredSamples uint64
}

// EpochBook is the book of one epoch.
type EpochBook struct {
	Epoch sentinel.Epoch
	Book
	Holes     int       // gaps between settled records
	ForkedAt  time.Time // zero: never
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Books are the books of one agent, oldest epoch first. Epochs that Maintain
// has pruned are not in them.
type Books struct {
	Epochs []EpochBook
	Total  Book
}

// Books returns an agent's books, empty for an agent without any.
func (db *DB) Books(ctx context.Context, agent int64) (Books, error) {
	books := Books{Total: Book{Lost: map[sentinel.LossReason]uint64{}}}
	rows, err := db.pool.Query(ctx, `SELECT epoch, received::text, appended, stored_cycles, stored_reports, quarantined,
			lost_bytes, lost_age, lost_disk_full, lost_damaged, lost_rejected, stored_samples, forked_at, created_at, updated_at
		FROM ingest_ledger WHERE agent_id = $1 ORDER BY created_at, epoch`, agent)
	if err != nil {
		return books, failed("read the books", err)
	}
	books.Epochs, err = pgx.CollectRows(rows, scanBook)
	if err != nil {
		return books, failed("read the books", err)
	}
	for _, e := range books.Epochs {
		t := &books.Total
		t.Appended += e.Appended
		t.StoredCycles += e.StoredCycles
		t.StoredReports += e.StoredReports
		t.Quarantined += e.Quarantined
		t.InFlight += e.InFlight
		t.StoredSamples += e.StoredSamples
		for reason, n := range e.Lost {
			t.Lost[reason] += n
		}
	}
	return books, nil
}

func scanBook(row pgx.CollectableRow) (EpochBook, error) {
	b := EpochBook{Book: Book{Lost: map[sentinel.LossReason]uint64{}}}
	var epoch int64
	var received string
	var lost [int(sentinel.LossRejected) + 1]uint64
	var forked *time.Time
	if err := row.Scan(&epoch, &received, &b.Appended, &b.StoredCycles, &b.StoredReports, &b.Quarantined,
		&lost[sentinel.LossBytes], &lost[sentinel.LossAge], &lost[sentinel.LossDiskFull],
		&lost[sentinel.LossDamaged], &lost[sentinel.LossRejected], &b.StoredSamples, &forked, &b.CreatedAt, &b.UpdatedAt); err != nil {
		return b, err
	}
	b.Epoch, b.ForkedAt = sentinel.Epoch(epoch), orZero(forked)
	settled := b.StoredCycles + b.StoredReports + b.Quarantined
	for reason, n := range lost {
		if n > 0 {
			b.Lost[sentinel.LossReason(reason)] = n
			settled += n
		}
	}
	rs, err := parseRanges(received)
	if err != nil {
		return b, err
	}
	// The two are written together; a difference means that the ledger was
	// changed by other hands, and a balance would be a lie.
	if have := count(rs); have != settled {
		return b, fmt.Errorf("ledger of epoch %s: %d records are settled, %d are accounted for", b.Epoch, have, settled)
	}
	b.InFlight = b.Appended - settled
	b.Holes = max(0, len(rs)-1)
	return b, nil
}
