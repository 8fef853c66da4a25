package collector

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/sentinelgo/sentinel/internal/exposition"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// feed turns what a source says, in Prometheus' text format, into values of a page.
// Its labels stand on every series, and job is among them, so that no source can say
// a series of the collectors or of another source.
type feed struct {
	labels  []sentinel.Label // that the source cannot override
	names   filter
	lim     sentinel.Limits
	counted string // the series that says how many samples there were; empty for none

	samples, left int // of this cycle: all that were read, those there was no place for
	last          []byte
	taken         bool // what names says of last
	buf           []sentinel.Label
}

// newFeed returns a feed whose samples get the labels (name, value, …).
func newFeed(lim sentinel.Limits, labels ...string) feed {
	return feed{labels: sentinel.NewSeries("", sentinel.Gauge, "", labels...).Labels, lim: lim}
}

// begin starts a cycle.
func (f *feed) begin() { f.samples, f.left = 0, 0 }

// read takes the samples of one text. Where it returns an error those before it are
// set; the caller decides whether they count.
func (f *feed) read(p *page, in *exposition.Parser) error {
	for {
		s, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f.samples++
		if f.takes(s.Name) {
			f.set(p, s)
		}
	}
}

// takes asks the filter once for what follows each other under one name.
func (f *feed) takes(name []byte) bool {
	if f.names.include == nil && f.names.exclude == nil {
		return true
	}
	if string(f.last) != string(name) {
		f.last = append(f.last[:0], name...)
		f.taken = f.names.takes(string(name))
	}
	return f.taken
}

func (f *feed) set(p *page, s exposition.Sample) {
	row, known := p.row(s.Key)
	if !known {
		at := f.define(p, s)
		if at == refused {
			f.left++
			return
		}
		row = p.keep(string(s.Key), []id{at})
	}
	f.put(p, row[0], s.Value)
}

// put sets a value. What is said twice counts the first time.
func (f *feed) put(p *page, at id, v float64) {
	switch {
	case at == refused:
	case p.fresh[at] == p.run:
		f.left++
	case !sentinel.IsAbsent(v):
		p.set(at, v)
	}
}

// define makes the series of a sample. It refuses what has no place in a layout.
// Nothing is remembered of that: there is no end to it.
func (f *feed) define(p *page, s exposition.Sample) id {
	if p.full || len(p.rows) > 4*p.max {
		p.full = true
		return refused
	}
	f.buf = s.Labels(f.buf[:0])
	return f.intern(p, sentinel.Series{Name: string(s.Name), Kind: s.Kind, Unit: s.Unit})
}

// intern makes a series of the page, with the labels in f.buf and those of the source.
func (f *feed) intern(p *page, series sentinel.Series) id {
	labels := make([]sentinel.Label, 0, len(f.buf)+len(f.labels))
	for _, l := range f.buf {
		if l.Value == "" {
			continue // to Prometheus it is not there
		}
		if f.reserved(l.Name) {
			l.Name = f.exported(l.Name)
		}
		labels = append(labels, l)
	}
	series.Labels = append(labels, f.labels...)
	slices.SortFunc(series.Labels, func(a, b sentinel.Label) int { return cmp.Compare(a.Name, b.Name) })
	if series.Unit == "" {
		series.Unit = unitOf(series.Name)
	}
	if f.lim.CheckLayout(sentinel.Layout{series}) != nil {
		return refused
	}
	return p.intern(series)
}

// exported returns the name of a label that gives way, as Prometheus has it.
func (f *feed) exported(name string) string {
	for f.reserved(name) || slices.ContainsFunc(f.buf, func(l sentinel.Label) bool { return l.Name == name }) {
		name = "exported_" + name
	}
	return name
}

func (f *feed) reserved(name string) bool {
	return name == "agent" || slices.ContainsFunc(f.labels, func(l sentinel.Label) bool { return l.Name == name })
}

// say says how many samples there were. It is called before read, so that there is
// a place for it, and after.
func (f *feed) say(p *page) {
	row, known := p.row(nil)
	if !known {
		cols := []column{gauge("sentinel_source_samples_left_out", "")}
		if f.counted != "" {
			cols = append(cols, gauge(f.counted, ""))
		}
		row = p.define("", cols, pairs(f.labels)...)
	}
	p.set(row[0], float64(f.left))
	if f.counted != "" {
		p.set(row[1], float64(f.samples))
	}
}

// pairs returns labels as define wants them.
func pairs(labels []sentinel.Label) (list []string) {
	for _, l := range labels {
		list = append(list, l.Name, l.Value)
	}
	return list
}

// unitOf returns the unit that a metric's name says by its ending, or none.
func unitOf(name string) string {
	for _, suffix := range []string{"_total", "_sum"} {
		name = strings.TrimSuffix(name, suffix)
	}
	for _, unit := range []string{"bytes", "seconds"} {
		if strings.HasSuffix(name, "_"+unit) {
			return unit
		}
	}
	return ""
}
