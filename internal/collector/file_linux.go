package collector

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"syscall"
)

// maxFile bounds what is read of one file. The largest real ones, /proc/stat and
// mountinfo of very large hosts, stay below a megabyte.
const maxFile = 4 << 20

// maxText bounds what is read of a file that holds one word or number. The files
// of sysfs have at most a page.
const maxText = 4096

// maxOpen bounds how many files one collector keeps open.
const maxOpen = 128

// file reads small kernel files into one buffer. The kernel writes such a file anew
// whenever it is read from its beginning, so that it stays open between cycles: then
// it costs one system call or two, and no allocation once the buffer fits. (An os.File
// would also be offered to the runtime's poller, which wakes the agent up whenever such
// a file has news.)
type file struct {
	buf   []byte
	open  map[string]*descriptor
	comes bool // the files come and go: none stays open
}

// descriptor is an open file. It is closed when nobody holds it any more.
type descriptor struct{ fd int }

func openFile(path string) (*descriptor, error) {
	fd, err := retry(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	})
	return &descriptor{fd}, err
}

// read returns the content of path until the next call.
func (f *file) read(path string) ([]byte, error) { return f.readUpTo(path, maxFile) }

// readUpTo is read with a bound. A longer file is an error.
func (f *file) readUpTo(path string, most int) ([]byte, error) {
	if d := f.open[path]; d != nil {
		if data, err := f.readAll(d, path, most); err == nil {
			return data, nil
		}
		// Another thing may have come in its place, such as a device that was plugged in again.
		f.forget(path)
	}
	d, err := openFile(path)
	if err != nil {
		return nil, readError(path, err)
	}
	data, err := f.readAll(d, path, most)
	if err != nil || f.comes || len(f.open) >= maxOpen {
		syscall.Close(d.fd)
		return data, err
	}
	if f.open == nil {
		f.open = make(map[string]*descriptor)
	}
	f.open[path] = d
	runtime.AddCleanup(d, func(fd int) { syscall.Close(fd) }, d.fd) // with the collector, at a reload
	return data, nil
}

// forget gives up a file that stayed open.
func (f *file) forget(path string) { delete(f.open, path) }

// readAll reads a file from its beginning.
func (f *file) readAll(d *descriptor, path string, most int) ([]byte, error) {
	defer runtime.KeepAlive(d)
	if f.buf == nil {
		f.buf = make([]byte, 512) // most files hold one number
	}
	n := 0
	for {
		if n > most {
			return nil, fmt.Errorf("read %s: it has more than %d bytes", path, most)
		}
		if n == len(f.buf) {
			f.buf = append(f.buf, make([]byte, n)...)
		}
		got, err := retry(func() (int, error) { return syscall.Pread(d.fd, f.buf[n:], int64(n)) })
		if err != nil {
			return nil, readError(path, err)
		}
		if got == 0 {
			return f.buf[:n], nil
		}
		n += got
		// The kernel writes a file of one number in one piece; others it may cut anywhere.
		if most == maxText && n < len(f.buf) {
			return f.buf[:n], nil
		}
	}
}

// readUint returns the one number that a file holds.
func (f *file) readUint(path string) (uint64, error) {
	v, err := f.readInt(path)
	if err == nil && v < 0 {
		return 0, fmt.Errorf("read %s: the number is negative", path)
	}
	return uint64(v), err
}

// readInt returns the one number that a file holds.
func (f *file) readInt(path string) (int64, error) {
	b, err := f.readUpTo(path, maxText)
	if err != nil {
		return 0, err
	}
	field, rest := cutField(b)
	v, ok := parseInt(field)
	if more, _ := cutField(rest); !ok || len(more) > 0 {
		return 0, fmt.Errorf("read %s: it does not hold one number", path)
	}
	return v, nil
}

// readText returns the first line of a file.
func (f *file) readText(path string) (string, error) {
	b, err := f.readUpTo(path, maxText)
	line, _ := cutLine(b)
	return string(line), err
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

func readError(path string, err error) error { return fmt.Errorf("read %s: %w", path, err) }

// optional turns the error of a missing file into errNothing, for collectors of
// parts that not every host has.
func optional(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errNothing
	}
	return err
}

// readNames returns the names in a folder, sorted.
func readNames(dir string) ([]string, error) {
	fd, err := retry(func() (int, error) {
		return syscall.Open(dir, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_DIRECTORY, 0)
	})
	if err != nil {
		return nil, readError(dir, err)
	}
	defer syscall.Close(fd)
	var names []string
	entries := make([]byte, 2048)
	for {
		n, err := retry(func() (int, error) { return syscall.ReadDirent(fd, entries) })
		if err != nil {
			return nil, readError(dir, err)
		}
		if n <= 0 {
			slices.Sort(names)
			return names, nil
		}
		_, _, names = syscall.ParseDirent(entries[:n], -1, names)
	}
}
