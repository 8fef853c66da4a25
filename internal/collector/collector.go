// Package collector reads what a host says about itself: one file per collector,
// one line per collector in the list of its system (list_linux.go, list_other.go).
// Names, labels, units and kinds are node_exporter's wherever the meaning is the
// same, so that existing dashboards and rules work; names beginning with sentinel_
// are our own.
//
// A Set runs the collectors one after the other. Each runs in a goroutine of its
// own with a deadline, so that a failing, panicking or hanging collector costs
// only its own samples. Collectors with the same interval are a group: they have
// one layout and give one Snapshot per cycle. What others say (Sources) is a group
// for each of them.
package collector

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// A collector reads one part of the host. It is used by one goroutine at a time
// and keeps its buffers between calls.
type collector interface {
	// collect sets the values of one cycle in p. Values it does not set are absent.
	// What it set before an error counts. errNothing says that this host has no
	// such part, which is no failure. It should stop soon after ctx ends.
	collect(ctx context.Context, p *page) error
}

// definition is one line of the visible list.
type definition struct {
	name string
	make func(host) (collector, error)
}

// host is what a collector may look at.
type host struct {
	proc, sys string // where /proc and /sys are
	mounts    string // whose mounts count, a folder of proc
	cfg       Config
	now       func() time.Time
	statfs    func(path string) (volume, error)
	machine   string        // the hardware's name, as uname -m prints it
	pageSize  int           // bytes
	interval  time.Duration // between two cycles of the collector that is made
	bus       string        // the socket of D-Bus, empty where there is none
	self      Self          // may be nil
	platform
}

// below returns the host whose root folder is mounted at root.
func (h host) below(root string) host {
	if root == "" {
		return h
	}
	h.proc, h.sys, h.mounts = root+h.proc, root+h.sys, "1"
	if h.bus != "" {
		h.bus = root + h.bus
	}
	ask := h.statfs
	h.statfs = func(path string) (volume, error) { return ask(root + path) }
	return h
}

// volume is what a file system says about its room.
type volume struct {
	size, free, avail uint64 // bytes
	files, filesFree  uint64
	readonly          bool
}

// Option changes how New builds a Set.
type Option func(*settings)

type settings struct {
	host  host
	lim   sentinel.Limits
	phase time.Duration
	list  []definition
}

// WithRoots makes the Linux collectors read below other folders than /proc and
// /sys, such as the mounts of the host inside a container.
func WithRoots(proc, sys string) Option {
	return func(s *settings) { s.host.proc, s.host.sys = proc, sys }
}

// WithLimits bounds the layout; without it sentinel.DefaultLimits hold.
func WithLimits(lim sentinel.Limits) Option {
	return func(s *settings) { s.lim = lim }
}

// WithPhase moves the cycles of Run by a part of the interval behind the full
// multiples of the interval. An agent derives it from its identity, so that a
// fleet does not send in the same instant.
func WithPhase(d time.Duration) Option {
	return func(s *settings) { s.phase = d }
}

// Snapshot is what one cycle of a group produced; Group is its name, and Source says
// that it is none of collectors. Layout is the encoded definition
// (wire.EncodeLayout) that Cycle.Layout names; it is the same slice for as long as
// the layout is unchanged and is never written to again. Cycle.Values belongs to
// the Set again at the group's next cycle.
type Snapshot struct {
	Group  string
	Source bool
	Cycle  sentinel.Cycle
	Layout []byte
}

// Sink takes the cycles that Run collects, one at a time. It must be done with
// Snapshot.Cycle.Values when it returns; Layout it may keep.
type Sink interface {
	Append(context.Context, Snapshot) error
}

// Set is the collectors of this host. Its methods are for one goroutine, except
// Skipped.
type Set struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	phase   time.Duration
	groups  []*group // of collectors
	sources []*group // of what others say, each collected beside all else
	skipped atomic.Uint64
}

