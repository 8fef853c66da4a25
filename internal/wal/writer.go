package wal

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"

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
//
// The library keeps what it has written to a file in memory, and copies it twice
// on the way. So its files are short, and for large groups they would be too
// short: a new one for every few of them costs more than the data. Large groups
// go to longer files that are written past the library, byte for byte as it
// would write them.
type writer struct {
	g            *generation
	disk         disk
	file         segment // nil while none is open
	segmentBytes int64   // how long the library's files get
	fileBytes    int64   // how long the open one gets

	at      position // behind the last acknowledged entry
	fresh   bool     // the folder's own name is not durable yet
	defined map[sentinel.LayoutHash]struct{}
	staged  staged
}

const (
	largeGroups = 8  // in one of the library's files: what is larger goes past it
	plainFiles  = 64 // of the library's are as long as one written past it
)

// segment is a file that is being written.
type segment interface {
	write(s *staged) error
	Sync() error
	Close() error
}

// libraryFile is the last file of the library's log.
type libraryFile struct{ *tidwall.Log }

func (f libraryFile) write(s *staged) error { return f.Write(s.at.index, s.frames()) }

// plainFile is one written past the library.
type plainFile struct{ *os.File }

func (f plainFile) write(s *staged) error {
	_, err := f.Write(s.entry())
	return err
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
	buf     []byte // room for the entry's length, and the frames
	at      position
	defined []sentinel.LayoutHash
}

const lengthRoom = binary.MaxVarintLen64

func (s *staged) frames() []byte { return s.buf[lengthRoom:] }

// entry returns the frames with their length in front.
func (s *staged) entry() []byte {
	var length [lengthRoom]byte
	n := binary.PutUvarint(length[:], uint64(len(s.frames())))
	copy(s.buf[lengthRoom-n:], length[:n])
	return s.buf[lengthRoom-n:]
}

// bytes returns what the group takes on disk.
func (s *staged) bytes() int64 {
	if len(s.frames()) == 0 {
		return 0
	}
	return int64(len(s.entry()))
}

// openWriter makes the folder of a fresh generation. Nothing of it is durable
// before the first commit. Groups are staged in buf.
func openWriter(d disk, g *generation, segmentBytes int64, buf []byte) (*writer, error) {
	if err := d.mkdir(g.dir); err != nil {
		return nil, err
	}
	w := &writer{
		g: g, disk: d, segmentBytes: segmentBytes, fresh: true,
		at:      position{segment: 1},
		staged:  staged{buf: buf},
		defined: map[sentinel.LayoutHash]struct{}{},
	}
	return w, nil
}

// begin starts an empty group, for which there is room for so many bytes.
func (w *writer) begin(room int) {
	buf := w.staged.buf[:0]
	if big := cap(buf); int64(big) > w.segmentBytes && room < big/4 {
		buf = nil // large groups have become rare
	}
	w.staged.buf = slices.Grow(buf, lengthRoom+room)[:lengthRoom]
	w.staged.at, w.staged.defined = w.at, nil
}

// staging is a point in a group to go back to.
type staging struct {
	bytes, defined int
	seq            uint64
}

func (w *writer) mark() staging {
	return staging{len(w.staged.buf), len(w.staged.defined), w.staged.at.seq}
}

// reset takes out of the group what was staged since the mark.
func (w *writer) reset(m staging) {
	s := &w.staged
	s.buf, s.defined, s.at.seq = s.buf[:m.bytes], s.defined[:m.defined], m.seq
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
	s.buf = appendFrame(s.buf, f)
	return f.seq
}

// commit makes the group durable: its bytes, and the names of the file and the
// folders they are in. An error leaves open what is on disk: the writer must not
// be used again.
func (w *writer) commit() error {
	s := &w.staged
	large := s.bytes() > w.segmentBytes/largeGroups
	if large && w.file != nil && w.fileBytes == w.segmentBytes {
		if err := w.endFile(); err != nil {
			return err
		}
	}
	created := w.file == nil
	if created {
		var err error
		if w.file, err = w.disk.createSegment(w.g.dir, w.at.segment, large); err != nil {
			return err
		}
		if w.fileBytes = w.segmentBytes; large {
			w.fileBytes *= plainFiles
		}
	}
	s.at.segment, s.at.off = w.at.segment, w.at.off+s.bytes()
	s.at.index++
	if err := w.disk.do("write", w.g.dir, func() error { return w.file.write(s) }); err != nil {
		return err
	}
	path := filepath.Join(w.g.dir, segmentName(s.at.segment))
	if err := w.disk.do("sync", path, w.file.Sync); err != nil {
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
	if w.at.off < w.fileBytes {
		return nil
	}
	return w.endFile()
}

// endFile closes the file and names the next one.
func (w *writer) endFile() error {
	err := w.close()
	w.at.segment, w.at.off = w.at.index+1, 0
	return err
}

// close closes the file. What was committed is durable already.
func (w *writer) close() error {
	file := w.file
	if file == nil {
		return nil
	}
	w.file = nil
	err := w.disk.do("close", w.g.dir, file.Close)
	if err != nil {
		// The library leaves the file open where its last fsync fails. The kernel
		// reports such an error once, so the second call gets to the closing.
		_ = file.Close()
	}
	return err
}
