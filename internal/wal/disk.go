package wal

import (
	"io"
	"math"
	"os"
	"path/filepath"

	tidwall "github.com/tidwall/wal"
)

const (
	folderMode = 0o750
	fileMode   = 0o640
)

// disk is every operation of this package on files. A test sets hook to fail an
// operation before or after it ran, or to watch the order of operations.
type disk struct {
	hook func(op, path string, run func() error) error
}

func (d disk) do(op, path string, run func() error) error {
	if d.hook == nil {
		return run()
	}
	return d.hook(op, path, run)
}

// mkdirAll makes dir and what is missing above it, and each new name durable. That
// of a folder which is there already may not be: who made it may have been killed
// before the fsync. So it gets another one, but is not refused for a parent that
// cannot be opened.
func (d disk) mkdirAll(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		_ = d.syncDir(filepath.Dir(dir))
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := d.mkdirAll(parent); err != nil {
			return err
		}
	}
	if err := d.mkdir(dir); err != nil && !os.IsExist(err) {
		return err
	}
	return d.syncDir(parent)
}

func (d disk) mkdir(dir string) error {
	return d.do("mkdir", dir, func() error { return os.Mkdir(dir, folderMode) })
}

// syncDir makes the names in a folder durable.
func (d disk) syncDir(dir string) error {
	return d.do("syncdir", dir, func() error { return syncDir(dir) })
}

// rename moves a file or a folder. Where it is reported to fail and has happened
// all the same, it has happened.
func (d disk) rename(from, to string) error {
	err := d.do("rename", from, func() error { return os.Rename(from, to) })
	if err != nil {
		_, gone := os.Lstat(from)
		_, there := os.Lstat(to)
		if os.IsNotExist(gone) && there == nil {
			return nil
		}
	}
	return err
}

func (d disk) removeAll(path string) error {
	return d.do("remove", path, func() error { return os.RemoveAll(path) })
}

func (d disk) truncate(path string, size int64) error {
	return d.do("truncate", path, func() error { return os.Truncate(path, size) })
}

func (d disk) readDir(dir string) (entries []os.DirEntry, err error) {
	err = d.do("list", dir, func() error {
		entries, err = os.ReadDir(dir)
		return err
	})
	return entries, err
}

// readFile returns a whole small file; more than limit bytes is an error.
func (d disk) readFile(path string, limit int64) (b []byte, err error) {
	err = d.do("load", path, func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		b, err = io.ReadAll(io.LimitReader(f, limit+1))
		if err == nil && int64(len(b)) > limit {
			err = os.ErrInvalid
		}
		return err
	})
	return b, err
}

// replace puts data in path's place in one step. The new content is durable
// before it gets the name where sync is set; without it, a crash may leave the
// old content, the new one or a damaged one.
func (d disk) replace(path string, data []byte, sync bool) error {
	temp := path + tempSuffix
	err := d.do("save", path, func() error {
		f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		if err == nil && sync {
			err = f.Sync()
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		return err
	})
	if err == nil {
		err = d.rename(temp, path)
	}
	if err != nil {
		os.Remove(temp) // a leftover is ignored and replaced, so its error does not matter
		return err
	}
	if sync {
		return d.syncDir(filepath.Dir(path))
	}
	return nil
}

func (d disk) open(path string) (f *os.File, err error) {
	err = d.do("open", path, func() error {
		f, err = os.Open(path)
		return err
	})
	if err != nil && f != nil {
		f.Close()
		f = nil
	}
	return f, err
}

func (d disk) readAt(f *os.File, b []byte, off int64) (n int, err error) {
	if d.hook == nil {
		return f.ReadAt(b, off)
	}
	err = d.do("read", f.Name(), func() error {
		n, err = f.ReadAt(b, off)
		return err
	})
	return n, err
}

// createSegment makes the file that starts with the entry first, which must be
// the next one of the log in dir. A plain one is written as it is, for any other
// the library's log is opened to append to it.
func (d disk) createSegment(dir string, first uint64, plain bool) (s segment, err error) {
	err = d.do("create", dir, func() error {
		f, err := os.OpenFile(filepath.Join(dir, segmentName(first)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err != nil {
			return err
		}
		if plain {
			s = plainFile{f}
			return nil
		}
		if err := f.Close(); err != nil {
			return err
		}
		log, err := tidwall.Open(dir, &tidwall.Options{
			NoSync:           true,        // synced by us, once for a group
			SegmentSize:      math.MaxInt, // a new file is our business
			SegmentCacheSize: 1,
			AllowEmpty:       true,
			DirPerms:         folderMode,
			FilePerms:        fileMode,
		})
		if err == nil {
			s = libraryFile{log}
		}
		return err
	})
	if err != nil && s != nil {
		_ = s.Close() // nothing is in it
		s = nil
	}
	return s, err
}
