package sentinel

import (
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"time"
)

// Kind says how the values of a series are to be read.
type Kind uint8

const (
	KindUnspecified Kind = iota
	Gauge                // goes up and down
	Counter              // only rises, and starts again near zero
)

// String returns the kind in Prometheus' words.
func (k Kind) String() string {
	switch k {
	case Gauge:
		return "gauge"
	case Counter:
		return "counter"
	}
	return "unknown"
}

// Label is one name and value of a series.
type Label struct{ Name, Value string }

// Series describes one stream of samples of one agent. Labels are sorted by
// name and the names are unique; Unit is a word such as "seconds" or "bytes",
// empty where the value has none.
type Series struct {
	Name   string
	Labels []Label
	Kind   Kind
	Unit   string
}

// NewSeries returns a series with its labels (name, value, name, value, …)
// sorted. It panics on an odd number of strings: that is a bug in the caller.
func NewSeries(name string, kind Kind, unit string, labels ...string) Series {
	if len(labels)%2 != 0 {
		panic("sentinel: odd number of label strings for " + name)
	}
	s := Series{Name: name, Kind: kind, Unit: unit}
	for i := 0; i < len(labels); i += 2 {
		s.Labels = append(s.Labels, Label{labels[i], labels[i+1]})
	}
	slices.SortFunc(s.Labels, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// String returns the series in Prometheus' notation, name{label="value"}.
func (s Series) String() string {
	if len(s.Labels) == 0 {
		return s.Name
	}
	var b strings.Builder
	b.WriteString(s.Name)
	for i, l := range s.Labels {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(l.Name)
		b.WriteString(`="`)
		b.WriteString(labelEscaper.Replace(l.Value))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

// Labelled is a value with labels and no name: one series of what an expression gives.
// Labels are sorted by name.
type Labelled struct {
	Labels []Label
	Value  float64
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// Layout is an ordered list of series. It is immutable: a cycle's values stand
// in the layout's order, and the layout is named by LayoutHash.
type Layout []Series

// LayoutHash names a layout: the first 16 bytes of SHA-256 over its canonical
// encoding (wire.EncodeLayout). Layouts are looked up per agent, so a collision
// that an agent constructs confuses only that agent.
type LayoutHash [16]byte

// String returns the hash as 32 hexadecimal digits.
func (h LayoutHash) String() string { return hex.EncodeToString(h[:]) }

// Cycle is what one collection produced: one value for each series of a layout
// at one time. Values[i] belongs to the layout's i-th series; an absent value is
// Absent. Time has millisecond resolution.
type Cycle struct {
	Layout LayoutHash
	Time   time.Time
	Values []float64
}

// Samples returns how many values of the cycle are present.
func (c Cycle) Samples() int {
	n := 0
	for _, v := range c.Values {
		if !IsAbsent(v) {
			n++
		}
	}
	return n
}

// absentBits is a quiet NaN whose payload no arithmetic produces.
const absentBits = 0x7ff8000000005e17

// Absent returns the value that stands for "no sample here".
func Absent() float64 { return math.Float64frombits(absentBits) }

// IsAbsent reports whether v stands for "no sample here". A sample is a finite
// number: NaN and the infinities count as absent everywhere.
func IsAbsent(v float64) bool { return v-v != 0 }
