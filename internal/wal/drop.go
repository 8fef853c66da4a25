package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
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

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

func (l *Log) totalBytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for _, g := range l.gens {
		n += g.bytes
	}
	return n
}

// enforceAge drops what is older than MaxAge. An error is logged: the next
// append tries again.
func (l *Log) enforceAge() {
	for {
		l.mu.Lock()
		var old *generation
		if len(l.gens) > 0 && (!l.gens[0].own || l.gens[0].acked > 0) &&
			l.now().Sub(l.gens[0].modified) > l.cfg.MaxAge {
			old = l.gens[0]
		}
		l.mu.Unlock()
		if old == nil {
			return
		}
		if _, err := l.drop(old, sentinel.LossAge); err != nil {
			l.log.Warn("drop what is too old", "epoch", old.epoch, "error", err)
			return
		}
	}
}

// dropOldest gives up the oldest generation that can be given up, and returns
// how many bytes that freed.
func (l *Log) dropOldest(reason sentinel.LossReason) (int64, error) {
	l.mu.Lock()
	gens := slices.Clone(l.gens)
	l.mu.Unlock()
	err := errors.New("no generation is left")
	for _, g := range gens {
		if g.bytes == 0 {
			continue
		}
		var n int64
		if n, err = l.drop(g, reason); err == nil {
			return n, nil
		}
	}
	return 0, err
}

// drop frees a generation and owes the declaration of what was not settled in
// it. The steps are such that a crash between any two leaves either the whole
// generation or a folder whose name declares it:
//
//  1. rename to lost-…, fsync the log folder;
//  2. remove the content, except files with declarations that are to be carried
//     forward (cut behind the last of them) and the sidecar;
//  3. append the declaration, durably (settleDebt follows);
//  4. remove the folder.
func (l *Log) drop(g *generation, reason sentinel.LossReason) (int64, error) {
	if l.active != nil && l.active.g == g {
		l.seal()
		if g.gone {
			return g.bytes, nil // all of it was settled
		}
	}
	if err := l.resolve(g, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("drop generation %s: %w", g.epoch, err)
	}
	l.mu.Lock()
	lost := g.unsettled()
	l.mu.Unlock()
	if len(lost) == 0 {
		return g.bytes, l.free(g)
	}
	if err := l.keepSeals(g); err != nil {
		return 0, fmt.Errorf("drop generation %s: %w", g.epoch, err)
	}
	if err := l.saveMark(g, false); err != nil {
		l.log.Debug("save the sidecar of a dropped generation", "epoch", g.epoch, "error", err)
	}
	l.closeReaders(g) // some systems rename no folder with an open file in it
	span := sentinel.SeqRange{First: lost[0].First, Last: lost[len(lost)-1].Last}
	folder := l.path(lostName(g, reason, span))
	err := l.disk.rename(g.dir, folder)
	switch {
	case errors.Is(err, fs.ErrNotExist): // somebody removed it
		reason, folder = sentinel.LossDamaged, ""
	case err != nil:
		return 0, fmt.Errorf("drop generation %s: %w", g.epoch, err)
	default:
		if err := l.disk.syncDir(l.dir); err != nil {
			if l.disk.rename(folder, g.dir) == nil {
				return 0, fmt.Errorf("drop generation %s: %w", g.epoch, err)
			}
		}
	}
	d := debt{folder: folder}
	if folder != "" {
		d = l.gut(folder, g.epoch, lost)
	}
	for _, r := range lost {
		d.losses = append(d.losses, sentinel.Loss{Epoch: g.epoch, Range: r, Reason: reason})
	}
	l.forget(g)
	l.mu.Lock()
	l.debts = append(l.debts, d)
	l.stats.Dropped[reason] += lost.count()
	l.mu.Unlock()
	l.log.Warn("the log dropped a generation", "epoch", g.epoch, "records", lost.count(), "reason", reason.String(), "bytes", g.bytes)
	return g.bytes, nil
}

// gut removes the content of a lost folder except for declarations among the
// lost records; those it returns as a debt. Where the folder cannot be read it
// is left as it is, for the next Open, and is not part of the debt.
func (l *Log) gut(folder string, epoch sentinel.Epoch, lost ranges) (d debt) {
	keep := map[uint64]int64{} // segment → bytes up to the end of its last declaration
	w, err := walkFolder(l.disk, folder, epoch)
	if err == nil {
		err = w.hasty().each(func(f frame, at place) bool {
			if f.kind == KindLosses && lost.contains(f.seq) {
				d.losses = append(d.losses, decodeLosses(f.payload)...)
				keep[at.segment] = at.off + int64(f.size())
			}
			return true
		})
	}
	if err != nil {
		l.log.Warn("read a dropped generation; the next start tries again", "folder", folder, "error", err)
		return debt{}
	}
	d.folder = folder
	for _, e := range w.extents {
		path := filepath.Join(folder, segmentName(e.index))
		if size, ok := keep[e.index]; ok {
			err = l.disk.truncate(path, size)
		} else {
			err = l.disk.removeAll(path)
		}
		if err != nil {
			l.log.Warn("free a dropped generation", "file", path, "error", err)
		}
	}
	return d
}

// lostFolder returns the debt of a drop that an earlier process did not finish.
func (l *Log) lostFolder(path string) debt {
	ordinal, loss, _ := parseLostName(filepath.Base(path))
	g := &generation{ordinal: ordinal, epoch: loss.Epoch, dir: path}
	if m, ok := loadMark(l.disk, g); ok {
		m.apply(g)
	}
	lost := g.settled.missing(loss.Range)
	d := l.gut(path, loss.Epoch, lost)
	for _, r := range lost {
		d.losses = append(d.losses, sentinel.Loss{Epoch: loss.Epoch, Range: r, Reason: loss.Reason})
	}
	l.stats.Dropped[loss.Reason] += lost.count()
	return d
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
			loss.Range.Last > 1<<62 || !loss.Reason.Valid() {
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
		if loss.Reason.Valid() && p.First > 0 && p.First <= p.Last {
			losses = append(losses, loss)
		}
	}
	return losses
}
