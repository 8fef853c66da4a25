package wal

import (
	"encoding/binary"
	"path/filepath"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	tidwall "github.com/tidwall/wal"
)

// writer appends to one generation. It is used once: after any error the
// generation is sealed and another one takes over.
type writer struct {
	g            *generation
	disk         disk
	log          *tidwall.Log
	segmentBytes int64

	at      position // behind the last acknowledged entry
	fresh   bool     // the folder's own name is not durable yet
	defined map[sentinel.LayoutHash]struct{}
	staged  staged
}

// position is where the next entry goes. The library closes a file as soon as it
// has reached the segment size, so this is known without asking it.
type position struct {
	index   uint64 // the last entry
	seq     uint64 // the last record
	segment uint64 // the file that is being written
	off     int64  // how much is in it
}

// staged is a group of entries that one write and one fsync make durable.
type staged struct {
	batch   tidwall.Batch
	scratch []byte
	at      position
	bytes   int64
	extents []extent // of files that the group fills up
	defined []sentinel.LayoutHash
}

// openWriter makes the folder of a fresh generation and an empty log in it.
// Nothing of it is durable before the first commit.
func openWriter(d disk, g *generation, segmentBytes int64) (*writer, error) {
	if err := d.mkdir(g.dir); err != nil {
		return nil, err
	}
	log, err := d.createLog(g.dir, segmentBytes)
	if err != nil {
		return nil, err
	}
	w := &writer{
		g: g, disk: d, log: log, segmentBytes: segmentBytes, fresh: true,
		at:      position{segment: 1},
		defined: map[sentinel.LayoutHash]struct{}{},
	}
	return w, nil
}

// begin starts an empty group.
func (w *writer) begin() {
	s := &w.staged
	s.batch.Clear()
	if cap(s.scratch) > 2*groupBytes {
		s.scratch = nil
	}
	s.at, s.bytes, s.extents, s.defined = w.at, 0, nil, nil
}

// holds reports whether the generation, or the group, defines the layout.
func (w *writer) holds(h sentinel.LayoutHash) bool {
	if _, ok := w.defined[h]; ok {
		return true
	}
	for _, d := range w.staged.defined {
		if d == h {
			return true
		}
	}
	return false
}

// stage adds a frame to the group; a record gets the next sequence number.
func (w *writer) stage(f frame) uint64 {
	s := &w.staged
	f.epoch = w.g.epoch
	if f.kind < firstControl {
		s.at.seq++
		f.seq = s.at.seq
	}
	if f.kind == kindDefinition {
		s.defined = append(s.defined, f.layout)
	}
	s.scratch = appendFrame(s.scratch[:0], f)
	s.at.index++
	s.batch.Write(s.at.index, s.scratch)
	n := entryBytes(len(f.payload))
	s.bytes += n
	s.at.off += n
	if s.at.off >= w.segmentBytes {
		s.extents = append(s.extents, extent{s.at.segment, s.at.off})
		s.at.segment, s.at.off = s.at.index+1, 0
	}
	return f.seq
}

// entryBytes returns what a frame with that much payload takes on disk.
func entryBytes(payload int) int64 {
	n := headerBytes + payload
	return int64(n + len(binary.AppendUvarint(nil, uint64(n))))
}

// commit makes the group durable: its bytes, and the names of the files and
// folders they are in. An error leaves open what is on disk: the writer must not
// be used again.
func (w *writer) commit() error {
	s := &w.staged
	err := w.disk.do("write", w.g.dir, func() error { return w.log.WriteBatch(&s.batch) })
	if err != nil {
		return err
	}
	// The library has synced each file that it has closed.
	if s.at.off > 0 {
		path := filepath.Join(w.g.dir, segmentName(s.at.segment))
		if err := w.disk.do("sync", path, w.log.Sync); err != nil {
			return err
		}
	}
	if w.fresh || len(s.extents) > 0 {
		if err := w.disk.syncDir(w.g.dir); err != nil {
			return err
		}
	}
	if w.fresh {
		if err := w.disk.syncDir(filepath.Dir(w.g.dir)); err != nil {
			return err
		}
	}
	w.fresh, w.at = false, s.at
	for _, h := range s.defined {
		w.defined[h] = struct{}{}
	}
	if len(s.extents) > 0 {
		return w.log.ClearCache() // the library would keep the closed file in memory
	}
	return nil
}

// close closes the library's file. What was committed is durable already.
func (w *writer) close() {
	err := w.disk.do("close", w.g.dir, w.log.Close)
	if err != nil {
		// The library leaves the file open where its last fsync fails. The kernel
		// reports such an error once, so the second call gets to the closing.
		w.log.Close()
	}
}
