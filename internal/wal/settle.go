package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// markEvery bounds how often the settled marks of one generation are written: each
// time costs a new file, which is a tenth of what an agent does in a cycle.
const markEvery = time.Minute

// Settle notes what the service has committed. A sealed generation of which all
// records are settled is deleted. Marks add up, may come in any order and more
// than once; one for an epoch that the log does not hold is nothing. They are
// kept over a restart, except for those of the last minute before a crash: the
// service then gets some records twice. A mark never reaches beyond the records
// that there are. Appends do not wait while the files of what is deleted are removed.
//
// The error has code Invalid for a mark whose ranges are none, and Unavailable
// where the generation's end cannot be read just now: repeat it.
func (l *Log) Settle(m sentinel.Mark) error {
	last := uint64(0)
	for _, r := range m.Settled {
		if r.First == 0 || r.First > r.Last || r.First <= last {
			return sentinel.Errorf(sentinel.Invalid, "settle %s: ranges are not ascending", m.Epoch)
		}
		last = r.Last
	}
	defer l.emptyTrash() // once appends may go on
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	l.mu.Lock()
	g := l.find(m.Epoch)
	closed, known := l.closed, g != nil && (g.endKnown || g.own)
	l.mu.Unlock()
	if closed {
		return errClosed("settle")
	}
	if g == nil || last == 0 {
		return nil
	}
	if !known {
		if err := l.resolve(g, false); err != nil {
			return sentinel.Errorf(sentinel.Unavailable, "settle %s: %w", m.Epoch, err)
		}
	}
	l.mu.Lock()
	end := g.acked
	if g.endKnown {
		end = g.end
	}
	for _, r := range m.Settled {
		r.Last = min(r.Last, end)
		g.settled = g.settled.with(r)
	}
	g.markDirty = true
	save := !g.isSettled() && l.now().Sub(g.markSaved) >= markEvery
	var free []*generation // this one, and those that could not be freed before
	for _, g := range l.gens {
		if g.isSettled() {
			free = append(free, g)
		}
	}
	l.mu.Unlock()
	for _, g := range free {
		if err := l.free(g); err != nil {
			l.log.Warn("free a settled generation; the next mark tries again", "epoch", g.epoch, "error", err)
		}
	}
	if save {
		if err := l.saveMark(g, false); err != nil {
			l.log.Warn("save what is settled; the next mark tries again", "epoch", g.epoch, "error", err)
		}
	}
	return nil
}

// free takes a generation that nobody needs out of the log. commitMu is held.
func (l *Log) free(g *generation) error {
	if err := l.keepSeals(g); err != nil {
		return err
	}
	l.closeReaders(g)
	trash, err := l.discard(g)
	if err != nil {
		return err
	}
	l.forget(g)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trash = append(l.trash, trash)
	return nil
}

// discard takes a generation's folder out of the log in one step and returns what
// it is called now. Removing its files takes a while, and no append is to wait for
// that.
func (l *Log) discard(g *generation) (trash string, err error) {
	trash = l.path(trashPrefix + genName(g.ordinal, g.epoch))
	if err := l.disk.rename(g.dir, trash); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("free generation %s: %w", g.epoch, err)
	}
	if err := l.disk.syncDir(l.dir); err != nil {
		if l.disk.rename(trash, g.dir) == nil {
			return "", fmt.Errorf("free generation %s: %w", g.epoch, err)
		}
	}
	return trash, nil
}

// emptyTrash removes the folders that were taken out of the log and reports whether
// there were any. It needs no lock: nobody looks into them any more.
func (l *Log) emptyTrash() bool {
	l.mu.Lock()
	trash := l.trash
	l.trash = nil
	l.mu.Unlock()
	for _, path := range trash {
		l.removeTrash(path)
	}
	return len(trash) > 0
}

func (l *Log) removeTrash(path string) {
	if err := l.disk.removeAll(path); err != nil {
		l.log.Warn("remove a freed generation; the next start tries again", "folder", path, "error", err)
	}
}

// forget takes a generation whose folder is gone out of the books.
func (l *Log) forget(g *generation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g.gone = true
	l.gens = slices.DeleteFunc(l.gens, func(o *generation) bool { return o == g })
}

// keepSeals makes durable elsewhere what g says about the ends of earlier
// generations, before g goes.
func (l *Log) keepSeals(g *generation) error {
	seals := g.seals
	if !g.own {
		var err error
		if seals, _, err = headSeals(l.disk, g.dir, g.epoch); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, s := range seals {
		l.mu.Lock()
		earlier := l.find(s.epoch)
		if earlier != nil && !earlier.endKnown {
			earlier.end, earlier.endKnown = s.last, true
		}
		needed := earlier != nil && !earlier.sealSave
		l.mu.Unlock()
		if needed {
			if err := l.saveMark(earlier, true); err != nil {
				return fmt.Errorf("save the end of generation %s: %w", s.epoch, err)
			}
		}
	}
	return nil
}

// resolve finds out where a sealed generation ends: by its sidecar, by what the
// next generation says, or by its last readable record.
func (l *Log) resolve(g *generation, hasty bool) error {
	l.mu.Lock()
	known, least := g.endKnown, g.acked
	l.mu.Unlock()
	if known {
		return nil
	}
	end, ok := l.sealOf(g)
	if !ok {
		last, err := lastSeq(l.disk, g.dir, g.epoch, hasty)
		if err != nil {
			return err
		}
		end = max(last, least)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !g.endKnown {
		g.end, g.endKnown = end, true
	}
	return nil
}

// sealOf returns where a generation ends by the word of one that came after it.
// The first one with a record in it has the word.
func (l *Log) sealOf(g *generation) (uint64, bool) {
	l.mu.Lock()
	i := slices.Index(l.gens, g)
	later := slices.Clone(l.gens[i+1:])
	l.mu.Unlock()
	if i < 0 {
		return 0, false
	}
	return sealedBy(l.disk, later, g.epoch)
}

func sealedBy(d disk, later []*generation, epoch sentinel.Epoch) (uint64, bool) {
	for _, next := range later {
		seals, records := next.seals, true
		if !next.own {
			var err error
			if seals, records, err = headSeals(d, next.dir, next.epoch); err != nil {
				continue
			}
		}
		for _, s := range seals {
			if s.epoch == epoch {
				return s.last, true
			}
		}
		if records {
			break
		}
	}
	return 0, false
}
