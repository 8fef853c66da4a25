package wal

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Kind says what a record holds. The log reads only KindLosses, when it carries
// declarations out of a generation that it drops.
type Kind uint8

const (
	KindCycle  Kind = 1 // one collection cycle, see internal/wire
	KindLosses Kind = 2 // a serialised sentinelpb.LossReport, appended by the log itself

	firstControl   Kind = 0x80 // kinds from here on carry no sequence number
	kindDefinition Kind = 0x80 // one encoded layout
	kindSeals      Kind = 0x81 // where earlier generations of the same process ended
)

// maxSeq bounds sequence numbers, so that the next one never wraps.
const maxSeq = 1 << 62

// MaxData bounds the data of one record and the encoding of one layout.
const MaxData = 2 << 20

// The frame's shape; FORMAT.md has the table.
const (
	frameMagic   = "\xf5SWL"
	frameVersion = 1
	headerBytes  = 60
	headerSummed = 52 // the header's checksum covers the bytes before it
	frameSummed  = 56 // the frame's checksum covers the bytes before it, and the payload
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is one checked unit on disk. The payload may alias a reader's buffer.
type frame struct {
	kind    Kind
	epoch   sentinel.Epoch
	seq     uint64 // 0 for control kinds, from 1 for records
	millis  int64
	layout  sentinel.LayoutHash
	payload []byte
}

// size returns how many bytes the frame takes inside its entry.
func (f frame) size() int { return headerBytes + len(f.payload) }

func (f frame) entry() Entry {
	return Entry{Kind: f.kind, Time: time.UnixMilli(f.millis), Layout: f.layout, Data: f.payload}
}

// appendFrame appends the frame's bytes to dst.
func appendFrame(dst []byte, f frame) []byte {
	start := len(dst)
	dst = append(dst, frameMagic...)
	dst = append(dst, frameVersion, byte(f.kind), 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.payload)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.epoch))
	dst = binary.LittleEndian.AppendUint64(dst, f.seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.millis))
	dst = append(dst, f.layout[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	sum := crc32.Checksum(dst[start:], castagnoli)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Update(sum, castagnoli, f.payload))
	return append(dst, f.payload...)
}

// decodeHeader reads a header that belongs to epoch. It returns the frame
// without its payload and the payload's length, or what is wrong. The header has
// a checksum of its own, so that a search for the next frame after damage costs
// one pass: a length is believed, and read, only where the header holds.
func decodeHeader(b []byte, epoch sentinel.Epoch) (f frame, length int, wrong string) {
	if len(b) < headerBytes {
		return f, 0, "cut short"
	}
	if string(b[:4]) != frameMagic {
		return f, 0, "no frame"
	}
	if crc32.Checksum(b[:headerSummed], castagnoli) != binary.LittleEndian.Uint32(b[headerSummed:]) {
		return f, 0, "header checksum differs"
	}
	if b[4] != frameVersion {
		return f, 0, "unknown version"
	}
	f.kind = Kind(b[5])
	long := binary.LittleEndian.Uint32(b[8:]) // an int of 32 bits may not hold it
	f.epoch = sentinel.Epoch(binary.LittleEndian.Uint64(b[12:]))
	f.seq = binary.LittleEndian.Uint64(b[20:])
	f.millis = int64(binary.LittleEndian.Uint64(b[28:]))
	copy(f.layout[:], b[36:52])
	switch {
	case f.epoch != epoch:
		return f, 0, "belongs to another generation"
	case long > MaxData:
		return f, 0, "too long"
	case f.kind == 0 || (f.kind < firstControl) != (f.seq > 0):
		return f, 0, "kind and sequence number disagree"
	case f.seq > maxSeq:
		return f, 0, "impossible sequence number"
	}
	return f, int(long), ""
}

// decodeFrame reads a whole frame of epoch from the start of b and returns it
// with the bytes it took, or what is wrong. The payload aliases b.
func decodeFrame(b []byte, epoch sentinel.Epoch) (f frame, n int, wrong string) {
	f, length, wrong := decodeHeader(b, epoch)
	if wrong != "" {
		return f, 0, wrong
	}
	n = headerBytes + length
	if len(b) < n {
		return f, 0, "cut short"
	}
	f.payload = b[headerBytes:n:n]
	sum := crc32.Checksum(b[:frameSummed], castagnoli)
	if crc32.Update(sum, castagnoli, f.payload) != binary.LittleEndian.Uint32(b[frameSummed:]) {
		return f, 0, "checksum differs"
	}
	return f, n, ""
}

// seal says where an earlier generation ended: what stands behind last in it was
// never acknowledged, and was appended again elsewhere.
type seal struct {
	epoch sentinel.Epoch
	last  uint64
}

func encodeSeals(seals []seal) []byte {
	b := make([]byte, 0, 16*len(seals))
	for _, s := range seals {
		b = binary.LittleEndian.AppendUint64(b, uint64(s.epoch))
		b = binary.LittleEndian.AppendUint64(b, s.last)
	}
	return b
}

func decodeSeals(b []byte) []seal {
	var seals []seal
	for ; len(b) >= 16; b = b[16:] {
		seals = append(seals, seal{
			epoch: sentinel.Epoch(binary.LittleEndian.Uint64(b)),
			last:  binary.LittleEndian.Uint64(b[8:]),
		})
	}
	return seals
}
