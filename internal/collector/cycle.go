package collector

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// errNothing says that the host has no such part: no sensor, no such file in this
// kernel.
var errNothing = errors.New("this host has no such part")

// errBusy says that a collector has not come back from an earlier cycle.
var errBusy = errors.New("it is still busy with an earlier cycle")

// slot is one collector and what surrounds it.
type slot struct {
	name string
	col  collector
	page page
	link link
	// done receives the outcome of the run under way. It has room for one, so that a
	// collector that was given up can still end.
	done    chan outcome
	running bool
	idle    bool // it came back in this cycle, so that its page may be read
	stale   bool // its page must be reset once it is idle
	failing bool

	about  []column // what is said of how it fared: whether it did well, and for how long it took
	labels []string // of those
}

type outcome struct {
	err  error
	took time.Duration
}

func newSlot(name string, c collector, maxSeries int) *slot {
	s := &slot{name: name, col: c, done: make(chan outcome, 1), labels: []string{"collector", name}, about: []column{
		gauge("node_scrape_collector_success", ""),
		gauge("node_scrape_collector_duration_seconds", "seconds"),
	}}
	s.page.init(maxSeries)
	return s
}

// run calls the collector and reports its outcome, a panic included.
func (s *slot) run(ctx context.Context) {
	start := time.Now()
	defer func() {
		var err error
		if p := recover(); p != nil {
			s.page.reset()
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if err != nil {
			s.done <- outcome{err, time.Since(start)}
		}
	}()
	err := s.col.collect(ctx, &s.page)
	s.done <- outcome{err, time.Since(start)}
}

// runner is a goroutine that runs collectors, one after the other, so that the stack
// which one has made grow serves the next. It ends when it is closed and the collector
// that it is at has come back.
type runner chan func()

func newRunner() runner {
	r := make(runner)
	go func() {
		for run := range r {
			run()
		}
	}()
	return r
}

// collect runs the collector for at most timeout, by a runner that is idle. The page may
// be read where it reports idle; otherwise the collector still owns it, and the runner.
func (s *slot) collect(ctx context.Context, r runner, timeout time.Duration) (out outcome, idle bool) {
	if s.running {
		select {
		case <-s.done: // late; what it found belongs to another cycle
			s.running = false
		default:
			return outcome{err: errBusy}, false
		}
	}
	if s.stale {
		s.stale = false
		s.page.reset()
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s.page.begin()
	s.running = true
	r <- func() { s.run(ctx) }
	select {
	case out = <-s.done:
		s.running = false
		return out, true
	case <-ctx.Done():
	}
	// Most collectors heed ctx: those that end right now keep their samples.
	grace := time.NewTimer(timeout/10 + time.Millisecond)
	defer grace.Stop()
	select {
	case out = <-s.done:
		s.running = false
		return out, true
	case <-grace.C:
		return outcome{fmt.Errorf("it did not answer within %s", timeout), timeout}, false
	}
}
