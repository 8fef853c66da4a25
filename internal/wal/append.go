package wal

import (
	"fmt"
	"runtime"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// groupBytes bounds what callers at the same time share one fsync for. It takes
// memory only where they hold that much themselves.
const groupBytes = 4 << 20

// MaxBatch bounds the data of one AppendBatch.
const MaxBatch = groupBytes

// request is one caller's records on their way to disk, all of them or none.
type request struct {
	entries    []Entry
	bytes      int // of data
	definition func(sentinel.LayoutHash) []byte
	losses     []sentinel.Loss // what the record declares: it may exceed the bounds
	pos        Position        // of the first
	err        error
	done       bool
	wake       chan bool // true: lead the next group; false: it is answered
}

func (r *request) answer(pos Position, err error) { r.pos, r.err, r.done = pos, err, true }

// Append puts one record into the log and returns its name. When it returns
// without an error, the record is on disk: the file and, where they are new, the
// folders' entries are fsynced. Callers at the same time share one fsync.
//
// definition yields the encoding of e.Layout; it is called, and its result is
// written in front of the record, only where the current generation does not
// hold that layout yet. It must not call the log. It may be nil where e.Layout
// is zero. e.Data is not kept.
//
// After an error the record has no name that this process will use: it may be
// appended again. If the process dies before that, a record that was refused
// with an error other than Invalid may still turn up in the log, once. Codes:
// Invalid for an entry that can never be appended; ResourceExhausted where the
// bounds, or the file system, leave no room; Unavailable for other errors of the
// file system and after Close. Appending works again by itself as soon as the
// file system does.
func (l *Log) Append(e Entry, definition func() []byte) (Position, error) {
	return l.AppendBatch([]Entry{e}, func(sentinel.LayoutHash) []byte {
		if definition == nil {
			return nil
		}
		return definition()
	})
}

// AppendBatch appends several records with one fsync, under consecutive numbers
// of one epoch, and returns the name of the first. All are acknowledged or none;
// a process that is killed meanwhile may leave the first few. definition yields
// the encoding of the layout with that hash. Everything else is as with Append.
// The data of all together must not exceed MaxBatch.
func (l *Log) AppendBatch(entries []Entry, definition func(sentinel.LayoutHash) []byte) (Position, error) {
	r := &request{entries: entries, definition: definition}
	for _, e := range entries {
		switch {
		case e.Kind == 0 || e.Kind >= firstControl || e.Kind == KindLosses:
			return Position{}, sentinel.Errorf(sentinel.Invalid, "append record: kind %d is not for callers", e.Kind)
		case len(e.Data) > MaxData:
			return Position{}, sentinel.Errorf(sentinel.Invalid, "append record: %d bytes of data, at most %d fit", len(e.Data), MaxData)
		}
		r.bytes += len(e.Data)
	}
	if len(entries) == 0 || r.bytes > MaxBatch {
		return Position{}, sentinel.Errorf(sentinel.Invalid, "append records: %d with %d bytes of data, want at least one and at most %d bytes", len(entries), r.bytes, MaxBatch)
	}
	l.submit(r)
	if r.err != nil {
		return Position{}, fmt.Errorf("append record: %w", r.err)
	}
	return r.pos, nil
}

// submit hands r over and returns when it is answered. Who finds nobody at work
// leads: it commits what waits, its own request among it, and hands the lead to
// the first of those that came meanwhile. There is no goroutine to stop.
func (l *Log) submit(r *request) {
	r.wake = make(chan bool, 1)
	l.queueMu.Lock()
	l.queue = append(l.queue, r)
	lead := !l.leading
	l.leading = true
	crowd := l.crowd
	l.queueMu.Unlock()
	if !lead && !<-r.wake {
		return
	}
	if crowd {
		runtime.Gosched() // those of the last group are about to come back
	}
	l.commitMu.Lock()
	group := l.takeGroup()
	l.commit(group)
	l.commitMu.Unlock()
	for _, other := range group {
		if other != r {
			other.wake <- false
		}
	}
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	l.crowd = len(group) > 1
	if l.leading = len(l.queue) > 0; l.leading {
		l.queue[0].wake <- true
	}
}

// takeGroup returns the longest waiting requests, as many as one group holds.
func (l *Log) takeGroup() []*request {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	n, bytes := 0, 0
	for n < len(l.queue) && (n == 0 || bytes+l.queue[n].bytes <= groupBytes) {
		bytes += l.queue[n].bytes
		n++
	}
	group := l.queue[:n:n]
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return group
}
