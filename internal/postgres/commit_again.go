package postgres

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// keptLetter is the dead letter of a batch that comes again, byte for byte: because
// somebody replayed it, or because the broker delivered it twice. Its numbers are
// settled, as quarantined. Where the batch is of use now they become stored, and the
// letter goes, in the same transaction: the books balance before and after, and no
// number counts twice.
type keptLetter struct {
	id      int64
	charged ranges      // the numbers that its quarantine has settled
	refused *Quarantine // why it is of no use again
	done    bool        // decided in this commit
}

// findLetters looks for the letters of batches of which numbers are settled and
// whose epoch has quarantined some: of hardly any, so it mostly asks nothing. The
// ledger's lock protects what letters are charged with.
func (c *commit) findLetters(ctx context.Context, tx pgx.Tx) error {
	c.kept = make([]*keptLetter, len(c.batches))
	var agents, epochs, seqs []int64
	for i := range c.batches {
		b := &c.batches[i]
		a := c.accounts[epochKey{b.Agent, b.Epoch}]
		if a.quarantined > 0 && count(a.received.missing(b.span())) < uint64(b.Count) {
			agents, epochs, seqs = append(agents, b.Agent), append(epochs, int64(b.Epoch)), append(seqs, int64(b.First))
		}
	}
	if len(agents) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT d.id, d.agent_id, d.epoch, d.seq, d.envelope, d.charged::text FROM dead_letters d
		WHERE d.charged <> '{}' AND (d.agent_id, d.epoch, d.seq) IN (SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[]))
		ORDER BY d.id FOR UPDATE OF d`, agents, epochs, seqs)
	if err != nil {
		return fmt.Errorf("look for dead letters: %w", err)
	}
	var id, agent, epoch, seq int64
	var envelope []byte
	var charged string
	_, err = pgx.ForEachRow(rows, []any{&id, &agent, &epoch, &seq, &envelope, &charged}, func() error {
		rs, err := parseRanges(charged)
		if err != nil {
			return err
		}
		l := &keptLetter{id: id, charged: rs}
		for i := range c.batches {
			b := &c.batches[i]
			if b.Agent == agent && b.Epoch == sentinel.Epoch(epoch) && b.First == uint64(seq) && bytes.Equal(b.Envelope, envelope) && l.fits(b) {
				c.kept[i] = l
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for dead letters: %w", err)
	}
	return nil
}

// fits reports whether what the letter is charged with lies within the batch.
func (l *keptLetter) fits(b *Batch) bool {
	return l.charged[0].First >= b.First && l.charged[len(l.charged)-1].Last <= b.last()
}

// tryAgain returns the numbers that are to be stored now although they are settled.
func (c *commit) tryAgain(a *account, b *Batch, l *keptLetter) []sentinel.SeqRange {
	l.done = true
	if b.Quarantine != nil {
		l.refused = b.Quarantine
		return nil
	}
	a.quarantined -= int64(count(l.charged))
	a.changed = true
	return l.charged
}

// queueKept removes the letters whose batches are stored now, and notes at the
// others that they are still of no use.
func (c *commit) queueKept(batch *pgx.Batch) {
	for _, l := range c.kept {
		switch {
		case l == nil || !l.done:
		case l.refused != nil:
			batch.Queue(`UPDATE dead_letters SET tried_at = now(), reason = $2, detail = $3 WHERE id = $1`,
				l.id, printable(l.refused.Reason, 64), printable(l.refused.Detail, 1024))
		default:
			batch.Queue(`DELETE FROM dead_letters WHERE id = $1`, l.id)
		}
	}
}
