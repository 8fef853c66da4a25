// Package collector reads what a host says about itself: one file per collector,
// one line per collector in the list of its system (list_linux.go, list_other.go).
// Names, labels, units and kinds are node_exporter's wherever the meaning is the
// same, so that existing dashboards and rules work; names beginning with sentinel_
// are our own.
//
// A Set runs the collectors one after the other. Each runs in a goroutine of its
// own with a deadline, so that a failing, panicking or hanging collector costs
// only its own samples.
package collector

import (
	"context"
	"log/slog"
	"slices"
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
	cfg       Config
	now       func() time.Time
	statfs    func(path string) (volume, error)
	machine   string // the hardware's name, as uname -m prints it
	pageSize  int    // bytes
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

// Snapshot is what one cycle produced. Layout is the encoded definition
// (wire.EncodeLayout) that Cycle.Layout names; it is the same slice for as long as
// the layout is unchanged and is never written to again. Cycle.Values belongs to
// the Set again at the next call of Collect.
type Snapshot struct {
	Cycle  sentinel.Cycle
	Layout []byte
}

// Sink takes the cycles that Run collects. It must be done with
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
	slots   []*slot
	reg     registry
	self    page
	link    link   // of self
	rows    [][]id // success and duration of each slot, then the Set's own, in self
	warned  bool   // that the layout is full
	skipped atomic.Uint64
}

// New returns the collectors that cfg enables and that this system has. It reads
// nothing yet. A cfg that does not pass Validate is Invalid.
func New(cfg Config, log *slog.Logger, opts ...Option) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	st := settings{host: systemHost(), lim: sentinel.DefaultLimits(), list: definitions()}
	for _, opt := range opts {
		opt(&st)
	}
	st.host.cfg = cfg
	if st.host.now == nil {
		st.host.now = time.Now
	}
	s := &Set{cfg: cfg, log: log, now: st.host.now, phase: st.phase, reg: newRegistry(st.lim)}
	for _, def := range st.list {
		if on, said := cfg.Collectors[def.name]; said && !on {
			continue
		}
		c, err := def.make(st.host)
		if err != nil {
			return nil, sentinel.Errorf(sentinel.Invalid, "collector %s: %w", def.name, err)
		}
		s.slots = append(s.slots, newSlot(def.name, c, st.lim.MaxSeries))
	}
	s.self.init(st.lim.MaxSeries)
	return s, nil
}

// Skipped returns how many cycles Run has left out so far, because the host slept
// or a cycle took longer than the interval. Safe for concurrent use.
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
