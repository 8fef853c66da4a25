package ingest

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// burstSeconds is how much of its long-term rate an agent may use at once.
const burstSeconds = 10

// rates limits each agent and all together. It outlives sessions, so that coming
// back does not reset a limit, and its memory is bounded: agents that have been
// silent long enough to have a full bucket again are forgotten.
type rates struct {
	cfg     Config
	all     *rate.Limiter
	credits *rate.Limiter

	mu     sync.Mutex
	agents map[sentinel.AgentID]*agentRate
	swept  time.Time
}

type agentRate struct {
	batches, bytes *rate.Limiter
	used           time.Time
}

func newRates(cfg Config) *rates {
	return &rates{
		cfg:     cfg,
		all:     limiter(cfg.BytesPerSecond),
		credits: limiter(cfg.BacklogBatchesPerSecond),
		agents:  map[sentinel.AgentID]*agentRate{},
	}
}

func limiter(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond*burstSeconds)))
}

// admit takes one batch of n bytes from the buckets and returns 0, or takes
// nothing and returns how long to wait.
func (r *rates) admit(agent sentinel.AgentID, n int, now time.Time) time.Duration {
	a := r.agent(agent, now)
	batch, wait := take(a.batches, 1, now)
	if wait > 0 {
		return wait
	}
	bytes, wait := take(a.bytes, n, now)
	if wait > 0 {
		batch.CancelAt(now)
		return wait
	}
	if _, wait = take(r.all, n, now); wait > 0 {
		batch.CancelAt(now)
		bytes.CancelAt(now)
		return wait
	}
	return 0
}

func take(l *rate.Limiter, n int, now time.Time) (*rate.Reservation, time.Duration) {
	res := l.ReserveN(now, min(n, l.Burst()))
	wait := res.DelayFrom(now)
	if wait > 0 {
		res.CancelAt(now)
	}
	return res, wait
}

// creditDelay takes one credit from the fleet's pace and returns when it may be
// given out. Agents keep at most their window of credits, so the debt is bounded.
func (r *rates) creditDelay(now time.Time) time.Duration {
	return r.credits.ReserveN(now, 1).DelayFrom(now)
}

func (r *rates) agent(agent sentinel.AgentID, now time.Time) *agentRate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.swept) > time.Minute {
		for id, a := range r.agents {
			if now.Sub(a.used) > burstSeconds*time.Second {
				delete(r.agents, id)
			}
		}
		r.swept = now
	}
	a := r.agents[agent]
	if a == nil {
		a = &agentRate{batches: limiter(r.cfg.AgentBatchesPerSecond), bytes: limiter(r.cfg.AgentBytesPerSecond)}
		r.agents[agent] = a
	}
	a.used = now
	return a
}
