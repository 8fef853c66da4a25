package wire

import (
	"encoding/binary"
	"math"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// cyclesVersion is the first byte of every payload of cycles.
const cyclesVersion = 1

// EncodeCycles returns the payload that carries the cycles, in their order.
// Finite values come back bit for bit, -0 included; NaN and the infinities become
// absent; times keep their milliseconds. The cycles must name one layout and have
// one number of values: anything else, and no cycle or no value, is Invalid. The
// limits are not looked at. Safe for concurrent use.
func EncodeCycles(cycles []sentinel.Cycle) ([]byte, error) {
	return AppendCycles(nil, cycles)
}

// AppendCycles is EncodeCycles into a buffer of the caller: it appends the
// payload to dst and returns the longer slice. On an error dst is unchanged.
func AppendCycles(dst []byte, cycles []sentinel.Cycle) ([]byte, error) {
	if err := checkAlike(cycles); err != nil {
		return dst, err
	}
	series := len(cycles[0].Values)
	dst = append(dst, cyclesVersion)
	dst = append(dst, cycles[0].Layout[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(cycles)))
	dst = binary.AppendUvarint(dst, uint64(series))
	last := int64(0)
	for _, c := range cycles {
		ms := c.Time.UnixMilli()
		dst = binary.AppendVarint(dst, ms-last)
		last = ms
	}

	e := encoder{out: dst, cycles: cycles}
	e.classes = e.region((series + 1) / 2)
	if len(cycles) > 1 {
		e.moving = e.region((series + 7) / 8)
	}
	scratch := make([]float64, 0, 16)
	mantissas := make([]int64, 0, 16)
	for col := range series {
		scratch, mantissas = e.column(col, scratch, mantissas)
	}
	return e.out, nil
}

func checkAlike(cycles []sentinel.Cycle) error {
	if len(cycles) == 0 || len(cycles[0].Values) == 0 {
		return sentinel.Errorf(sentinel.Invalid, "encode cycles: there is no cycle, or no value in it")
	}
	for _, c := range cycles[1:] {
		if c.Layout != cycles[0].Layout || len(c.Values) != len(cycles[0].Values) {
			return sentinel.Errorf(sentinel.Invalid, "encode cycles: they are not all of one layout")
		}
	}
	return nil
}

// encoder writes the columns of one payload. classes and moving are offsets of
// regions that were reserved in out and are filled in place.
type encoder struct {
	out     []byte
	cycles  []sentinel.Cycle
	classes int
	moving  int
}

// region reserves n zero bytes and returns where they start.
func (e *encoder) region(n int) int {
	at := len(e.out)
	e.out = append(e.out, make([]byte, n)...)
	return at
}

// column writes the values of one series over all cycles. It uses, and gives
// back, the two scratch slices.
func (e *encoder) column(col int, values []float64, ms []int64) ([]float64, []int64) {
	values = values[:0]
	for _, c := range e.cycles {
		if v := c.Values[col]; !sentinel.IsAbsent(v) {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return values, ms // classAbsent is 0
	}
	c, ms := classify(values, ms[:0])
	head := c
	if len(values) < len(e.cycles) {
		head = classGaps
		e.gaps(col, c)
	}
	e.out[e.classes+col/2] |= byte(head) << (4 * (col % 2))
	switch c {
	case classZero:
		return values, ms
	case classRaw:
		ms = ms[:0]
		for _, v := range values {
			ms = append(ms, int64(math.Float64bits(v)))
		}
		e.out = binary.LittleEndian.AppendUint64(e.out, uint64(ms[0]))
	default:
		e.out = binary.AppendVarint(e.out, ms[0])
	}
	if !constant(ms) {
		e.out[e.moving+col/8] |= 1 << (col % 8)
		for i, m := range ms[1:] {
			if c == classRaw {
				e.out = binary.LittleEndian.AppendUint64(e.out, uint64(m))
				continue
			}
			e.out = binary.AppendVarint(e.out, m-ms[i]) // wraps, and wraps back
		}
	}
	return values, ms
}

// gaps writes the true class of a column with holes and one bit per cycle that
// says whether there is a value.
func (e *encoder) gaps(col int, c class) {
	e.out = append(e.out, byte(c))
	bits := e.region((len(e.cycles) + 7) / 8)
	for j, cycle := range e.cycles {
		if !sentinel.IsAbsent(cycle.Values[col]) {
			e.out[bits+j/8] |= 1 << (j % 8)
		}
	}
}

func constant(ms []int64) bool {
	for _, m := range ms[1:] {
		if m != ms[0] {
			return false
		}
	}
	return true
}
