package agent

import (
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/wal"
)

// lossReasons are the reasons under which the log gives records up by itself.
func lossReasons() []sentinel.LossReason {
	return []sentinel.LossReason{sentinel.LossAge, sentinel.LossBytes, sentinel.LossDiskFull, sentinel.LossDamaged}
}

// register makes the metrics of collecting and of the log known. Those of the log
// count since it was opened.
func (k *keeper) register(reg *telemetry.Registry, skipped func() uint64) {
	// Cycles, and the samples in them, that the log has on disk.
	k.cycles = reg.Counter("sentinel_agent_cycles_total")
	k.samples = reg.Counter("sentinel_agent_samples_appended_total")
	// Cycles that are gone: the log did not take them, or no right time came.
	k.lostLog = reg.Counter("sentinel_agent_cycles_lost_total", "reason", "log")
	k.lostClock = reg.Counter("sentinel_agent_cycles_lost_total", "reason", "clock")
	// Cycles that were never collected: the host slept, or was too slow.
	reg.Gauge("sentinel_agent_cycles_skipped_total", func() float64 { return float64(skipped()) })
	// Cycles that got another time than the host's clock showed, and those that wait
	// in memory for theirs.
	k.corrected = reg.Counter("sentinel_agent_cycles_time_corrected_total")
	reg.Gauge("sentinel_agent_cycles_waiting_for_clock", func() float64 { return float64(k.waiting.Load()) })

	stat := func(name string, f func(wal.Stats) float64, labels ...string) {
		reg.Gauge(name, func() float64 { return f(k.log.Stats()) }, labels...)
	}
	// What the log takes on disk, and in how many generations.
	stat("sentinel_agent_wal_bytes", func(s wal.Stats) float64 { return float64(s.Bytes) })
	stat("sentinel_agent_wal_generations", func(s wal.Stats) float64 { return float64(s.Generations) })
	// Records that are acknowledged, the log's own declarations of losses included.
	stat("sentinel_agent_wal_records_appended", func(s wal.Stats) float64 { return float64(s.Appended) })
	// Records that could not be appended, by an error.
	stat("sentinel_agent_wal_records_failed_total", func(s wal.Stats) float64 { return float64(s.Failed) })
	for _, reason := range lossReasons() {
		// Records given up after they were acknowledged; each is declared to the service.
		stat("sentinel_agent_wal_records_dropped_total", func(s wal.Stats) float64 { return float64(s.Dropped[reason]) }, "reason", reason.String())
	}
	for _, reason := range []sentinel.LossReason{sentinel.LossBytes, sentinel.LossDiskFull} {
		// Records that on_full: drop_newest turned away; they were never acknowledged.
		stat("sentinel_agent_wal_records_refused_total", func(s wal.Stats) float64 { return float64(s.Refused[reason]) }, "reason", reason.String())
	}
	// Bytes on disk that are no record any more; readers step over them.
	stat("sentinel_agent_wal_damaged_bytes_total", func(s wal.Stats) float64 { return float64(s.DamagedBytes) })
	// Losses whose declaration is not on disk yet. It should be 0 but for moments.
	stat("sentinel_agent_wal_losses_undeclared", func(s wal.Stats) float64 { return float64(s.Undeclared) })
	// Names in the log's folder that are not the log's.
	stat("sentinel_agent_wal_foreign_names", func(s wal.Stats) float64 { return float64(s.Foreign) })
	// Age of the oldest record on disk, settled or not: space is freed by generation.
	stat("sentinel_agent_wal_oldest_record_age_seconds", func(s wal.Stats) float64 { return k.age(s.Oldest) })
	// Age of the oldest record that the service has not settled: how far behind the
	// database is. 0 where it has everything.
	reg.Gauge("sentinel_agent_uplink_lag_seconds", func() float64 { return k.age(oldestUnsettled(k.log)) })
}

// age returns how long ago t was, in seconds; 0 for no time at all.
func (k *keeper) age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, k.now().Sub(t).Seconds())
}

// oldestUnsettled returns the time of the oldest record that the service has not
// settled, and the zero time where there is none. It reads that record.
func oldestUnsettled(log *wal.Log) time.Time {
	for _, g := range log.Generations() {
		through := g.Settled.Through()
		if g.Appended > 0 && through >= g.Appended {
			continue
		}
		r, err := log.Reader(g.Epoch, through+1)
		if err != nil {
			continue // freed meanwhile
		}
		rec, err := r.Next()
		r.Close()
		if err == nil {
			return rec.Time
		}
	}
	return time.Time{}
}
