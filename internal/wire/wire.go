// Package wire owns the bytes in which layouts and cycles are stored and sent:
// FORMAT.md describes them. It is pure: no I/O, no state, no goroutines, and no
// input makes it panic or allocate beyond the bounds its caller names.
package wire

import (
	"encoding/binary"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// reader walks over bytes that nobody has vouched for. After the first failure
// every method returns zero values and err stays set, so that callers check once
// per step at which they allocate or loop.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = sentinel.Errorf(sentinel.Invalid, format, args...)
		r.rest = nil
	}
}

// bytes returns the next n bytes without copying them.
func (r *reader) bytes(n int, what string) []byte {
	if r.err != nil || n < 0 || n > len(r.rest) {
		r.fail("%s is cut short", what)
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte(what string) byte {
	if b := r.bytes(1, what); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint(what string) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail("%s is cut short or too large", what)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// varint reads a zigzag number, as binary.AppendVarint writes it.
func (r *reader) varint(what string) int64 {
	u := r.uvarint(what)
	return int64(u>>1) ^ -int64(u&1)
}

// end fails where bytes are left over.
func (r *reader) end(what string) {
	if r.err == nil && len(r.rest) > 0 {
		r.fail("%d bytes stand behind the end of the %s", len(r.rest), what)
	}
}
