package agent

import (
	"runtime"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/uplink"
	"github.com/sentinelgo/sentinel/internal/wal"
)

// self returns what the agent says about itself among its samples: what one asks of
// a fleet. The names are those of /metrics, which has more.
func (k *keeper) self(status func() uplink.Status) collector.Self {
	behind := lag{}
	return func(set func(string, float64, ...string)) {
		connected := 0.0
		if status().Connected {
			connected = 1
		}
		set("sentinel_agent_connected", connected)
		set("sentinel_agent_goroutines", float64(runtime.NumGoroutine()))
		stats := k.log.Stats()
		set("sentinel_agent_wal_bytes", float64(stats.Bytes))
		for _, reason := range lossReasons() {
			set("sentinel_agent_wal_records_dropped_total", float64(stats.Dropped[reason]), "reason", reason.String())
		}
		for _, reason := range []sentinel.LossReason{sentinel.LossBytes, sentinel.LossDiskFull} {
			set("sentinel_agent_wal_records_refused_total", float64(stats.Refused[reason]), "reason", reason.String())
		}
		set("sentinel_agent_cycles_lost_total", float64(k.lostLog.Value()), "reason", "log")
		set("sentinel_agent_cycles_lost_total", float64(k.lostClock.Value()), "reason", "clock")
		set("sentinel_agent_uplink_lag_seconds", k.age(behind.oldest(k.log)))
	}
}

// lag remembers the oldest record that is not settled, so that a log without a
// server is not read again in every cycle.
type lag struct {
	epoch   sentinel.Epoch
	through uint64
	time    time.Time
}

// oldest returns what oldestUnsettled does.
func (l *lag) oldest(log *wal.Log) time.Time {
	for _, g := range log.Generations() {
		through := g.Settled.Through()
		if g.Appended > 0 && through >= g.Appended {
			continue
		}
		if l.time.IsZero() || l.epoch != g.Epoch || l.through != through {
			*l = lag{g.Epoch, through, oldestUnsettled(log)}
		}
		return l.time
	}
	return time.Time{}
}
