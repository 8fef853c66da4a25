package wal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// walk reads the frames of one generation folder, file after file.
type walk struct {
	disk    disk
	dir     string
	extents []extent
	scan    scanner
	damage  func(at place, length int64, what string)
	cur     int // the file that is being read
	file    *os.File
}

func newWalk(d disk, dir string, epoch sentinel.Epoch, extents []extent) *walk {
	w := &walk{disk: d, dir: dir, extents: extents}
	w.scan.epoch = epoch
	w.scan.read = func(b []byte, off int64) (int, error) { return d.readAt(w.file, b, off) }
	w.scan.damage = func(off, length int64, what string) { w.report(off, length, what) }
	return w
}

// walkFolder walks all that lies in a generation folder.
func walkFolder(d disk, dir string, epoch sentinel.Epoch) (*walk, error) {
	files, _, err := listSegments(d, dir)
	if err != nil {
		return nil, err
	}
	extents := make([]extent, len(files))
	for i, f := range files {
		extents[i] = f.extent
	}
	return newWalk(d, dir, epoch, extents), nil
}

// hasty makes the walk try again at once, and then step over, what cannot be read.
func (w *walk) hasty() *walk { w.scan.hasty = true; return w }

func (w *walk) report(off, length int64, what string) {
	if w.damage != nil && w.cur < len(w.extents) {
		w.damage(place{w.extents[w.cur].index, off}, length, what)
	}
}

// next returns the next valid frame and where it stands. io.EOF says that all
// extents are read; with larger ones (see extend) the walk goes on. Another
// error is one of reading: a later call tries again.
func (w *walk) next() (frame, place, error) {
	for w.cur < len(w.extents) {
		if w.file == nil {
			if err := w.open(); err != nil {
				return frame{}, place{}, err
			}
			if w.file == nil {
				continue
			}
		}
		f, at, err := w.scan.next()
		if err == nil {
			return f, place{w.extents[w.cur].index, at}, nil
		}
		if !errors.Is(err, io.EOF) {
			return frame{}, place{}, err
		}
		if short := w.extents[w.cur].limit - w.scan.limit; short > 0 {
			w.report(w.scan.limit, short, "the file is shorter than it was")
		}
		if w.cur == len(w.extents)-1 {
			return frame{}, place{}, io.EOF
		}
		w.skip()
	}
	return frame{}, place{}, io.EOF
}

// open opens the current file, or steps over one that is not to be had.
func (w *walk) open() error {
	at := w.extents[w.cur]
	f, err := w.disk.open(filepath.Join(w.dir, segmentName(at.index)))
	if err != nil {
		final := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
		if w.scan.strikes++; !final && w.scan.strikes < patience {
			if w.scan.hasty {
				return nil
			}
			return err
		}
		w.report(0, at.limit, "the file cannot be opened")
		w.skip()
		return nil
	}
	w.file = f
	w.scan.off, w.scan.limit, w.scan.strikes, w.scan.givenUp = 0, at.limit, 0, nil
	w.scan.cur, w.scan.buf, w.scan.bufAt = span{}, w.scan.buf[:0], 0
	return nil
}

func (w *walk) skip() {
	w.close()
	w.cur++
	w.scan.strikes = 0
}

// extend gives the walk extents that hold at least as much as those before.
func (w *walk) extend(extents []extent) {
	if w.file != nil && extents[w.cur].limit > w.extents[w.cur].limit {
		w.scan.limit = extents[w.cur].limit
	}
	w.extents = extents
}

func (w *walk) close() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}

// each calls visit for every frame of the folder until it returns false.
func (w *walk) each(visit func(frame, place) bool) error {
	defer w.close()
	for {
		f, at, err := w.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !visit(f, at) {
			return nil
		}
	}
}

// headSeals returns what the generation in dir says about the ends of earlier
// ones, and whether it holds a record. It reads no further than the first.
func headSeals(d disk, dir string, epoch sentinel.Epoch) (seals []seal, records bool, err error) {
	w, err := walkFolder(d, dir, epoch)
	if err != nil {
		return nil, false, err
	}
	err = w.hasty().each(func(f frame, _ place) bool {
		if f.kind == kindSeals {
			seals = append(seals, decodeSeals(f.payload)...)
		}
		records = f.seq > 0
		return !records
	})
	return seals, records, err
}

// lastSeq returns the last valid record's number in a folder, 0 for none. It
// reads files from the newest backwards until one holds a record.
func lastSeq(d disk, dir string, epoch sentinel.Epoch, hasty bool) (uint64, error) {
	w, err := walkFolder(d, dir, epoch)
	if err != nil {
		return 0, err
	}
	for i := len(w.extents) - 1; i >= 0; i-- {
		var last uint64
		part := newWalk(d, dir, epoch, w.extents[i:i+1])
		part.scan.hasty = hasty
		if err := part.each(func(f frame, _ place) bool { last = max(last, f.seq); return true }); err != nil {
			return 0, err
		}
		if last > 0 {
			return last, nil
		}
	}
	return 0, nil
}
