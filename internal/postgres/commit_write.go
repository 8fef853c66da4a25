package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// write queues everything but the samples into one round trip: the ledger, the
// marks of late minutes and the dead letters.
func (c *commit) write(ctx context.Context, tx pgx.Tx) error {
	var batch pgx.Batch
	c.queueLedger(&batch)
	c.queueDirty(&batch)
	c.queueKept(&batch)
	c.letters.queue(&batch, c.db.cfg)
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

func (c *commit) queueLedger(batch *pgx.Batch) {
	var (
		agents, epochs, appended            []int64
		cycles, reports, quarantined        []int64
		bytes, age, full, damaged, rejected []int64
		samples                             []int64
		received                            []string
		digests                             [][]byte
		forked                              []bool
	)
	for _, k := range c.keys {
		a := c.accounts[k]
		if !a.changed {
			continue
		}
		agents, epochs = append(agents, k.agent), append(epochs, int64(k.epoch))
		received = append(received, a.received.multirange())
		appended = append(appended, int64(a.appended))
		cycles, reports = append(cycles, a.cycles), append(reports, a.reports)
		quarantined = append(quarantined, a.quarantined)
		bytes = append(bytes, a.lost[sentinel.LossBytes])
		age = append(age, a.lost[sentinel.LossAge])
		full = append(full, a.lost[sentinel.LossDiskFull])
		damaged = append(damaged, a.lost[sentinel.LossDamaged])
		rejected = append(rejected, a.lost[sentinel.LossRejected])
		samples = append(samples, a.samples)
		d := make([]byte, 0, 16*len(a.digests))
		for _, e := range a.digests {
			d = binary.BigEndian.AppendUint64(d, e.seq)
			d = binary.BigEndian.AppendUint64(d, e.sum)
		}
		digests = append(digests, d)
		forked = append(forked, a.forked)
	}
	if len(agents) == 0 {
		return
	}
	// The values are absolute: the row is locked since it was read.
	batch.Queue(`UPDATE ingest_ledger l SET
			received = u.received::int8multirange,
			appended = u.appended,
			stored_cycles = u.cycles,
			stored_reports = u.reports,
			quarantined = u.quarantined,
			lost_bytes = u.bytes,
			lost_age = u.age,
			lost_disk_full = u.full,
			lost_damaged = u.damaged,
			lost_rejected = u.rejected,
			stored_samples = u.samples,
			digests = u.digests,
			forked_at = CASE WHEN u.forked THEN coalesce(l.forked_at, now()) ELSE l.forked_at END,
			updated_at = now()
		FROM unnest($1::int8[], $2::int8[], $3::text[], $4::int8[], $5::int8[], $6::int8[], $7::int8[],
			$8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::int8[], $13::int8[], $14::bytea[], $15::bool[])
			AS u(agent_id, epoch, received, appended, cycles, reports, quarantined,
				bytes, age, "full", damaged, rejected, samples, digests, forked)
		WHERE l.agent_id = u.agent_id AND l.epoch = u.epoch`,
		agents, epochs, received, appended, cycles, reports, quarantined,
		bytes, age, full, damaged, rejected, samples, digests, forked)
}

func (c *commit) queueDirty(batch *pgx.Batch) {
	if len(c.dirty) == 0 {
		return
	}
	agents, buckets := make([]int64, 0, len(c.dirty)), make([]time.Time, 0, len(c.dirty))
	for b := range c.dirty {
		agents, buckets = append(agents, b.agent), append(buckets, time.Unix(b.start, 0))
	}
	batch.Queue(`INSERT INTO rollup_dirty (tier, agent_id, bucket)
		SELECT '1m', agent_id, bucket FROM unnest($1::int8[], $2::timestamptz[]) AS d(agent_id, bucket)`, agents, buckets)
}

// letters collects the dead letters of one commit, column by column.
type letters struct {
	agents              []*int64 // nil for an orphan
	names               []string
	epochs, seqs, count []int64
	reasons, details    []string
	envelopes           [][]byte
	received            []time.Time
	charged             []string // multiranges
}

// batch adds a letter of an agent, whose ledger counts the numbers in charged as
// quarantined by it.
func (l *letters) batch(b *Batch, reason, detail string, charged ranges) {
	l.add(&b.Agent, string(b.AgentName), uint64(b.Epoch), b.First, b.Count, reason, detail, b.Envelope, b.Received, charged)
}

// orphan adds a letter that is charged to nobody.
func (l *letters) orphan(o *Orphan) {
	l.add(nil, o.AgentName, o.Epoch, o.Seq, o.Count, o.Reason, o.Detail, o.Envelope, o.Received, nil)
}

func (l *letters) add(agent *int64, name string, epoch, seq uint64, count uint32, reason, detail string, envelope []byte, received time.Time, charged ranges) {
	if received.IsZero() {
		received = time.Now()
	}
	if envelope == nil {
		envelope = []byte{}
	}
	l.agents = append(l.agents, agent)
	l.names = append(l.names, printable(name, 64))
	l.epochs, l.seqs, l.count = append(l.epochs, int64(epoch)), append(l.seqs, int64(seq)), append(l.count, int64(count))
	l.reasons, l.details = append(l.reasons, printable(reason, 64)), append(l.details, printable(detail, 1024))
	l.envelopes, l.received = append(l.envelopes, envelope), append(l.received, received)
	l.charged = append(l.charged, charged.multirange())
}

// queue adds the letters and the removal of the oldest ones beyond the caps, so
// that nobody can fill the disk with rubbish.
func (l *letters) queue(batch *pgx.Batch, cfg Config) {
	if len(l.agents) == 0 {
		return
	}
	// An orphan that was replayed and is one again is there already.
	batch.Queue(`WITH fresh AS (
			SELECT * FROM unnest($1::int8[], $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::text[], $7::text[], $8::bytea[], $9::timestamptz[], $10::text[])
				AS u(agent_id, agent_name, epoch, seq, count, reason, detail, envelope, received_at, charged)
		), again AS (
			UPDATE dead_letters d SET tried_at = now(), reason = f.reason, detail = f.detail FROM fresh f
			WHERE f.agent_id IS NULL AND d.agent_id IS NULL AND d.replayed_at IS NOT NULL AND d.envelope = f.envelope
			RETURNING d.envelope
		)
		INSERT INTO dead_letters (agent_id, agent_name, epoch, seq, count, reason, detail, envelope, received_at, charged)
		SELECT agent_id, agent_name, epoch, seq, count, reason, detail, envelope, received_at, charged::int8multirange FROM fresh
		WHERE agent_id IS NOT NULL OR envelope NOT IN (SELECT envelope FROM again)`,
		l.agents, l.names, l.epochs, l.seqs, l.count, l.reasons, l.details, l.envelopes, l.received, l.charged)
	charged, orphans := make(map[int64]struct{}), false
	for _, a := range l.agents {
		if a == nil {
			orphans = true
		} else {
			charged[*a] = struct{}{}
		}
	}
	if orphans {
		batch.Queue(`DELETE FROM dead_letters WHERE agent_id IS NULL AND id <= (
			SELECT id FROM dead_letters WHERE agent_id IS NULL ORDER BY id DESC OFFSET $1 LIMIT 1)`, cfg.MaxOrphans)
	}
	for a := range charged {
		batch.Queue(`DELETE FROM dead_letters WHERE agent_id = $1 AND id <= (
			SELECT id FROM dead_letters WHERE agent_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)`, a, cfg.MaxLetters)
	}
}

// printable makes text that others wrote safe to store and to show: UTF-8
// without control characters, at most n bytes.
func printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
