package alerting

// Stats are an engine's counts. Those of things are as of now, all others since New.
type Stats struct {
	Agents    int
	Incidents int // that are not inactive
	Series    int // pairs of a rule and a series
	Points    int // samples held in windows
	Bytes     int // an estimate of the memory for all this

	Cycles      uint64
	Evaluations uint64
	Transitions uint64
	Late        uint64 // cycles behind the watermark
	Duplicates  uint64 // cycles that came again
	Ahead       uint64 // cycles too far ahead of the service's clock
	Malformed   uint64 // cycles that do not fit their layout, or whose layout is not known
	Refused     uint64 // series beyond a rule's max_series
}

// BytesPerSeries is Bytes for each pair of a rule and a series.
func (s Stats) BytesPerSeries() float64 { return float64(s.Bytes) / float64(max(s.Series, 1)) }

// Stats counts; it walks all series.
func (e *Engine) Stats() Stats {
	s := e.counts
	s.Agents = len(e.agents)
	for _, a := range e.agents {
		s.Bytes += 1024
		for _, st := range a.streams {
			s.Bytes += 512 + 16*cap(st.slots) + 24*len(st.layout)
		}
		for k, in := range a.instances {
			s.Series++
			s.Bytes += instanceBytes + len(k)
			if in.window != nil {
				s.Points += len(in.window.points) - in.window.head
				s.Bytes += windowBytes + 32*cap(in.window.points) + 8*cap(in.window.sorted)
			}
			if !in.idle() {
				s.Incidents++
			}
		}
	}
	return s
}

// Sizes of what is held for each series, the map's share of it included; a test
// compares them with the heap.
const (
	instanceBytes = 464
	windowBytes   = 192
)
