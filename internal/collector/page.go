package collector

import (
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// column describes one metric of a row.
type column struct {
	name string
	kind sentinel.Kind
	unit string
}

func gauge(name, unit string) column   { return column{name, sentinel.Gauge, unit} }
func counter(name, unit string) column { return column{name, sentinel.Counter, unit} }

// id is the place of a series in a page.
type id int

// page holds what one collector says: the series it has defined so far and the
// values of the current cycle. Collectors find the series of a thing (a device, a
// mount) by a key of their choice, which costs no allocation and no label work in
// a cycle without new things.
//
// A page belongs to the goroutine that runs its collector while that runs, and to
// the Set otherwise.
type page struct {
	series []sentinel.Series
	values []float64
	run    uint64   // number of the current cycle
	fresh  []uint64 // run in which the value was set
	used   []uint64 // run in which the series' row was asked for
	index  map[string]id
	rows   map[string][]id
	max    int
	full   bool // a definition was refused
	epoch  int  // counts resets; ids of an earlier epoch mean nothing
}

func (p *page) init(maxSeries int) {
	p.max = maxSeries
	p.reset()
}

// reset forgets every series: collectors define theirs anew in the next cycle.
func (p *page) reset() {
	p.series, p.values, p.fresh, p.used = nil, nil, nil, nil
	p.index, p.rows = make(map[string]id), make(map[string][]id)
	p.full = false
	p.epoch++
}

// begin starts a cycle: all values are absent.
func (p *page) begin() {
	p.run++
	// Rows also remember what is not wanted. Where things come and go for ever
	// (container mounts), that memory is given up now and then.
	if len(p.rows) > 4*p.max {
		p.reset()
	}
}

// discard makes the values that were set in this cycle absent again.
func (p *page) discard() { p.run++ }

// row returns the series of key, and whether it is known. A known key without
// series is one that was defined as unwanted.
func (p *page) row(key []byte) ([]id, bool) {
	ids, known := p.rows[string(key)]
	p.touch(ids)
	return ids, known
}

// touch notes that the things behind the series are there in this cycle, whether
// or not they will say a value.
func (p *page) touch(ids []id) {
	for _, at := range ids {
		if at != refused {
			p.used[at] = p.run
		}
	}
}

// define makes one series per column, all with the labels (name, value, …), and
// returns them under key from now on. Without columns it remembers that the key is
// not wanted.
func (p *page) define(key string, cols []column, labels ...string) []id {
	for i := 1; i < len(labels); i += 2 {
		labels[i] = cleanLabel(labels[i])
	}
	var ids []id
	for _, col := range cols {
		ids = append(ids, p.intern(sentinel.NewSeries(col.name, col.kind, col.unit, labels...)))
	}
	return p.keep(key, ids)
}

// keep remembers a row whose series do not all have the same labels.
func (p *page) keep(key string, ids []id) []id {
	p.rows[key] = ids
	p.touch(ids)
	return ids
}

// fixed returns the series without labels of a collector that has one such row;
// cols is asked once.
func (p *page) fixed(cols func() []column) []id {
	if ids, known := p.rows[""]; known {
		p.touch(ids)
		return ids
	}
	return p.define("", cols())
}

// refused stands for a series beyond the limit; setting it does nothing.
const refused id = -1

func (p *page) intern(s sentinel.Series) id {
	key := s.String()
	if at, known := p.index[key]; known {
		return at
	}
	if len(p.series) >= p.max {
		p.full = true
		return refused
	}
	at := id(len(p.series))
	p.index[key] = at
	p.series = append(p.series, s)
	p.values = append(p.values, 0)
	p.fresh = append(p.fresh, 0)
	p.used = append(p.used, 0)
	return at
}

func (p *page) set(at id, v float64) {
	if at != refused {
		p.values[at] = v
		p.fresh[at] = p.run
	}
}

// value returns what was set in the current cycle, or Absent.
func (p *page) value(i int) float64 {
	if p.fresh[i] != p.run {
		return sentinel.Absent()
	}
	return p.values[i]
}

// cleanLabel makes any bytes a label value that every limit and store accepts.
func cleanLabel(s string) string {
	const most = 1024 // sentinel.DefaultLimits().MaxValueBytes
	if len(s) > most {
		s = s[:most]
	}
	s = strings.ToValidUTF8(s, "?")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "?")
	}
	return s
}
