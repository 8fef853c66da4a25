package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// layoutVersion is the first byte of every encoded layout.
const layoutVersion = 1

// EncodeLayout returns the canonical bytes of a layout: equal layouts have equal
// bytes and different layouts different ones, so that HashLayout names a layout.
// It does not judge the layout: that is Limits.CheckLayout's task.
func EncodeLayout(l sentinel.Layout) []byte {
	e := layoutEncoder{buf: make([]byte, 0, 64+32*len(l)), index: make(map[string]uint64)}
	e.buf = append(e.buf, layoutVersion)
	e.number(uint64(len(l)))
	for _, s := range l {
		e.text(s.Name)
		e.buf = append(e.buf, byte(s.Kind))
		e.text(s.Unit)
		e.number(uint64(len(s.Labels)))
		for _, lb := range s.Labels {
			e.text(lb.Name)
			e.text(lb.Value)
		}
	}
	return e.buf
}

// HashLayout returns the name of an encoded layout: the first 16 bytes of its
// SHA-256.
func HashLayout(encoded []byte) sentinel.LayoutHash {
	sum := sha256.Sum256(encoded)
	return sentinel.LayoutHash(sum[:16])
}

// DecodeLayout returns the layout that EncodeLayout made the bytes from. Every
// failure is Invalid: bytes that EncodeLayout would not have written, a layout
// that breaks a limit, and texts that unfold to more than lim.MaxLayoutBytes
// together (repeated texts are sent once, so the bytes alone bound nothing).
// Memory stays proportional to lim.MaxLayoutBytes. The layout shares no memory
// with encoded.
func DecodeLayout(encoded []byte, lim sentinel.Limits) (sentinel.Layout, error) {
	if len(encoded) > lim.MaxLayoutBytes {
		return nil, sentinel.Errorf(sentinel.Invalid, "encoded layout has %d bytes, at most %d are allowed", len(encoded), lim.MaxLayoutBytes)
	}
	d := layoutDecoder{reader: reader{rest: encoded}, budget: lim.MaxLayoutBytes}
	if v := d.byte("layout version"); d.err == nil && v != layoutVersion {
		d.fail("layout version %d is not known", v)
	}
	n := d.uvarint("number of series")
	// A series takes four bytes or more, so a count beyond that is a lie.
	if n > uint64(lim.MaxSeries) || n > uint64(len(d.rest)/4) {
		d.fail("layout claims %d series", n)
	}
	if d.err != nil {
		return nil, d.err
	}
	layout := make(sentinel.Layout, n)
	for i := range layout {
		d.series(&layout[i], lim)
		if d.err != nil {
			return nil, d.err
		}
	}
	d.end("layout")
	if d.err != nil {
		return nil, d.err
	}
	if err := lim.CheckLayout(layout); err != nil {
		return nil, err
	}
	if !bytes.Equal(EncodeLayout(layout), encoded) {
		return nil, sentinel.Errorf(sentinel.Invalid, "layout is not in its canonical encoding")
	}
	return layout, nil
}

// layoutEncoder writes each distinct text once and refers to it afterwards.
type layoutEncoder struct {
	buf   []byte
	index map[string]uint64
}

func (e *layoutEncoder) number(v uint64) { e.buf = binary.AppendUvarint(e.buf, v) }

func (e *layoutEncoder) text(s string) {
	if ref, known := e.index[s]; known {
		e.number(ref)
		return
	}
	e.index[s] = uint64(len(e.index) + 1)
	e.number(0)
	e.number(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

type layoutDecoder struct {
	reader
	table  []string
	budget int // bytes of text that may still be unfolded
}

func (d *layoutDecoder) text(what string) string {
	ref := d.uvarint(what)
	var s string
	switch {
	case d.err != nil:
		return ""
	case ref == 0:
		n := d.uvarint(what)
		if n > uint64(len(d.rest)) {
			d.fail("%s is cut short", what)
			return ""
		}
		s = string(d.bytes(int(n), what))
		d.table = append(d.table, s)
	case ref > uint64(len(d.table)):
		d.fail("%s refers to text %d of %d", what, ref, len(d.table))
		return ""
	default:
		s = d.table[ref-1]
	}
	if d.budget -= len(s); d.budget < 0 {
		d.fail("texts of the layout unfold beyond the limit")
		return ""
	}
	return s
}

func (d *layoutDecoder) series(s *sentinel.Series, lim sentinel.Limits) {
	s.Name = d.text("metric name")
	s.Kind = sentinel.Kind(d.byte("kind"))
	s.Unit = d.text("unit")
	n := d.uvarint("number of labels")
	if n > uint64(lim.MaxLabels) || n > uint64(len(d.rest)/2) {
		d.fail("series claims %d labels", n)
	}
	if d.err != nil || n == 0 {
		return
	}
	s.Labels = make([]sentinel.Label, n)
	for i := range s.Labels {
		s.Labels[i] = sentinel.Label{Name: d.text("label name"), Value: d.text("label value")}
	}
}
