package wal

import (
	"fmt"
	"slices"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	pb "github.com/sentinelgo/sentinel/internal/sentinelpb"
	"google.golang.org/protobuf/proto"
)

const (
	lossesPerRecord = 512  // keeps a declaration far below a batch's limit
	lossesPerCommit = 4096 // keeps what is due at once in memory's bounds
)

// debt is what has to be declared. The folder, where there is one, keeps the
// debt over a crash and goes when the declaration is durable.
type debt struct {
	losses []sentinel.Loss
	folder string
}

// dueDebts returns the debts that the next group declares: the first ones of
// l.debts.
func (l *Log) dueDebts() []debt {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, losses := 0, 0
	for n < len(l.debts) && (n == 0 || losses+len(l.debts[n].losses) <= lossesPerCommit) {
		losses += len(l.debts[n].losses)
		n++
	}
	return slices.Clone(l.debts[:n])
}

// settleDebt is called when d is declared, durably.
func (l *Log) settleDebt(d debt) {
	l.settleDeclared(d.losses)
	if d.folder == "" {
		return
	}
	if err := l.disk.removeAll(d.folder); err != nil {
		l.log.Warn("remove a dropped generation; it is declared again after a restart", "folder", d.folder, "error", err)
	}
}

// settleDeclared notes that the losses are declared, so that they are not
// declared again with the generation that held them.
func (l *Log) settleDeclared(losses []sentinel.Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, loss := range losses {
		if g := l.find(loss.Epoch); g != nil {
			g.lost = g.lost.with(loss.Range)
		}
	}
}

// Declare appends a record that says that the given records will never come,
// for a reason that the caller knows, such as sentinel.LossRejected. When it
// returns without an error the declaration is durable, and the log does not
// declare the same records again. It is not held back by MaxBytes under
// drop_newest. The error has code Invalid for a range or a reason that is none;
// others are those of Append, and the call may be repeated.
func (l *Log) Declare(losses ...sentinel.Loss) error {
	for _, loss := range losses {
		if loss.Epoch == 0 || loss.Range.First == 0 || loss.Range.First > loss.Range.Last ||
			loss.Range.Last > maxSeq || !loss.Reason.Valid() {
			return sentinel.Errorf(sentinel.Invalid, "declare losses: %+v is not a loss", loss)
		}
	}
	for chunk := range slices.Chunk(losses, lossesPerRecord) {
		e := Entry{Kind: KindLosses, Time: l.now(), Data: encodeLosses(chunk)[0]}
		r := &request{entries: []Entry{e}, bytes: len(e.Data), losses: chunk}
		l.submit(r)
		if r.err != nil {
			return fmt.Errorf("declare losses: %w", r.err)
		}
		l.mu.Lock()
		for _, loss := range chunk {
			l.stats.Dropped[loss.Reason] += loss.Range.Count()
		}
		l.mu.Unlock()
	}
	return nil
}

// declareDamage owes the part of a hole that is neither settled nor declared,
// and tries to pay at once. Where that fails the next append pays.
func (l *Log) declareDamage(g *generation, hole sentinel.SeqRange) {
	l.mu.Lock()
	var losses []sentinel.Loss
	for _, r := range g.settled.missing(hole) {
		for _, r := range g.lost.missing(r) {
			losses = append(losses, sentinel.Loss{Epoch: g.epoch, Range: r, Reason: sentinel.LossDamaged})
			l.stats.Dropped[sentinel.LossDamaged] += r.Count()
		}
	}
	g.lost = g.lost.with(hole)
	if len(losses) > 0 {
		l.debts = append(l.debts, debt{losses: losses})
	}
	l.mu.Unlock()
	if len(losses) == 0 {
		return
	}
	l.log.Warn("records are unreadable on disk", "epoch", g.epoch, "first", hole.First, "last", hole.Last)
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	l.commit(nil)
}

// encodeLosses returns the payloads of the records that declare losses.
func encodeLosses(losses []sentinel.Loss) [][]byte {
	var payloads [][]byte
	for chunk := range slices.Chunk(losses, lossesPerRecord) {
		report := &pb.LossReport{}
		for _, loss := range chunk {
			report.Losses = append(report.Losses, &pb.Loss{
				Epoch: uint64(loss.Epoch), First: loss.Range.First, Last: loss.Range.Last,
				Reason: pb.LossReason(loss.Reason),
			})
		}
		b, err := proto.Marshal(report)
		if err != nil {
			continue // numbers alone always marshal
		}
		payloads = append(payloads, b)
	}
	return payloads
}

// decodeLosses reads such a payload; what makes no sense in it is left out.
func decodeLosses(payload []byte) []sentinel.Loss {
	report := &pb.LossReport{}
	if proto.Unmarshal(payload, report) != nil {
		return nil
	}
	var losses []sentinel.Loss
	for _, p := range report.Losses {
		loss := sentinel.Loss{
			Epoch:  sentinel.Epoch(p.Epoch),
			Range:  sentinel.SeqRange{First: p.First, Last: p.Last},
			Reason: sentinel.LossReason(p.Reason),
		}
		if loss.Reason.Valid() && p.First > 0 && p.First <= p.Last && p.Last <= maxSeq {
			losses = append(losses, loss)
		}
	}
	return losses
}
