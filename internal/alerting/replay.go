package alerting

import (
	"slices"
	"time"
)

// replayStep is how often the clock is told of while stored cycles are played.
const replayStep = 30 * time.Second

// Replay plays stored cycles through an engine as if each had arrived when it was
// collected. Make one with NewReplay for each agent. Between cycles the clock goes on,
// so that silence is noticed.
type Replay struct {
	engine *Engine
	clock  time.Time
	from   time.Time
}

// NewReplay returns a replay that says nothing of what came before from: the cycles
// before that only fill windows.
func NewReplay(rules *RuleSet, opts Options, from time.Time) *Replay {
	return &Replay{engine: New(rules, opts), from: from}
}

// Feed plays one cycle and returns the transitions up to it.
func (r *Replay) Feed(c Cycle) []Transition {
	out := r.Until(c.Time)
	out = append(out, r.engine.Feed(c, c.Time)...)
	return slices.DeleteFunc(out, func(t Transition) bool { return t.Now.Before(r.from) })
}

// Until lets the clock go on to a time and returns the transitions of that.
func (r *Replay) Until(t time.Time) (out []Transition) {
	if r.clock.IsZero() {
		r.clock = t
	}
	for next := r.clock.Add(replayStep); !next.After(t); next = next.Add(replayStep) {
		r.clock = next
		out = append(out, r.engine.Advance(next)...)
	}
	return slices.DeleteFunc(out, func(t Transition) bool { return t.Now.Before(r.from) })
}
