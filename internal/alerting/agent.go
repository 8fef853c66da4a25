package alerting

import (
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Agent is who samples come from. Labels are sorted by name.
type Agent struct {
	ID       sentinel.AgentID
	Hostname string
	Labels   []sentinel.Label
}

func (a Agent) equal(b Agent) bool {
	return a.ID == b.ID && a.Hostname == b.Hostname && slices.Equal(a.Labels, b.Labels)
}

// Cycle is what one collection produced, with all that the engine wants to know of
// it. Series is the layout that Layout names; it is looked at once for each agent and
// layout, but should always be there: layouts out of use are forgotten.
type Cycle struct {
	Agent  Agent
	Layout sentinel.LayoutHash
	Series sentinel.Layout
	Time   time.Time
	Values []float64
}

// Presence is what is known of an agent beside its samples.
type Presence struct {
	Agent     Agent
	Connected bool      // a session is open
	Backlog   bool      // the agent said that it holds data which it could not send in time
	Seen      time.Time // the service's time of the last sign of life; zero: now, where connected
	Removed   bool      // the agent is no longer registered
}

// AgentState is what a new owner of an agent needs beside incidents and samples.
type AgentState struct {
	Agent     Agent     `json:"agent"`
	Connected bool      `json:"connected"`
	Backlog   bool      `json:"backlog"`
	Seen      time.Time `json:"seen"` // last sign of life, by the service's clock
	Now       time.Time `json:"now"`  // when the state was taken
}

// recentTimes is how many times of a stream are remembered to tell a duplicate from
// a clock that runs through the same minutes again.
const recentTimes = 128

// maxStreams bounds the layouts of one agent that are held at a time.
const maxStreams = 64

// stream is one layout of one agent.
type stream struct {
	last   int64 // event time of the last cycle in order
	recent [recentTimes]int64
	next   int
	layout sentinel.Layout
	slots  []slot
	absent []presenceSlot
	state  []successSlot
}

// slot ties a position in a layout to an instance.
type slot struct {
	at, second int32 // second is -1 where the rule has no second series
	inst       *instance
}

// presenceSlot ties the positions of a metric to the instance that misses it.
type presenceSlot struct {
	inst *instance
	at   []int32
}

// successSlot is the position of a series that tells whether a collector succeeded.
type successSlot struct {
	at        int
	collector string
}

// agent is all that is known of one agent. Times are milliseconds; those marked as
// the service's are of the clock that is handed in, all others are event times.
type agent struct {
	Agent
	streams   map[sentinel.LayoutHash]*stream
	instances map[string]*instance
	missing   []*instance // rules about absence of a metric
	active    []*instance // whose incident is not inactive
	silent    []*instance // rules about absence of the agent

	first, mark int64 // the first event time, and the watermark
	usual       int64 // what cycles are usually apart
	lost        int64 // time that was not observed, in all
	breaks      int32 // how often the clock ran through the same time again
	again       bool  // it did since the last cycle in order
	skewed      bool  // the last cycle that arrived had an event time that cannot be

	offset     int64 // event time less the service's at best, ms: what its clock is off
	behind     int64 // service: since when it has been behind that; 0: it is not
	behindSkew int64 // what it was off when behind was set

	known   int64 // service: since when the engine knows the agent
	seen    int64 // service, less its clock's steps: the last sign of life
	arrived int64 // service: the last cycle
	online  bool
	backlog bool

	collectors map[string]bool // whether each succeeded when it last ran
}

// observed turns an event time into one that advances only while the agent is observed.
func (a *agent) observed(t int64) int64 { return t - a.lost }

// advance moves the watermark to t, a later time. A step far beyond what is usual is
// time that nobody observed: samples that are missing, or a clock that was set. It
// returns how long that was.
func (a *agent) advance(t, patience int64) (lost int64) {
	if a.mark == 0 {
		a.first, a.mark = t, t
		return 0
	}
	d := t - a.mark
	a.mark = t
	if a.usual == 0 {
		a.usual = min(d, patience/2)
	}
	if limit := max(2*a.usual, minStep); d > limit {
		lost = d - a.usual
		a.usual = min(2*a.usual, patience/2)
		a.lost += lost
		return lost
	}
	a.usual = max(d, a.usual-(a.usual-d)/16)
	return 0
}

// current reports whether a cycle of event time t that arrives at now speaks of the
// present: nothing newer is likely to be on its way. It is not where the agent is
// behind its own best by more than half a minute, as it is while buffered data arrives.
// A difference that stays is taken for the clock's after half of patience.
func (a *agent) current(t, now, patience int64) bool {
	skew := t - now
	if skew < -patience {
		a.behind = 0
		return false
	}
	switch {
	case skew >= a.offset-maxLag:
		a.behind = 0
	case a.behind == 0 || now < a.behind || skew > a.behindSkew+maxLag:
		a.behind, a.behindSkew = now, skew
		return false
	case now-a.behind <= patience/2:
		return false
	default:
		a.offset, a.behind = skew, 0
	}
	a.offset = max(a.offset, skew)
	return true
}

const (
	minStep = 30_000 // ms; smaller steps are never noticed
	maxLag  = 30_000 // ms
)

// duplicate reports whether the stream had a cycle of time t lately.
func (s *stream) duplicate(t int64) bool { return slices.Contains(s.recent[:], t) }

func (s *stream) remember(t int64) {
	s.last = t
	s.recent[s.next] = t
	s.next = (s.next + 1) % recentTimes
}
