package wal

import (
	"maps"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Stats is a log's state and what has happened since Open.
type Stats struct {
	Bytes       int64
	Generations int
	Oldest      time.Time // when the oldest generation's first record was taken; zero where there is none
	Foreign     int       // names in the folder that are not the log's, as found by Open
	Undeclared  int       // loss ranges that wait for a record to be written

	Appended     uint64                         // records acknowledged, the log's own included
	Failed       uint64                         // records that could not be appended, by an error
	Dropped      map[sentinel.LossReason]uint64 // records given up, each one declared
	Refused      map[sentinel.LossReason]uint64 // records refused by drop_newest; they never had a number
	DamagedBytes uint64                         // bytes that readers stepped over
}

// Stats returns the log's state. The first call after the oldest generation has
// changed reads that generation's first record.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	s := l.stats
	s.Dropped, s.Refused = maps.Clone(s.Dropped), maps.Clone(s.Refused)
	s.Generations = len(l.gens)
	for _, d := range l.debts {
		s.Undeclared += len(d.losses)
	}
	var first *generation
	for _, g := range l.gens {
		s.Bytes += g.bytes
		if first == nil && (!g.endKnown || g.end > 0) && (!g.own || g.acked > 0) {
			first = g
			s.Oldest = g.oldest
		}
	}
	l.mu.Unlock()
	if first == nil || !s.Oldest.IsZero() {
		return s
	}
	if w, err := walkFolder(l.disk, first.dir, first.epoch); err == nil {
		_ = w.hasty().each(func(f frame, _ place) bool {
			if f.seq > 0 {
				s.Oldest = time.UnixMilli(f.millis)
			}
			return f.seq == 0
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first.oldest = s.Oldest
	return s
}
