package wal

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Reader reads the records of one generation in ascending order. It holds one
// open file and a small buffer. Next must not be called at the same time as
// itself; Close may come at any time.
type Reader struct {
	l *Log
	g *generation

	mu     sync.Mutex // taken before Log.mu, never while Log.mu is held
	walk   *walk
	want   uint64 // the next sequence number
	end    uint64 // the last record there is, where bound
	bound  bool
	done   bool
	closed bool
}

// Reader returns a reader that starts with the record from (0 is 1). It may read
// a generation that is being written: it sees what is acknowledged. The error
// has code NotFound where the log does not hold the epoch. The caller must call
// Close.
func (l *Log) Reader(epoch sentinel.Epoch, from uint64) (*Reader, error) {
	l.mu.Lock()
	g := l.find(epoch)
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return nil, errClosed("read log")
	}
	if g == nil {
		return nil, sentinel.Errorf(sentinel.NotFound, "read log: no generation has the epoch %s", epoch)
	}
	r := &Reader{l: l, g: g, want: max(1, from)}
	if err := r.open(); err != nil {
		return nil, err
	}
	r.walk.damage = r.countDamage
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.gone || l.closed {
		return nil, sentinel.Errorf(sentinel.NotFound, "read log: no generation has the epoch %s", epoch)
	}
	if g.readers == nil {
		g.readers = map[*Reader]struct{}{}
	}
	g.readers[r] = struct{}{}
	return r, nil
}

// open prepares the walk: over what this process has acknowledged, or over all
// that another one left, up to where that is known to end.
func (r *Reader) open() error {
	l, g := r.l, r.g
	if g.own {
		l.mu.Lock()
		extents := g.extents
		l.mu.Unlock()
		r.walk = newWalk(l.disk, g.dir, g.epoch, extents)
		return r.seek()
	}
	end, ok := l.sealOf(g)
	l.mu.Lock()
	if ok && !g.endKnown {
		g.end, g.endKnown = end, true
	}
	r.end, r.bound = g.end, g.endKnown
	l.mu.Unlock()
	w, err := walkFolder(l.disk, g.dir, g.epoch)
	if err != nil {
		return sentinel.Errorf(sentinel.Unavailable, "read log: %w", err)
	}
	r.walk = w
	return r.seek()
}

// seek starts the walk with the last file whose first record comes before the
// one that is wanted, so that a reader far into a generation starts quickly.
func (r *Reader) seek() error {
	if r.want == 1 {
		return nil
	}
	all := r.walk.extents
	for i := len(all) - 1; i > 0; i-- {
		var first uint64
		part := newWalk(r.l.disk, r.g.dir, r.g.epoch, all[i:i+1])
		err := part.hasty().each(func(f frame, _ place) bool { first = f.seq; return first == 0 })
		if err != nil {
			return sentinel.Errorf(sentinel.Unavailable, "read log: %w", err)
		}
		if first > 0 && first <= r.want {
			r.walk.cur = i
			return nil
		}
	}
	return nil
}

// Next returns the next record. Its Data holds until the next call. Damage is
// stepped over: what is missing is declared by the log, in a record of its own,
// before Next returns what comes behind it. Every valid record comes exactly
// once.
//
// io.EOF says that no more is acknowledged: after Log.Changed a later call may
// return more, unless Done reports that there will never be any. The error has
// code NotFound when the generation has been freed or dropped, and Unavailable
// where the disk cannot be read just now or the log is closed.
func (r *Reader) Next() (Record, error) {
	rec, hole, err := r.read()
	if hole.Last >= hole.First && hole.First > 0 {
		r.l.declareDamage(r.g, hole)
	}
	if errors.Is(err, io.EOF) && r.Done() {
		r.l.reap(r.g)
	}
	return rec, err
}

// read returns the next record or error, and the hole in front of it.
func (r *Reader) read() (rec Record, hole sentinel.SeqRange, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return rec, hole, io.EOF
	}
	for {
		if r.closed {
			return rec, hole, r.closedError()
		}
		f, _, err := r.walk.next()
		switch {
		case errors.Is(err, io.EOF):
			more, hole := r.finish()
			if more {
				continue
			}
			return rec, hole, io.EOF
		case err != nil:
			return rec, hole, sentinel.Errorf(sentinel.Unavailable, "read generation %s: %w", r.g.epoch, err)
		case f.seq == 0 || f.seq < r.want:
			continue
		case r.bound && f.seq > r.end:
			_, hole := r.finish()
			return rec, hole, io.EOF
		}
		if f.seq > r.want {
			hole = sentinel.SeqRange{First: r.want, Last: f.seq - 1}
		}
		r.want = f.seq + 1
		return Record{Position{r.g.epoch, f.seq}, f.entry()}, hole, nil
	}
}

