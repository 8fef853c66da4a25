package wire

import (
	"math"
	"math/bits"
)

// A class says how the values of one column are written; see FORMAT.md.
type class uint8

const (
	classAbsent  class = 0  // no cycle has a value
	classZero    class = 1  // every cycle has +0
	classInteger class = 2  // m
	class1024    class = 3  // m × 1024
	class4096    class = 4  // m × 4096
	classDecimal class = 4  // classDecimal+k: m ÷ 10^k, k = 1 … 9
	maxDecimals        = 9  //
	classRaw     class = 14 // the 8 bytes of the float64
	classGaps    class = 15 // some cycles have no value: presence bits and the true class follow
)

var pow10 = [maxDecimals + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// mantissa returns m such that unscale(m, decimals) gives v back bit for bit, or
// false where there is none: -0, too many digits, too large.
func mantissa(v float64, decimals int) (int64, bool) {
	scaled := v
	if decimals > 0 {
		scaled = math.RoundToEven(v * pow10[decimals])
		// Longer mantissas take more bytes than the float64 itself.
		if math.Abs(scaled) > 1<<53 {
			return 0, false
		}
	}
	if !(scaled >= -(1<<63) && scaled < 1<<63) {
		return 0, false
	}
	m := int64(scaled)
	return m, math.Float64bits(float64(m)/pow10[decimals]) == math.Float64bits(v)
}

// value is the inverse of the encoder's choice for classes 1 … 13.
func (c class) value(m int64) float64 {
	switch {
	case c == class1024:
		return float64(m) * 1024
	case c == class4096:
		return float64(m) * 4096
	case c > classDecimal && c < classRaw:
		return float64(m) / pow10[c-classDecimal]
	}
	return float64(m)
}

// classify returns the class that writes the present values of a column with the
// fewest digits and, for the classes of whole numbers, their mantissas appended
// to ms. values is not empty and holds finite numbers only.
func classify(values []float64, ms []int64) (class, []int64) {
	start := len(ms)
	decimals := 0
	for i := 0; i < len(values); i++ {
		m, ok := mantissa(values[i], decimals)
		for !ok {
			if decimals++; decimals > maxDecimals {
				return classRaw, ms[:start]
			}
			// More decimals change the mantissas found so far.
			i, ms = 0, ms[:start]
			m, ok = mantissa(values[0], decimals)
		}
		ms = append(ms, m)
	}
	if decimals > 0 {
		return classDecimal + class(decimals), ms
	}
	var all uint64
	for _, m := range ms[start:] {
		all |= uint64(m)
	}
	shift, c := 0, classInteger
	switch tz := bits.TrailingZeros64(all); {
	case all == 0:
		return classZero, ms[:start]
	case tz >= 12:
		shift, c = 12, class4096
	case tz >= 10:
		shift, c = 10, class1024
	}
	for i := start; shift > 0 && i < len(ms); i++ {
		ms[i] >>= shift
	}
	return c, ms
}
