package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	// Commit refuses times beyond the configured bounds plus these: batches may
	// have waited in the broker since the bounds were checked, and the clocks of
	// the machines that check differ. What remains is that nobody can make
	// partitions for the year 9999.
	pastSlack   = 7 * 24 * time.Hour
	futureSlack = 24 * time.Hour
)

// Commit settles batches and keeps orphans, all in one transaction: when it
// returns nil everything is on disk, when it returns an error that was no
// connection failure nothing is. After a connection failure the outcome is
// unknown, and the same call may simply be made again: records that are settled
// already are skipped, one by one, whatever batches they come in and whoever
// else commits them at the same time. Batches may overlap, also within a call.
//
// A batch whose numbers are settled with another digest is not stored: it
// becomes a dead letter and its Outcome says Forked. The outcomes are one for
// each (agent, epoch) that the batches name, losses included, in that order.
//
// On an error the caller asks Classify: after Outage it keeps everything and
// tries again; after Poison at least one batch or orphan is bad, and it splits
// the group to find which. The caller has verified signatures, made layouts
// known and bounded times; Commit checks ranges only.
func (db *DB) Commit(ctx context.Context, batches []Batch, orphans []Orphan) ([]Outcome, error) {
	if len(batches) == 0 && len(orphans) == 0 {
		return nil, nil
	}
	c, err := db.newCommit(batches, orphans)
	if err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		if err := db.ensurePartitions(ctx, bigTables()[0], c.days...); err != nil {
			return nil, err
		}
		outcomes, err := c.run(ctx)
		var pg *pgconn.PgError
		if err != nil && attempt == 0 && errors.As(err, &pg) && missingPartition(pg) {
			db.forgetPartitions() // retention dropped one meanwhile
			continue
		}
		if err != nil {
			return nil, failed("commit batches", err)
		}
		return outcomes, nil
	}
}

// commit is one call of Commit.
type commit struct {
	db      *DB
	batches []Batch
	orphans []Orphan
	keys    []epochKey // of all ledger rows needed, sorted: the order of their locks
	days    []time.Time
	samples int

	// Made anew in each attempt.
	accounts map[epochKey]*account
	rows     *copyBuffer
	dirty    map[bucket]struct{}
	letters  letters
	kept     []*keptLetter // of batches that come again, by their place; nil for the others
}

// bucket is one minute of one agent.
type bucket struct {
	agent int64
	start int64 // Unix seconds
}

func (db *DB) newCommit(batches []Batch, orphans []Orphan) (*commit, error) {
	c := &commit{db: db, batches: batches, orphans: orphans}
	now := time.Now()
	oldest := now.Add(-db.cfg.Limits.MaxAge - pastSlack)
	newest := now.Add(db.cfg.Limits.MaxFuture + futureSlack)
	days := make(map[time.Time]struct{})
	for i := range batches {
		b := &batches[i]
		if err := b.validate(oldest, newest); err != nil {
			return nil, err
		}
		c.keys = append(c.keys, epochKey{b.Agent, b.Epoch})
		for _, l := range b.Losses {
			c.keys = append(c.keys, epochKey{b.Agent, l.Epoch})
		}
		for j := range b.Cycles {
			days[startOfDay(b.Cycles[j].Time)] = struct{}{}
			c.samples += len(b.Cycles[j].Values)
		}
	}
	slices.SortFunc(c.keys, compareKeys)
	c.keys = slices.Compact(c.keys)
	for d := range days {
		c.days = append(c.days, d)
	}
	return c, nil
}