// finish is called where nothing is left to read. It extends the walk by what
// was acknowledged meanwhile, or returns the hole at the end: records that were
// acknowledged and are not there. mu is held.
func (r *Reader) finish() (more bool, hole sentinel.SeqRange) {
	g, l := r.g, r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	end := g.acked
	if g.own {
		have, now := r.walk.extents, g.extents
		if len(now) > 0 && (len(have) == 0 || now[len(now)-1] != have[len(have)-1]) {
			r.walk.extend(now)
			return true, hole
		}
	} else {
		end = max(end, r.want-1)
		if r.bound {
			end = r.end
		}
		if !g.endKnown {
			g.end, g.endKnown = end, true
		}
	}
	if r.want <= end {
		hole = sentinel.SeqRange{First: r.want, Last: end}
		r.want = end + 1
	}
	if r.done = g.sealed; r.done {
		r.walk.close()
	}
	return false, hole
}

// Done reports whether the generation is sealed and Next has returned all of it.
func (r *Reader) Done() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done
}

// Close gives the reader's file back. It may be called again.
func (r *Reader) Close() error {
	r.shut()
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	delete(r.g.readers, r)
	return nil
}

func (r *Reader) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.walk.close()
}

func (r *Reader) closedError() error {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.g.gone {
		return sentinel.Errorf(sentinel.NotFound, "read generation %s: it has been freed", r.g.epoch)
	}
	return errClosed(fmt.Sprintf("read generation %s", r.g.epoch))
}

// countDamage counts damaged bytes once, however many readers meet them.
func (r *Reader) countDamage(at place, length int64, what string) {
	l, g := r.l, r.g
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, again := g.damaged[at]; again {
		return
	}
	if g.damaged == nil {
		g.damaged = map[place]struct{}{}
	}
	g.damaged[at] = struct{}{}
	l.stats.DamagedBytes += uint64(length)
	l.log.Warn("the log is damaged on disk", "epoch", g.epoch, "segment", at.segment, "offset", at.off, "bytes", length, "what", what)
}

// closeReaders ends the readers of a generation that goes, or of a log that is
// closed.
func (l *Log) closeReaders(g *generation) {
	l.mu.Lock()
	readers := make([]*Reader, 0, len(g.readers))
	for r := range g.readers {
		readers = append(readers, r)
	}
	g.readers = nil
	l.mu.Unlock()
	for _, r := range readers {
		r.shut()
	}
}

// reap frees a generation that turned out to be settled when its end was read.
func (l *Log) reap(g *generation) {
	l.mu.Lock()
	settled := g.isSettled() && !g.gone
	l.mu.Unlock()
	if !settled {
		return
	}
	defer l.emptyTrash()
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	if g.gone || l.isClosed() {
		return
	}
	if err := l.free(g); err != nil {
		l.log.Warn("free a settled generation", "epoch", g.epoch, "error", err)
	}
}

// Layout returns the encoding of the layout that records of an epoch name. Where
// that generation's own copy is damaged, a copy in another one serves. It reads
// the generation up to the definition: keep what it returns.
func (l *Log) Layout(epoch sentinel.Epoch, h sentinel.LayoutHash) ([]byte, bool) {
	l.mu.Lock()
	var order []*generation
	for i := len(l.gens) - 1; i >= 0; i-- {
		if g := l.gens[i]; g.epoch == epoch {
			order = append([]*generation{g}, order...)
		} else {
			order = append(order, g)
		}
	}
	extents := make([][]extent, len(order))
	for i, g := range order {
		extents[i] = g.extents
	}
	l.mu.Unlock()
	for i, g := range order {
		w := newWalk(l.disk, g.dir, g.epoch, extents[i])
		if !g.own {
			var err error
			if w, err = walkFolder(l.disk, g.dir, g.epoch); err != nil {
				continue
			}
		}
		if b, ok := w.hasty().layout(h); ok {
			return b, true
		}
	}
	return nil, false
}

// layout walks to the definition of h.
func (w *walk) layout(h sentinel.LayoutHash) (b []byte, ok bool) {
	_ = w.each(func(f frame, _ place) bool { // what cannot be read does not hold it
		if f.kind == kindDefinition && f.layout == h {
			b, ok = append([]byte(nil), f.payload...), true
		}
		return !ok
	})
	return b, ok
}
