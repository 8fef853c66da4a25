package collector

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"syscall"
	"unsafe"
)

// walk reads one file of every process, without allocating: a host has hundreds of
// processes, and everything else together is less work.
type walk struct {
	entries []byte // of the folder, as the kernel writes them
	path    []byte
	data    []byte
}

const (
	// The kernel fills this with the names of about 130 processes at a time.
	walkEntries = 4 << 10
	// walkData holds /proc/<pid>/stat, which is 400 bytes and at most some more.
	walkData = 1024
)

// each calls f with the number of each process below proc and the content of its
// file, which belongs to the walk. Processes that end meanwhile are left out.
func (w *walk) each(ctx context.Context, proc, file string, f func(pid uint32, data []byte)) error {
	if w.entries == nil {
		w.entries, w.data = make([]byte, walkEntries), make([]byte, walkData)
	}
	dir, err := retry(func() (int, error) {
		return syscall.Open(proc, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_DIRECTORY, 0)
	})
	if err != nil {
		return readError(proc, err)
	}
	defer syscall.Close(dir)
	for ctx.Err() == nil {
		n, err := retry(func() (int, error) { return syscall.ReadDirent(dir, w.entries) })
		if err != nil {
			return readError(proc, err)
		}
		if n <= 0 {
			return nil
		}
		for rest := w.entries[:n]; len(rest) > 0; {
			var name []byte
			if name, rest = cutEntry(rest); len(name) == 0 {
				continue
			}
			pid, ok := parseUint(name)
			if !ok || pid > 1<<32-1 {
				continue
			}
			if data, ok := w.read(dir, name, file); ok {
				f(uint32(pid), data)
			}
		}
	}
	return fmt.Errorf("look at processes: %w", ctx.Err())
}

// read reads dir/name/file in one piece, as the kernel writes it.
func (w *walk) read(dir int, name []byte, file string) ([]byte, bool) {
	w.path = append(append(append(append(w.path[:0], name...), '/'), file...), 0)
	const flags = syscall.O_RDONLY | syscall.O_CLOEXEC
	fd, _, errno := syscall.Syscall6(syscall.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&w.path[0])), flags, 0, 0, 0)
	if errno != 0 {
		return nil, false
	}
	n, err := retry(func() (int, error) { return syscall.Read(int(fd), w.data) })
	syscall.Close(int(fd))
	if err != nil || n <= 0 {
		return nil, false
	}
	return w.data[:n], true
}

// cutEntry returns the name in the first struct linux_dirent64 of b, see getdents(2),
// and what follows it.
func cutEntry(b []byte) (name, rest []byte) {
	const head = 8 + 8 + 2 + 1 // inode, offset, length, type
	if len(b) < head {
		return nil, nil
	}
	size := int(binary.NativeEndian.Uint16(b[16:]))
	if size < head || size > len(b) {
		return nil, nil
	}
	name = b[head:size]
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	return name, b[size:]
}
