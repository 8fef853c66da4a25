package wal

import (
	"encoding/binary"
	"hash/crc32"
	"path/filepath"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// The sidecar of a generation, FORMAT.md has the table. It is advice: without it
// nothing is known to be settled, and the end is found by reading.
const (
	markMagic  = "\xf5SWM\x01"
	markSealed = 1
	markLimit  = 4 << 20 // bytes; a longer file is not ours
	maxRanges  = 64 << 10
)

// mark is the content of a sidecar.
type mark struct {
	epoch   sentinel.Epoch
	sealed  bool   // acked is where the generation ends
	acked   uint64 // at least that many records were acknowledged
	settled ranges
}

func (m mark) encode() []byte {
	b := append([]byte(nil), markMagic...)
	if m.sealed {
		b = append(b, markSealed)
	} else {
		b = append(b, 0)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(m.epoch))
	b = binary.AppendUvarint(b, m.acked)
	settled := m.settled[:min(len(m.settled), maxRanges)]
	b = binary.AppendUvarint(b, uint64(len(settled)))
	last := uint64(0)
	for _, r := range settled {
		b = binary.AppendUvarint(b, r.First-last)
		b = binary.AppendUvarint(b, r.Last-r.First)
		last = r.Last
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeMark reads a sidecar of epoch; ok is false where anything is wrong.
func decodeMark(b []byte, epoch sentinel.Epoch) (m mark, ok bool) {
	n := len(b) - 4
	if n < len(markMagic)+9 || crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return m, false
	}
	if string(b[:len(markMagic)]) != markMagic {
		return m, false
	}
	b = b[len(markMagic):n]
	m.sealed = b[0] == markSealed
	m.epoch = sentinel.Epoch(binary.LittleEndian.Uint64(b[1:]))
	b = b[9:]
	number := func() uint64 {
		v, k := binary.Uvarint(b)
		if k <= 0 || v > maxSeq {
			ok = false
			return 0
		}
		b = b[k:]
		return v
	}
	ok = m.epoch == epoch
	m.acked = number()
	last := uint64(0)
	for range min(number(), maxRanges) {
		first := last + number()
		last = first + number()
		if !ok || first == 0 || last > m.acked {
			return m, false
		}
		if n := len(m.settled) - 1; n >= 0 && first <= m.settled[n].Last+1 {
			m.settled[n].Last = last
		} else {
			m.settled = append(m.settled, sentinel.SeqRange{First: first, Last: last})
		}
	}
	return m, ok
}

func loadMark(d disk, g *generation) (mark, bool) {
	b, err := d.readFile(filepath.Join(g.dir, markName), markLimit)
	if err != nil {
		return mark{}, false
	}
	return decodeMark(b, g.epoch)
}

// apply puts what a sidecar says into a generation that was found on disk.
func (m mark) apply(g *generation) {
	g.acked, g.settled = m.acked, m.settled
	if m.sealed {
		g.end, g.endKnown = m.acked, true
	}
}

// saveMark writes the generation's sidecar. Without sync a crash may lose it,
// which costs time and never data; with sync the end it names is durable.
func (l *Log) saveMark(g *generation, sync bool) error {
	l.mu.Lock()
	m := mark{epoch: g.epoch, sealed: g.sealed && g.endKnown, acked: g.acked, settled: g.settled}
	if g.endKnown {
		m.acked = g.end
	}
	g.markDirty, g.markSaved = false, l.now()
	gone, sync := g.gone, sync || g.sealSave // what was durable stays durable
	l.mu.Unlock()
	if gone {
		return nil
	}
	err := l.disk.replace(filepath.Join(g.dir, markName), m.encode(), sync)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		g.markDirty = true
		return err
	}
	g.sealSave = g.sealSave || sync && m.sealed
	return nil
}
