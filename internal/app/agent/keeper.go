package agent

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/wal"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const (
	// clockTolerance is how far this host's clock may be from the service's before
	// samples get the service's time. It is under what the service allows a sample
	// to lie ahead (10 minutes), so nothing is refused for a clock that is wrong
	// while it is connected, and far above what a network's delay can feign.
	clockTolerance = 5 * time.Minute
	// maxHeld bounds the cycles that wait in memory for a believable clock: an hour
	// of them at the default interval, about 1 MB.
	maxHeld = 360
)

// oldestBelievable returns a moment before this program was written: a clock that
// shows less has not been set since the host was switched on.
func oldestBelievable() time.Time { return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) }

// keeper puts what the collectors gather into the log. A cycle that the log does
// not take is counted and gone; the next one is tried again.
//
// It also sees to it that a cycle has a time which the service can take, once and
// before the log names the record: what is in the log is never rewritten, since a
// record may have been sent already. Where a session is open and the host's clock
// is more than clockTolerance from the service's, the cycle gets the service's
// time. Where nobody knows better and the clock has plainly never been set, cycles
// wait in memory; they get their times, by what has elapsed since, with the first
// cycle whose time is known.
//
// It is safe for concurrent use, except stop.
type keeper struct {
	mu      sync.Mutex // held by Append: plugins collect beside the collectors
	log     *wal.Log
	logger  *slog.Logger
	now     func() time.Time         // the host's clock
	elapsed func() time.Duration     // since some moment, whatever happens to that clock
	service func() (time.Time, bool) // the service's clock, where it is known

	latest latest
	beat   atomic.Int64 // by elapsed: when the collectors' last cycle was handed over

	failing   atomic.Pointer[error]
	held      []heldCycle
	waiting   atomic.Int64 // len(held)
	corrects  bool         // the last cycle got the service's time
	cycles    telemetry.Counter
	samples   telemetry.Counter
	corrected telemetry.Counter
	lostLog   telemetry.Counter
	lostClock telemetry.Counter
	buf       []byte

	acknowledged func(wal.Position, sentinel.Cycle) // may be nil
}

// heldCycle is a cycle whose time is not known yet.
type heldCycle struct {
	collector.Snapshot
	at time.Duration // by keeper.elapsed
}

// Append implements collector.Sink. It returns no error for a log that does not
// take the cycle: collecting goes on.
func (k *keeper) Append(_ context.Context, s collector.Snapshot) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, at := k.now(), k.elapsed()
	if !s.Source { // others than the collectors do not speak for them
		defer func() { k.beat.Store(int64(k.elapsed())) }()
	}
	k.latest.keep(s)
	ahead := time.Duration(0)
	service, known := k.service()
	if known = known && service.After(oldestBelievable()); known {
		if ahead = now.Sub(service); ahead.Abs() <= clockTolerance {
			ahead = 0
		}
	}
	if !known && s.Cycle.Time.Before(oldestBelievable()) {
		k.hold(s, at)
		return nil
	}
	if k.corrects != (ahead != 0) {
		k.corrects = ahead != 0
		k.logger.Warn("this host's clock and the service's: samples get the service's time while they differ", "differ", k.corrects, "clock_ahead", ahead.Round(time.Second))
	}
	if err := k.release(now.Add(-ahead), at); err != nil {
		return err
	}
	if ahead != 0 {
		s.Cycle.Time = s.Cycle.Time.Add(-ahead).Truncate(time.Millisecond)
		k.corrected.Inc()
	}
	return k.put(s)
}

// hold keeps a copy of the cycle until its time is known; the oldest gives way.
func (k *keeper) hold(s collector.Snapshot, at time.Duration) {
	if len(k.held) == 0 {
		k.logger.Warn("this host's clock has not been set; cycles wait for the right time", "clock", s.Cycle.Time)
	}
	if len(k.held) == maxHeld {
		k.held = slices.Delete(k.held, 0, 1)
		k.lostClock.Inc()
	}
	s.Cycle.Values = slices.Clone(s.Cycle.Values)
	k.held = append(k.held, heldCycle{s, at})
	k.waiting.Store(int64(len(k.held)))
}

// release puts the cycles that waited into the log, where it is now at elapsed at.
func (k *keeper) release(now time.Time, at time.Duration) error {
	if len(k.held) == 0 {
		return nil
	}
	k.logger.Info("the time is known, cycles that waited for it go into the log", "cycles", len(k.held))
	for _, h := range k.held {
		h.Cycle.Time = now.Add(h.at - at).Truncate(time.Millisecond).UTC()
		k.corrected.Inc()
		if err := k.put(h.Snapshot); err != nil {
			return err
		}
	}
	k.held = nil
	k.waiting.Store(0)
	return nil
}

// stop counts what still waits as lost: there is no time to keep it under. It is
// called after the last Append.
func (k *keeper) stop() {
	if n := len(k.held); n > 0 {
		k.lostClock.Add(n)
		k.logger.Error("this host's clock was never set, the cycles that waited for it are lost", "cycles", n)
	}
}

func (k *keeper) put(s collector.Snapshot) error {
	payload, err := wire.AppendCycles(k.buf[:0], []sentinel.Cycle{s.Cycle})
	if err != nil {
		return fmt.Errorf("encode cycle: %w", err)
	}
	k.buf = payload
	entry := wal.Entry{Kind: wal.KindCycle, Time: s.Cycle.Time, Layout: s.Cycle.Layout, Data: payload}
	pos, err := k.log.Append(entry, func() []byte { return s.Layout })
	was := k.failing.Load()
	if err != nil {
		k.lostLog.Inc()
		k.failing.Store(&err)
		if was == nil {
			k.logger.Error("log does not take records, collected samples are lost until it does", "error", err)
		}
		return nil
	}
	k.cycles.Inc()
	k.samples.Add(s.Cycle.Samples())
	if k.acknowledged != nil {
		k.acknowledged(pos, s.Cycle)
	}
	if was != nil {
		k.failing.Store(nil)
		k.logger.Info("log takes records again", "lost_cycles", k.lostLog.Value())
	}
	return nil
}

func (k *keeper) healthy(context.Context) error {
	if err := k.failing.Load(); err != nil {
		return *err
	}
	return nil
}
