package collector

import (
	"slices"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// keepVanished is how long a series whose thing is gone stays in the layout as
// absent. A device that comes and goes must not make a new layout each time.
const keepVanished = 10 * time.Minute

// registry turns the pages of a group's collectors into one layout.
type registry struct {
	lim     sentinel.Limits
	known   map[string]*entry
	order   []*entry // in the layout's order
	size    int      // of the texts of what is known, in bytes
	changed bool
	full    bool // a series was refused for lack of room

	hash    sentinel.LayoutHash
	encoded []byte
	values  []float64
}

// entry is one series of the layout.
type entry struct {
	sentinel.Series
	key  string
	page int // which page it comes from
	at   int // its place in the layout
	seen time.Time
}

func newRegistry(lim sentinel.Limits) registry {
	return registry{lim: lim, known: make(map[string]*entry)}
}

// link is a page's view of the registry: link.entries[i] is the entry of the
// page's i-th series, nil where it was refused.
type link struct {
	entries []*entry
	epoch   int
}

// join makes every series of a page known and the link complete.
func (r *registry) join(l *link, p *page, number int, now time.Time) {
	if l.epoch != p.epoch {
		l.entries, l.epoch = l.entries[:0], p.epoch
	}
	for i := len(l.entries); i < len(p.series); i++ {
		l.entries = append(l.entries, r.entry(p.series[i], number, now))
	}
}

func (r *registry) entry(s sentinel.Series, page int, now time.Time) *entry {
	key := s.String()
	if e := r.known[key]; e != nil {
		if e.page != page {
			return nil // the first page that defines a series owns it
		}
		return e
	}
	// One series alone is checked here, so that a strange name read from the host
	// costs that series and not the layout.
	size := sizeOf(s)
	if len(r.known) >= r.lim.MaxSeries || r.size+size > r.lim.MaxLayoutBytes {
		r.full = true
		return nil
	}
	if r.lim.CheckLayout(sentinel.Layout{s}) != nil {
		return nil
	}
	r.size += size
	e := &entry{Series: s, key: key, page: page, seen: now}
	r.known[key] = e
	r.changed = true
	return e
}

// sizeOf bounds what a series takes in an encoded layout, and in what whoever decodes
// that allows for.
func sizeOf(s sentinel.Series) int {
	const number = 4 // bytes of a text's length, or its number
	n := len(s.Name) + len(s.Unit) + 4*number
	for _, l := range s.Labels {
		n += len(l.Name) + len(l.Value) + 2*number
	}
	return n
}

// expire drops the series whose thing has been gone for keepVanished and reports
// which pages lost one: they must be reset before they are joined again.
// The layout follows in the next cycle.
func (r *registry) expire(now time.Time) (pages []int) {
	for _, e := range r.order {
		if now.Sub(e.seen) < keepVanished {
			continue
		}
		delete(r.known, e.key)
		r.size -= sizeOf(e.Series)
		r.changed = true
		if !slices.Contains(pages, e.page) {
			pages = append(pages, e.page)
		}
	}
	return pages
}

// layout brings the order, the encoding and the hash up to date. It does nothing
// where no series came or went.
func (r *registry) layout() {
	if !r.changed {
		return
	}
	r.changed = false
	r.order = r.order[:0]
	for _, e := range r.known {
		r.order = append(r.order, e)
	}
	slices.SortFunc(r.order, func(a, b *entry) int {
		if a.page != b.page {
			return a.page - b.page
		}
		return strings.Compare(a.key, b.key)
	})
	layout := make(sentinel.Layout, len(r.order))
	for i, e := range r.order {
		e.at = i
		layout[i] = e.Series
	}
	encoded := wire.EncodeLayout(layout)
	if hash := wire.HashLayout(encoded); hash != r.hash {
		r.hash, r.encoded = hash, encoded
	}
	r.values = make([]float64, len(layout))
}

// fill writes a page's values of this cycle into r.values.
func (r *registry) fill(l *link, p *page, now time.Time) {
	for i, e := range l.entries {
		if e == nil {
			continue
		}
		r.values[e.at] = p.value(i)
		if p.used[i] == p.run {
			e.seen = now
		}
	}
}
