package plugin

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Kinds of what a plugin says.
const (
	kindGauge     = 1
	kindCounter   = 2
	kindHistogram = 3
)

// MaxEmission bounds what one collection says, in bytes.
const MaxEmission = 1 << 20

const maxBuckets = 200

// A record of an emission, numbers with the least significant byte first:
//
//	kind u8 · labels u8 · length of name u16 · length of unit u16
//	for each label: length of name u16 · length of value u16
//	name · unit · for each label: name · value
//	gauge, counter:  value f64
//	histogram:       buckets u16 · sum f64 · count u64 · for each bucket: upper bound f64 · count u64
//
// What comes before the value names the series: the same bytes are the same series.
type record struct {
	kind       byte
	key        []byte // all before the value
	name, unit []byte
	labels     []byte // the texts of the labels
	sizes      []byte // and their lengths
	value      float64
	histogram  []byte // count, sum and buckets
}

// cut returns the first record of b and what follows. It reports false where b is no
// emission.
func (rec *record) cut(b []byte) (rest []byte, ok bool) {
	const head = 6
	if len(b) < head {
		return nil, false
	}
	u16 := binary.LittleEndian.Uint16
	rec.kind = b[0]
	labels, name, unit := int(b[1]), int(u16(b[2:])), int(u16(b[4:]))
	at := head + 4*labels
	if len(b) < at {
		return nil, false
	}
	rec.sizes = b[head:at]
	texts := 0
	for i := 0; i < len(rec.sizes); i += 2 {
		texts += int(u16(rec.sizes[i:]))
	}
	end := at + name + unit + texts
	if len(b) < end {
		return nil, false
	}
	rec.key, rec.name, rec.unit, rec.labels = b[:end], b[at:at+name], b[at+name:at+name+unit], b[at+name+unit:end]
	b = b[end:]
	switch rec.kind {
	case kindGauge, kindCounter:
		if len(b) < 8 {
			return nil, false
		}
		rec.value = math.Float64frombits(binary.LittleEndian.Uint64(b))
		return b[8:], true
	case kindHistogram:
		if len(b) < 2 {
			return nil, false
		}
		n := int(u16(b))
		size := 2 + 16 + 16*n
		if n > maxBuckets || len(b) < size {
			return nil, false
		}
		rec.histogram = b[2:size]
		return b[size:], true
	}
	return nil, false
}

// series returns the series of a record under a name, with a label more where there
// is one. Labels may be of any bytes: whoever takes the series checks it.
func (rec *record) series(suffix string, kind sentinel.Kind, more ...sentinel.Label) sentinel.Series {
	s := sentinel.Series{Name: string(rec.name) + suffix, Kind: kind, Unit: string(rec.unit)}
	texts := rec.labels
	take := func(at int) string {
		n := binary.LittleEndian.Uint16(rec.sizes[at:])
		text := string(texts[:n])
		texts = texts[n:]
		return text
	}
	for i := 0; i < len(rec.sizes); i += 4 {
		name := take(i)
		if value := take(i + 2); value != "" { // to Prometheus it is not there
			s.Labels = append(s.Labels, sentinel.Label{Name: name, Value: value})
		}
	}
	s.Labels = append(s.Labels, more...)
	slices.SortFunc(s.Labels, func(a, b sentinel.Label) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// CheckEmission returns how many series an emission says, or an Invalid error where
// it is none.
func CheckEmission(b []byte) (series int, err error) {
	var rec record
	for len(b) > 0 {
		rest, ok := rec.cut(b)
		if !ok {
			return 0, sentinel.Errorf(sentinel.Invalid, "what the plugin emits is no list of records")
		}
		b = rest
		series++
		if rec.kind == kindHistogram {
			series += len(rec.histogram)/16 + 1 // buckets, +Inf, sum and count
		}
	}
	return series, nil
}

// Sink takes samples. Set is enough for a series that it knows by its key; where it
// reports false Define names the series and sets its value. Keys are the caller's
// again when these return.
type Sink interface {
	Set(key []byte, v float64) (known bool)
	Define(key []byte, s sentinel.Series, v float64)
}

// Pour gives what an emission says to a sink. Histograms become the series that
// Prometheus makes of them. It is Invalid, and some samples may be out already, where
// b is no emission.
func Pour(b []byte, to Sink) error {
	var rec record
	var key []byte
	for len(b) > 0 {
		rest, ok := rec.cut(b)
		if !ok {
			return sentinel.Errorf(sentinel.Invalid, "what the plugin emits is no list of records")
		}
		b = rest
		switch rec.kind {
		case kindGauge, kindCounter:
			if to.Set(rec.key, rec.value) {
				continue
			}
			kind := sentinel.Gauge
			if rec.kind == kindCounter {
				kind = sentinel.Counter
			}
			to.Define(rec.key, rec.series("", kind), rec.value)
		case kindHistogram:
			key = rec.pour(append(key[:0], rec.key...), to)
		}
	}
	return nil
}

// pour gives a histogram to a sink. key holds the record's, and is returned for its
// room.
func (rec *record) pour(key []byte, to Sink) []byte {
	u64 := binary.LittleEndian.Uint64
	base := len(key)
	one := func(tail string, v float64, series func() sentinel.Series) {
		key = append(key[:base], tail...)
		if !to.Set(key, v) {
			to.Define(key, series(), v)
		}
	}
	bucket := func(le string, count uint64) {
		one("b"+le, float64(count), func() sentinel.Series {
			s := rec.series("_bucket", sentinel.Counter, sentinel.Label{Name: "le", Value: le})
			s.Unit = ""
			return s
		})
	}
	sum, count := math.Float64frombits(u64(rec.histogram)), u64(rec.histogram[8:])
	for b := rec.histogram[16:]; len(b) > 0; b = b[16:] {
		if bound := math.Float64frombits(u64(b)); !sentinel.IsAbsent(bound) {
			bucket(strconv.FormatFloat(bound, 'g', -1, 64), u64(b[8:]))
		}
	}
	bucket("+Inf", count)
	one("c", float64(count), func() sentinel.Series { s := rec.series("_count", sentinel.Counter); s.Unit = ""; return s })
	one("s", sum, func() sentinel.Series { return rec.series("_sum", sentinel.Counter) })
	return key
}