// New returns the collectors that cfg enables and that this system has. It reads
// nothing yet. A cfg that does not pass Validate is Invalid.
func New(cfg Config, log *slog.Logger, opts ...Option) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	st := settings{host: systemHost().below(cfg.Root), lim: sentinel.DefaultLimits(), list: definitions()}
	for _, opt := range opts {
		opt(&st)
	}
	st.host.cfg = cfg
	if st.host.now == nil {
		st.host.now = time.Now
	}
	s := &Set{cfg: cfg, log: log, now: st.host.now, phase: st.phase}
	// The group of the general interval is always there and stands first: it says the
	// Set's own samples.
	s.add(cfg.Interval.String(), cfg.Interval, st.lim)
	for _, def := range st.list {
		if !cfg.runs(def.name) {
			continue
		}
		h := st.host
		h.interval = cfg.intervalOf(def.name)
		c, err := def.make(h)
		if err != nil {
			return nil, sentinel.Errorf(sentinel.Invalid, "collector %s: %w", def.name, err)
		}
		at := slices.IndexFunc(s.groups, func(g *group) bool { return g.interval == h.interval })
		if at < 0 {
			at = s.add(h.interval.String(), h.interval, st.lim)
		}
		g := s.groups[at]
		g.slots = append(g.slots, newSlot(def.name, c, st.lim.MaxSeries))
	}
	s.groups[0].skipped = s.Skipped
	if err := s.addSources(st.lim); err != nil {
		return nil, err
	}
	return s, nil
}

// addSources makes a group of each source.
func (s *Set) addSources(lim sentinel.Limits) error {
	cfg := s.cfg.filled(s.cfg.Interval)
	add := func(name string, interval, timeout time.Duration, c collector, series int) *slot {
		g := newGroup(name, interval, timeout, lim, s.log, s.now)
		g.source = true
		g.slots = []*slot{newSlot(name, c, series)}
		s.sources = append(s.sources, g)
		return g.slots[0]
	}
	for i, t := range cfg.Scrape {
		c, about, err := newScrape(t, lim)
		if err != nil {
			return sentinel.Errorf(sentinel.Invalid, "scrape[%d].%w", i, err)
		}
		slot := add(ScrapeGroup+t.Name, t.Interval, t.Timeout, c, t.MaxSeries+ownSeries)
		slot.labels, slot.about = about, []column{gauge("up", ""), gauge("scrape_duration_seconds", "seconds")}
	}
	if cfg.Textfile.Directory != "" {
		add(textfileJob, s.cfg.Interval, s.cfg.Timeout, newTextfile(cfg.Textfile, lim), defaultSeries+maxTextfiles+ownSeries)
	}
	for _, e := range cfg.Exec {
		add("exec/"+e.Name, e.Interval, e.Timeout, newCommand(e, lim), defaultSeries+ownSeries)
	}
	return nil
}

// ownSeries is room for what is said of a source itself.
const ownSeries = 2

// add makes a group without collectors and returns its place.
func (s *Set) add(name string, interval time.Duration, lim sentinel.Limits) int {
	s.groups = append(s.groups, newGroup(name, interval, s.cfg.Timeout, lim, s.log, s.now))
	return len(s.groups) - 1
}

// Collect runs one cycle of every group and returns their snapshots, the group of
// the general interval first and those of the sources last. A collector that fails has its own samples absent,
// node_scrape_collector_success 0, and a line in the log when it starts to fail and
// when it works again. The error is ctx's, once that has ended. The Values of the
// Snapshots are the caller's until the next call.
func (s *Set) Collect(ctx context.Context) ([]Snapshot, error) {
	var all []Snapshot
	for _, g := range s.groups {
		snap, err := g.collect(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, snap)
	}
	rest, errs := make([]Snapshot, len(s.sources)), make([]error, len(s.sources))
	var beside sync.WaitGroup
	for i, g := range s.sources {
		beside.Go(func() { rest[i], errs[i] = g.collect(ctx) })
	}
	beside.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return append(all, rest...), nil
}

// close ends what sources keep open between their cycles.
func (s *Set) close() {
	for _, g := range s.sources {
		if c, is := g.slots[0].col.(interface{ close() }); is {
			c.close()
		}
	}
}

// Skipped returns how many cycles Run has left out so far, of all groups together,
// because the host slept or a cycle took longer than the interval. Safe for
// concurrent use.
func (s *Set) Skipped() uint64 { return s.skipped.Load() }

// Names returns the names of the collectors of this system, in the order in which
// they run.
func Names() []string {
	var names []string
	for _, def := range definitions() {
		names = append(names, def.name)
	}
	return slices.Clip(names)
}
