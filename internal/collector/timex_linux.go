package collector

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// timex asks the kernel how its clock is kept, see adjtimex(2). It is the clock of
// this kernel, wherever /proc comes from.
type timex struct {
	ask func(*syscall.Timex) (int, error)
}

func newTimex(h host) (collector, error) { return timex{h.adjtimex}, nil }

// What adjtimex says, from <linux/timex.h>.
const (
	timeError  = 5      // its result: the clock is not synchronised
	statusNano = 0x2000 // STA_NANO: offset is in nanoseconds
)

func timexColumns() []column {
	return []column{
		gauge("node_timex_sync_status", ""),
		gauge("node_timex_offset_seconds", "seconds"),
		gauge("node_timex_maxerror_seconds", "seconds"),
		gauge("node_timex_estimated_error_seconds", "seconds"),
		gauge("node_timex_frequency_adjustment_ratio", ""),
		gauge("node_timex_status", ""),
		gauge("node_timex_tick_seconds", "seconds"),
		gauge("node_timex_tai_offset_seconds", "seconds"),
	}
}

func (c timex) collect(_ context.Context, p *page) error {
	var t syscall.Timex
	state, err := c.ask(&t)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		return errNothing // a container that may not ask
	}
	if err != nil {
		return fmt.Errorf("adjtimex: %w", err)
	}
	synced := 1.0
	if state == timeError {
		synced = 0
	}
	unit := 1e6 // of a second
	if t.Status&statusNano != 0 {
		unit = 1e9
	}
	// The frequency is in parts per million, with 16 bits behind the point.
	ratio := 1 + float64(t.Freq)/65536/1e6
	row := p.fixed(timexColumns)
	for i, v := range [...]float64{synced, float64(t.Offset) / unit, float64(t.Maxerror) / 1e6, float64(t.Esterror) / 1e6,
		ratio, float64(t.Status), float64(t.Tick) / 1e6, float64(t.Tai)} {
		p.set(row[i], v)
	}
	return nil
}
