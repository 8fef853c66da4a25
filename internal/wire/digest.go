package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Digest returns 64 bits of SHA-256 over a cycle's layout, its time in
// milliseconds and the bits of its values, every absent value counted alike. It
// depends on nothing else, not on the payload the cycle travelled in, so that two
// contents under one sequence number are told apart however they were grouped.
func Digest(c sentinel.Cycle) uint64 {
	h := sha256.New()
	var buf [512]byte
	b := append(buf[:0], c.Layout[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Time.UnixMilli()))
	for _, v := range c.Values {
		if sentinel.IsAbsent(v) {
			v = sentinel.Absent()
		}
		if len(b)+8 > cap(b) {
			h.Write(b)
			b = buf[:0]
		}
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	}
	h.Write(b)
	return binary.BigEndian.Uint64(h.Sum(buf[:0]))
}

// Digests returns the Digest of each cycle in order.
func Digests(cycles []sentinel.Cycle) []uint64 {
	out := make([]uint64, len(cycles))
	for i, c := range cycles {
		out[i] = Digest(c)
	}
	return out
}
