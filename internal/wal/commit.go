package wal

import (
	"errors"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// commit answers every request of the group. commitMu is held.
func (l *Log) commit(group []*request) {
	if l.isClosed() {
		answerAll(group, errClosed("commit"))
		return
	}
	l.enforceAge()
	err := l.commitWithin(group)
	if err == nil {
		return
	}
	left := unanswered(group)
	answerAll(left, err)
	l.mu.Lock()
	l.stats.Failed += recordsOf(left)
	l.mu.Unlock()
}

// commitWithin makes the group durable, and room for it where the policy says
// so. An error is the answer to the requests that have none yet.
func (l *Log) commitWithin(group []*request) error {
	retried, freed := false, int64(0)
	for {
		n, err := l.attempt(group)
		var full *fullError
		switch {
		case err == nil:
			l.brake = brake{}
			if len(unanswered(group)) == 0 {
				return nil
			}
		case errors.As(err, &full):
			if _, err := l.dropOldest(sentinel.LossBytes); err != nil {
				return sentinel.Errorf(sentinel.ResourceExhausted, "the log is full and nothing can be dropped: %w", err)
			}
		case noSpace(err) && l.emptyTrash(): // that costs nobody anything
		case noSpace(err) && l.cfg.OnFull == DropNewest:
			left := unanswered(group)
			l.mu.Lock()
			l.stats.Refused[sentinel.LossDiskFull] += recordsOf(left)
			l.mu.Unlock()
			answerAll(left, sentinel.Errorf(sentinel.ResourceExhausted, "the file system is full: %w", err))
			return nil
		case noSpace(err):
			// What is freed may be eaten by somebody else at once. So no more is
			// dropped than ought to help, and then not again for a while.
			if freed > 4*n+64<<10 {
				l.brake.pull(l.now())
			}
			if l.brake.holds(l.now()) {
				return sentinel.Errorf(sentinel.ResourceExhausted, "the file system is full and dropping did not help: %w", err)
			}
			bytes, derr := l.dropOldest(sentinel.LossDiskFull)
			if derr != nil {
				return sentinel.Errorf(sentinel.ResourceExhausted, "the file system is full and nothing can be dropped: %w", err)
			}
			freed += bytes
		case sentinel.CodeOf(err) != sentinel.Unknown:
			return err
		case retried:
			return sentinel.Errorf(sentinel.Unavailable, "write log: %w", err)
		default:
			retried = true // a fresh generation, once
			l.log.Warn("an error sealed the log's generation; trying a fresh one", "error", err)
		}
	}
}

// fullError says that the group does not fit under MaxBytes.
type fullError struct{}

func (*fullError) Error() string { return "no room under max_bytes" }

// attempt commits what is unanswered of the group, the declarations that are due
// and, in a fresh generation, the ends of earlier ones. It returns the bytes it
// tried to write. After an error of the file system the generation is sealed.
func (l *Log) attempt(group []*request) (int64, error) {
	left := unanswered(group)
	due := l.dueDebts()
	if len(left) == 0 && len(due) == 0 {
		return 0, nil
	}
	if l.active == nil {
		if err := l.openGeneration(); err != nil {
			return 0, err
		}
	}
	w := l.active
	w.begin(bytesOf(left))
	if w.fresh && len(l.pendingSeals) > 0 {
		w.stage(frame{kind: kindSeals, millis: l.now().UnixMilli(), payload: encodeSeals(l.pendingSeals)})
	}
	records := uint64(0)
	for _, d := range due {
		for _, payload := range encodeLosses(d.losses) {
			w.stage(frame{kind: KindLosses, millis: l.now().UnixMilli(), payload: payload})
			records++
		}
	}
	staged := l.stageRequests(w, left)
	for r := range staged {
		records += uint64(len(r.entries))
	}
	n := w.staged.bytes()
	if records == 0 {
		return 0, nil
	}
	if l.totalBytes()+n > l.cfg.MaxBytes && l.cfg.OnFull == DropOldest {
		switch {
		case n > l.cfg.MaxBytes && len(left) > 1:
			return l.attempt(left[:1])
		case n > l.cfg.MaxBytes:
			return n, sentinel.Errorf(sentinel.Invalid, "%d bytes are more than the whole log may hold", n)
		}
		return n, &fullError{}
	}
	if err := w.commit(); err != nil {
		l.seal()
		return n, err
	}
	l.acknowledge(w, records, due)
	for r, seq := range staged {
		r.answer(Position{w.g.epoch, seq}, nil)
		l.settleDeclared(r.losses)
	}
	if err := w.roll(); err != nil || w.g.bytes >= l.cfg.GenerationBytes || l.up()-w.g.created > l.cfg.MaxAge/ageSteps {
		l.seal()
	}
	return n, nil
}

// stageRequests stages each request with the layouts it needs and answers those
// that cannot be. It returns the first number of each that is staged.
func (l *Log) stageRequests(w *writer, group []*request) map[*request]uint64 {
	staged := make(map[*request]uint64, len(group))
	room := l.cfg.MaxBytes - l.totalBytes()
	for _, r := range group {
		before := w.mark()
		first, err := l.stageRequest(w, r)
		if err == nil && l.cfg.OnFull == DropNewest && w.staged.bytes() > room && r.losses == nil {
			err = sentinel.Errorf(sentinel.ResourceExhausted, "the log is full")
			l.mu.Lock()
			l.stats.Refused[sentinel.LossBytes] += uint64(len(r.entries))
			l.mu.Unlock()
		}
		if err != nil {
			w.reset(before)
			r.answer(Position{}, err)
			continue
		}
		staged[r] = first
	}
	return staged
}

// stageRequest stages the records of one request and returns the first number.
func (l *Log) stageRequest(w *writer, r *request) (first uint64, err error) {
	for i, e := range r.entries {
		if e.Layout != (sentinel.LayoutHash{}) && !w.holds(e.Layout) {
			var definition []byte
			if r.definition != nil {
				definition = r.definition(e.Layout)
			}
			if len(definition) == 0 || len(definition) > MaxData {
				return 0, sentinel.Errorf(sentinel.Invalid, "layout %s has a definition of %d bytes, want 1 to %d", e.Layout, len(definition), MaxData)
			}
			w.stage(frame{kind: kindDefinition, millis: e.Time.UnixMilli(), layout: e.Layout, payload: definition})
		}
		seq := w.stage(frame{kind: e.Kind, millis: e.Time.UnixMilli(), layout: e.Layout, payload: e.Data})
		if i == 0 {
			first = seq
		}
	}
	return first, nil
}

// acknowledge lets readers see what the writer has committed.
func (l *Log) acknowledge(w *writer, records uint64, due []debt) {
	l.pendingSeals = nil
	l.mu.Lock()
	g, s := w.g, &w.staged
	up := l.up()
	if g.acked == 0 {
		g.created = up
	}
	g.bytes += s.bytes()
	g.modified, g.last = l.now(), up
	g.acked = s.at.seq
	// Readers hold the old list: it is replaced, not changed.
	full := slices.DeleteFunc(slices.Clone(g.extents), func(e extent) bool { return e.index == s.at.segment })
	g.extents = append(full, extent{s.at.segment, s.at.off})
	l.stats.Appended += records
	l.debts = l.debts[len(due):]
	l.wake()
	l.mu.Unlock()
	for _, d := range due {
		l.settleDebt(d)
	}
}

// openGeneration starts a fresh generation under a fresh epoch.
func (l *Log) openGeneration() error {
	l.ordinal++
	g := &generation{ordinal: l.ordinal, epoch: sentinel.NewEpoch(), own: true, modified: l.now()}
	g.dir = l.path(genName(g.ordinal, g.epoch))
	w, err := openWriter(l.disk, g, l.cfg.SegmentBytes, l.staging)
	if err != nil {
		_ = l.disk.removeAll(g.dir) // nothing can be in it
		return err
	}
	if l.pendingSeals != nil {
		g.seals = l.pendingSeals[:len(l.pendingSeals):len(l.pendingSeals)]
	}
	l.active = w
	l.mu.Lock()
	l.gens = append(l.gens, g)
	l.mu.Unlock()
	return nil
}

// seal ends the current generation, whatever state it is in: nothing is ever
// appended to it again, and it ends at its last acknowledged record.
func (l *Log) seal() {
	w := l.active
	if w == nil {
		return
	}
	l.active, l.staging = nil, w.staged.buf
	_ = w.close() // what it has acknowledged is on disk
	g := w.g
	l.mu.Lock()
	g.sealed, g.end, g.endKnown = true, g.acked, true
	settled := g.isSettled()
	l.wake()
	l.mu.Unlock()
	switch {
	case g.acked == 0: // what it said about others is still pending
		l.closeReaders(g)
		trash, err := l.discard(g)
		l.forget(g)
		if err == nil {
			l.removeTrash(trash) // now: the disk may be full
			return
		}
	case settled && l.free(g) == nil:
		return
	}
	l.pendingSeals = append(l.pendingSeals, seal{g.epoch, g.acked})
	if err := l.saveMark(g, false); err != nil {
		l.log.Debug("save the end of a generation; the next one names it too", "epoch", g.epoch, "error", err)
	}
}

func unanswered(group []*request) []*request {
	var left []*request
	for _, r := range group {
		if !r.done {
			left = append(left, r)
		}
	}
	return left
}

func recordsOf(group []*request) (n uint64) {
	for _, r := range group {
		n += uint64(len(r.entries))
	}
	return n
}

// bytesOf returns what the group's records take as frames.
func bytesOf(group []*request) (n int) {
	for _, r := range group {
		n += r.bytes + len(r.entries)*headerBytes
	}
	return n
}

func answerAll(group []*request, err error) {
	for _, r := range group {
		r.answer(Position{}, err)
	}
}

// brake keeps a full file system from costing the whole log: after drops that
// did not help it holds for a minute, then for twice as long each time.
type brake struct {
	until time.Time
	pause time.Duration
}

func (b *brake) pull(now time.Time) {
	b.pause = min(max(time.Minute, 2*b.pause), time.Hour)
	b.until = now.Add(b.pause)
}

func (b *brake) holds(now time.Time) bool { return now.Before(b.until) }
