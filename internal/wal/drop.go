package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

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

// ageSteps is how many parts MaxAge has: a generation is sealed after one, and a
// pause between two counts as one at most.
const ageSteps = 16

// setAges sets when the generations that earlier processes wrote were appended to
// last, by a clock that starts at 0 now. Only files' times can say, and those are
// of the host's clock, which may have been wrong then or be wrong now. So the
// time between two generations that follow each other counts as one step of the
// age at most: no single jump of the clock, in whichever direction, makes the log
// drop what it holds. A host that was switched off keeps its records for longer,
// within MaxBytes.
func setAges(gens []*generation, now time.Time, maxAge time.Duration) {
	age := time.Duration(0)
	for _, g := range slices.Backward(gens) {
		age += min(max(0, now.Sub(g.modified)), maxAge/ageSteps)
		g.last, now = -age, g.modified
	}
}

// enforceAge drops what is older than MaxAge. An error is logged: the next
// append tries again.
func (l *Log) enforceAge() {
	for {
		l.mu.Lock()
		var old *generation
		if len(l.gens) > 0 && (!l.gens[0].own || l.gens[0].acked > 0) &&
			l.up()-l.gens[0].last > l.cfg.MaxAge {
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
			l.emptyTrash()
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
	l.forget(g)
	l.mu.Lock()
	lost = g.unsettled() // a reader may have found and declared damage meanwhile
	for _, r := range lost {
		d.losses = append(d.losses, sentinel.Loss{Epoch: g.epoch, Range: r, Reason: reason})
		g.lost = g.lost.with(r) // or find it only now
	}
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