func (c *commit) run(ctx context.Context) ([]Outcome, error) {
	c.accounts = make(map[epochKey]*account, len(c.keys))
	c.rows = newCopyBuffer(c.samples*12 + len(c.batches)*64)
	c.dirty = make(map[bucket]struct{})
	c.letters = letters{}
	err := pgx.BeginFunc(ctx, c.db.pool, func(tx pgx.Tx) error {
		dirtyBelow, err := c.lock(ctx, tx)
		if err != nil {
			return err
		}
		if err := c.findLetters(ctx, tx); err != nil {
			return err
		}
		for i := range c.batches {
			c.settle(&c.batches[i], c.kept[i], dirtyBelow)
		}
		for i := range c.orphans {
			c.letters.orphan(&c.orphans[i])
		}
		if c.rows.rows > 0 {
			if _, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(c.rows.finish()),
				`COPY scrapes (ts, agent_id, layout_id, vals) FROM STDIN BINARY`); err != nil {
				return fmt.Errorf("copy samples: %w", err)
			}
		}
		return c.write(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, 0, len(c.keys))
	for _, k := range c.keys {
		a := c.accounts[k]
		a.outcome.Agent = k.agent
		a.outcome.Mark = a.mark(k.epoch)
		outcomes = append(outcomes, a.outcome)
	}
	return outcomes, nil
}

// lock takes the shared watermark lock and the locks of all ledger rows, in one
// round trip, and reads what they protect. The order matters: the watermark is
// read by a statement that begins after the lock is held, so that it cannot move
// between the reading and our commit.
func (c *commit) lock(ctx context.Context, tx pgx.Tx) (dirtyBelow time.Time, err error) {
	agents, epochs := make([]int64, len(c.keys)), make([]int64, len(c.keys))
	for i, k := range c.keys {
		agents[i], epochs[i] = k.agent, int64(k.epoch)
	}
	var batch pgx.Batch
	batch.Queue(`SELECT pg_advisory_xact_lock_shared($1)`, lockWatermark)
	batch.Queue(`SELECT dirty_below FROM storage`)
	// Sorted here too: two commits that create the same rows wait for each other
	// in the same order.
	batch.Queue(`INSERT INTO ingest_ledger (agent_id, epoch)
		SELECT agent_id, epoch FROM unnest($1::int8[], $2::int8[]) AS k(agent_id, epoch)
		ORDER BY agent_id, epoch
		ON CONFLICT DO NOTHING`, agents, epochs)
	batch.Queue(`SELECT l.agent_id, l.epoch, l.received::text, l.appended, l.stored_cycles, l.stored_reports,
			l.quarantined, l.lost_bytes, l.lost_age, l.lost_disk_full, l.lost_damaged, l.lost_rejected,
			l.stored_samples, l.digests
		FROM unnest($1::int8[], $2::int8[]) AS k(agent_id, epoch)
		JOIN ingest_ledger l ON l.agent_id = k.agent_id AND l.epoch = k.epoch
		ORDER BY l.agent_id, l.epoch
		FOR NO KEY UPDATE OF l`, agents, epochs)
	results := tx.SendBatch(ctx, &batch)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return dirtyBelow, fmt.Errorf("lock the watermark: %w", err)
	}
	if err := results.QueryRow().Scan(&dirtyBelow); err != nil {
		return dirtyBelow, fmt.Errorf("read the watermark: %w", err)
	}
	if _, err := results.Exec(); err != nil {
		return dirtyBelow, fmt.Errorf("open ledger rows: %w", err)
	}
	rows, err := results.Query()
	if err != nil {
		return dirtyBelow, fmt.Errorf("lock ledger rows: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k epochKey
		var epoch, appended int64
		var received string
		var digests []byte
		a := new(account)
		if err := rows.Scan(&k.agent, &epoch, &received, &appended, &a.cycles, &a.reports, &a.quarantined,
			&a.lost[sentinel.LossBytes], &a.lost[sentinel.LossAge], &a.lost[sentinel.LossDiskFull],
			&a.lost[sentinel.LossDamaged], &a.lost[sentinel.LossRejected], &a.samples, &digests); err != nil {
			return dirtyBelow, fmt.Errorf("read ledger rows: %w", err)
		}
		if a.received, err = parseRanges(received); err != nil {
			return dirtyBelow, fmt.Errorf("read ledger rows: %w", err)
		}
		k.epoch, a.appended = sentinel.Epoch(epoch), uint64(appended)
		for ; len(digests) >= 16; digests = digests[16:] {
			a.digests = append(a.digests, digest{binary.BigEndian.Uint64(digests), binary.BigEndian.Uint64(digests[8:])})
		}
		c.accounts[k] = a
	}
	if err := rows.Err(); err != nil {
		return dirtyBelow, fmt.Errorf("lock ledger rows: %w", err)
	}
	if len(c.accounts) != len(c.keys) {
		return dirtyBelow, errors.New("a ledger row was pruned meanwhile")
	}
	return dirtyBelow, results.Close()
}

// settle decides, with the ledger's lock held, what of a batch is new, or was
// quarantined and is of use now.
func (c *commit) settle(b *Batch, kept *keptLetter, dirtyBelow time.Time) {
	a := c.accounts[epochKey{b.Agent, b.Epoch}]
	switch {
	case a.forks(b):
		a.forked, a.outcome.Forked, a.changed = true, true, true
		a.outcome.Refused++
		c.letters.batch(b, ReasonForked, "these sequence numbers were settled with another content", nil)
		return
	case a.scattered(b.span()):
		a.outcome.Refused++
		c.letters.batch(b, ReasonScattered, "the epoch has too many holes", nil)
		return
	}
	fresh := a.settle(b.span())
	if kept != nil && !kept.done {
		fresh = append(fresh, c.tryAgain(a, b, kept)...)
	}
	n := int(count(fresh))
	a.outcome.Duplicates += int(b.Count) - n
	for _, r := range fresh {
		a.remember(b, r)
	}
	switch {
	case n == 0:
	case b.Quarantine != nil:
		a.quarantined += int64(n)
		a.outcome.Quarantined += n
		c.letters.batch(b, b.Quarantine.Reason, b.Quarantine.Detail, fresh)
	case len(b.Losses) > 0:
		a.reports++
		a.outcome.StoredReports++
		for _, l := range b.Losses {
			other := c.accounts[epochKey{b.Agent, l.Epoch}]
			other.outcome.Lost += other.lose(l)
		}
	default:
		for _, r := range fresh {
			c.store(a, b, r, dirtyBelow)
		}
	}
}

// store writes the rows of the numbers in r and marks their minutes where the
// roll-up has passed them already.
func (c *commit) store(a *account, b *Batch, r sentinel.SeqRange, dirtyBelow time.Time) {
	for seq := r.First; seq <= r.Last; seq++ {
		cycle := &b.Cycles[seq-b.First]
		c.rows.scrape(b.Agent, b.LayoutID, cycle)
		n := cycle.Samples()
		a.cycles++
		a.samples += int64(n)
		a.outcome.StoredCycles++
		a.outcome.StoredSamples += n
		if cycle.Time.Before(dirtyBelow) {
			c.dirty[bucket{b.Agent, cycle.Time.Truncate(time.Minute).Unix()}] = struct{}{}
		}
	}
}
