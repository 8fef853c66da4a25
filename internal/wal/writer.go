package wal

import (
	"encoding/binary"
	"path/filepath"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	tidwall "github.com/tidwall/wal"
)

// writer appends to one generation. It is used once: after any error the
// generation is sealed and another one takes over.
//
// The library would start a new file in the middle of a group, with an fsync of
// its own. So it is told that files have no end, and the writer starts them,
// between groups: it closes the library's log, makes the next file and opens the
// log again, which finds an empty file at its end and reads nothing.
type writer struct {
	g            *generation
	disk         disk
	log          *tidwall.Log // nil while no file is open
	segmentBytes int64

	at      position // behind the last acknowledged entry
	fresh   bool     // the folder's own name is not durable yet
	defined map[sentinel.LayoutHash]struct{}
	staged  staged
}

// position is where the next entry goes.
type position struct {
	index   uint64 // the last entry
	seq     uint64 // the last record
	segment uint64 // the file that is being written
	off     int64  // how much is in it
}

// staged is a group of frames: one entry, made durable by one write and one fsync.
type staged struct {
	frames  []byte
	at      position
	defined []sentinel.LayoutHash
}

// bytes returns what the group takes on disk.
func (s *staged) bytes() int64 {
	if len(s.frames) == 0 {
		return 0
	}
	return int64(len(s.frames) + len(binary.AppendUvarint(nil, uint64(len(s.frames)))))
}

// openWriter makes the folder of a fresh generation. Nothing of it is durable
// before the first commit.
func openWriter(d disk, g *generation, segmentBytes int64) (*writer, error) {
	if err := d.mkdir(g.dir); err != nil {
		return nil, err
	}
	w := &writer{
		g: g, disk: d, segmentBytes: segmentBytes, fresh: true,
		at:      position{segment: 1},
		defined: map[sentinel.LayoutHash]struct{}{},
	}
	return w, nil
}

// begin starts an empty group.
func (w *writer) begin() {
	w.staged.frames = w.staged.frames[:0]
	w.staged.at, w.staged.defined = w.at, nil
}

// staging is a point in a group to go back to.
type staging struct {
	bytes, defined int
	seq            uint64
}

func (w *writer) mark() staging {
	return staging{len(w.staged.frames), len(w.staged.defined), w.staged.at.seq}
}

// reset takes out of the group what was staged since the mark.
func (w *writer) reset(m staging) {
	s := &w.staged
	s.frames, s.defined, s.at.seq = s.frames[:m.bytes], s.defined[:m.defined], m.seq
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
	s.frames = appendFrame(s.frames, f)
	return f.seq
}

// commit makes the group durable: its bytes, and the names of the file and the
// folders they are in. An error leaves open what is on disk: the writer must not
// be used again.
func (w *writer) commit() error {
	s := &w.staged
	created := w.log == nil
	if created {
		var err error
		if w.log, err = w.disk.createLog(w.g.dir, w.at.segment); err != nil {
			return err
		}
	}
	s.at.index++
	s.at.off += s.bytes()
	err := w.disk.do("write", w.g.dir, func() error { return w.log.Write(s.at.index, s.frames) })
	if err != nil {
		return err
	}
	path := filepath.Join(w.g.dir, segmentName(s.at.segment))
	if err := w.disk.do("sync", path, w.log.Sync); err != nil {
		return err
	}
	if created {
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
	return nil
}

// roll ends a file that is long enough, and with it what the library holds of it
// in memory. After an error the writer must not be used again.
func (w *writer) roll() error {
	if w.at.off < w.segmentBytes {
		return nil
	}
	if big := cap(w.staged.frames); int64(big) > w.segmentBytes && len(w.staged.frames) < big/4 {
		w.staged.frames = nil // large groups have become rare
	}
	err := w.close()
	w.at.segment, w.at.off = w.at.index+1, 0
	return err
}

// close closes the library's file. What was committed is durable already.
func (w *writer) close() error {
	log := w.log
	if log == nil {
		return nil
	}
	w.log = nil
	err := w.disk.do("close", w.g.dir, log.Close)
	if err != nil {
		// The library leaves the file open where its last fsync fails. The kernel
		// reports such an error once, so the second call gets to the closing.
		log.Close()
	}
	return err
}
