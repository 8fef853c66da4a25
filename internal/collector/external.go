package collector

import (
	"context"
	"log/slog"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// External is a source that another part of the agent reads, such as a plugin. It is a
// group of its own, as Sources are, that comes and goes while the Set runs.
type External struct {
	// Name is the group's; it is in the log.
	Name string
	// Labels (name, value, …) stand on each of its series. It cannot override them, so
	// they have to be ones that no other source has.
	Labels []string
	// About begins the names of two series: whether it did well, About_success, and for
	// how long it took, About_duration_seconds.
	About string
	// Interval is between two cycles; Timeout is how long one may take. A cycle that is
	// due while an earlier one has not come back is left out.
	Interval, Timeout time.Duration
	// MaxSeries is how many series are taken of it.
	MaxSeries int
	// Collect gives what it has to say to the page, which is the caller's again when it
	// returns. Where it fails, what it has said until then counts.
	Collect func(context.Context, Page) error
}

// Page takes the samples of an External. Set sets the value of a series that it knows by
// its key; where it reports false Define names the series. Keys are the caller's again
// when these return. A series that has no place in a layout is left out.
type Page struct {
	page *page
	feed *feed
}

// Set sets the value of the series with this key, unless it is set already.
func (p Page) Set(key []byte, v float64) (known bool) {
	row, known := p.page.row(key)
	if known {
		p.feed.put(p.page, row[0], v)
	}
	return known
}

// Define makes a series known by a key, and sets its value.
func (p Page) Define(key []byte, s sentinel.Series, v float64) {
	if p.page.full || len(p.page.rows) > 4*p.page.max {
		p.page.full = true
		p.feed.left++
		return
	}
	p.feed.buf = append(p.feed.buf[:0], s.Labels...)
	at := p.feed.intern(p.page, s)
	if at == refused { // nothing is remembered of that: there is no end to it
		p.feed.left++
		return
	}
	p.page.keep(string(key), []id{at})
	p.feed.put(p.page, at, v)
}

// external makes a collector of an External.
type external struct {
	feed feed
	ask  func(context.Context, Page) error
}

func (e *external) collect(ctx context.Context, p *page) error {
	e.feed.begin()
	e.feed.say(p)
	err := e.ask(ctx, Page{p, &e.feed})
	e.feed.say(p)
	return err
}

// Run collects until ctx ends, as Set.Run does, beside whatever else uses sink: that has
// to be safe for it.
func (e External) Run(ctx context.Context, log *slog.Logger, sink Sink) error {
	lim := sentinel.DefaultLimits()
	s := &Set{log: log, now: time.Now}
	g := newGroup(e.Name, e.Interval, e.Timeout, lim, log, s.now)
	g.source = true
	c := &external{feed: newFeed(lim, e.Labels...), ask: e.Collect}
	own := newSlot(e.Name, c, e.MaxSeries+ownSeries)
	own.labels = e.Labels
	own.about = []column{gauge(e.About+"_success", ""), gauge(e.About+"_duration_seconds", "seconds")}
	g.slots = []*slot{own}
	return s.run(ctx, []*group{g}, sink)
}
