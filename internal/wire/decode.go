package wire

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// header is what stands before the values of a payload.
type header struct {
	layout sentinel.LayoutHash
	cycles int
	series int
}

// PeekLayout returns which layout a payload names and how many cycles it claims
// to hold (1 or more), from its first bytes alone: it costs nothing and vouches
// for nothing else. Every error is Invalid.
func PeekLayout(payload []byte) (h sentinel.LayoutHash, cycles int, err error) {
	r := reader{rest: payload}
	head := r.header()
	return head.layout, head.cycles, r.err
}

func (r *reader) header() header {
	if v := r.byte("payload version"); r.err == nil && v != cyclesVersion {
		r.fail("payload version %d is not known", v)
	}
	var h header
	copy(h.layout[:], r.bytes(len(h.layout), "layout hash"))
	cycles := r.uvarint("number of cycles")
	series := r.uvarint("number of series")
	// Each cycle has a byte of time and each two series one of class, so larger
	// claims cannot be true and the two numbers fit an int on every machine.
	if r.err == nil && (cycles == 0 || cycles > uint64(len(r.rest)) || series == 0 || series > 2*uint64(len(r.rest))) {
		r.fail("payload claims %d cycles of %d series", cycles, series)
	}
	if r.err != nil {
		return header{}
	}
	h.cycles, h.series = int(cycles), int(series)
	return h
}

// DecodeCycles returns the cycles of a payload, each with the payload's layout
// hash and series values. series is the number of series that the named layout
// has (see PeekLayout); a payload with another number is refused. Every error is
// Invalid, and an error comes without cycles. Memory is 8 bytes × cycles × series
// plus a fixed amount per cycle, checked against lim before it is allocated. The
// values are always finite or sentinel.Absent; the times are whatever the sender
// wrote, for Limits.CheckTime to judge.
func DecodeCycles(payload []byte, lim sentinel.Limits, series int) ([]sentinel.Cycle, error) {
	if len(payload) > lim.MaxPayloadBytes {
		return nil, sentinel.Errorf(sentinel.Invalid, "payload has %d bytes, at most %d are allowed", len(payload), lim.MaxPayloadBytes)
	}
	r := reader{rest: payload}
	head := r.header()
	switch {
	case r.err != nil:
		return nil, r.err
	case head.series != series:
		return nil, sentinel.Errorf(sentinel.Invalid, "payload has %d series and its layout %d", head.series, series)
	case head.cycles > lim.MaxCycles || head.series > lim.MaxSeries:
		return nil, sentinel.Errorf(sentinel.Invalid, "payload has %d cycles of %d series, at most %d of %d are allowed",
			head.cycles, head.series, lim.MaxCycles, lim.MaxSeries)
	}
	cycles := make([]sentinel.Cycle, head.cycles)
	last := int64(0)
	for i := range cycles {
		last += r.varint("time of a cycle")
		cycles[i].Layout = head.layout
		cycles[i].Time = time.UnixMilli(last).UTC()
	}
	d := decoder{reader: r, cycles: cycles}
	d.classes = d.bytes((series+1)/2, "class table")
	if len(cycles) > 1 {
		d.moving = d.bytes((series+7)/8, "table of moving columns")
	}
	if d.err != nil {
		return nil, d.err
	}
	values := make([]float64, series*len(cycles))
	for i := range cycles {
		cycles[i].Values = values[i*series : (i+1)*series : (i+1)*series]
	}
	for col := range series {
		d.column(col)
		if d.err != nil {
			return nil, d.err
		}
	}
	d.padding(series)
	d.end("payload")
	if d.err != nil {
		return nil, d.err
	}
	return cycles, nil
}

type decoder struct {
	reader
	cycles  []sentinel.Cycle
	classes []byte
	moving  []byte
}

// column fills one series of every cycle. The values are all +0 beforehand.
func (d *decoder) column(col int) {
	c := class(d.classes[col/2] >> (4 * (col % 2)) & 15)
	moving := d.moving != nil && d.moving[col/8]&(1<<(col%8)) != 0
	if moving && (c == classAbsent || c == classZero) {
		d.fail("column %d moves and has nothing to move", col)
		return
	}
	var present []byte
	if c == classGaps {
		c = class(d.byte("class of a column with gaps"))
		if c == classAbsent || c >= classGaps || moving && c == classZero {
			d.fail("class %d of a column with gaps is not known", c)
			return
		}
		present = d.bytes((len(d.cycles)+7)/8, "presence bits")
	}
	if c == classAbsent {
		for i := range d.cycles {
			d.cycles[i].Values[col] = sentinel.Absent()
		}
		return
	}
	var m int64
	var v float64
	first := true
	for i := range d.cycles {
		if present != nil && present[i/8]&(1<<(i%8)) == 0 {
			d.cycles[i].Values[col] = sentinel.Absent()
			continue
		}
		if first || moving {
			m, v = d.number(c, m)
			first = false
		}
		if d.err != nil {
			return
		}
		d.cycles[i].Values[col] = v
	}
}

// number reads the next value of a column whose last mantissa was m (0 at its
// start).
func (d *decoder) number(c class, m int64) (int64, float64) {
	switch c {
	case classZero:
		return 0, 0
	case classRaw:
		b := d.bytes(8, "raw value")
		if b == nil {
			return 0, 0
		}
		v := math.Float64frombits(binary.LittleEndian.Uint64(b))
		if sentinel.IsAbsent(v) {
			d.fail("a raw value is not a finite number")
		}
		return 0, v
	}
	m += d.varint("value")
	return m, c.value(m)
}

// padding fails where bits that stand for nothing are set in the last byte of the
// two tables.
func (d *decoder) padding(series int) {
	if series%2 == 1 && d.classes[series/2]>>4 != 0 ||
		d.moving != nil && series%8 != 0 && d.moving[series/8]>>(series%8) != 0 {
		d.fail("padding is not zero")
	}
}
