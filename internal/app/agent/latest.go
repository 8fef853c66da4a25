package agent

import (
	"io"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/exposition"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// latest has the last cycle of each group of collectors and of each source, for
// whoever asks this host directly. It costs a copy of the values per cycle; layouts
// are read when somebody asks. The zero value is ready. Safe for concurrent use.
type latest struct {
	mu     sync.Mutex
	cycles []collector.Snapshot
}

// keep takes a copy of the cycle in place of the group's last one.
func (l *latest) keep(s collector.Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.cycles, func(c collector.Snapshot) bool { return c.Group == s.Group })
	if i < 0 {
		i = len(l.cycles)
		l.cycles = append(l.cycles, collector.Snapshot{})
	}
	s.Cycle.Values = append(l.cycles[i].Cycle.Values[:0], s.Cycle.Values...)
	l.cycles[i] = s
}

// forget drops everything but what plugins say: other collectors follow.
func (l *latest) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cycles = slices.DeleteFunc(l.cycles, func(c collector.Snapshot) bool { return !strings.HasPrefix(c.Group, pluginGroup) })
}

// drop drops a group that does not come back.
func (l *latest) drop(group string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cycles = slices.DeleteFunc(l.cycles, func(c collector.Snapshot) bool { return c.Group == group })
}

// value is the last value of a series.
type value struct {
	sentinel.Series
	v     float64
	time  time.Time
	group string
}

// label returns the value of a label, empty where it has none of that name.
func (v value) label(name string) string {
	for _, l := range v.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// values returns the last value of every series that has one, sorted by name.
func (l *latest) values() []value {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []value
	for _, c := range l.cycles {
		layout, err := wire.DecodeLayout(c.Layout, sentinel.DefaultLimits())
		if err != nil {
			continue // the collectors do not make such a one
		}
		for i, s := range layout {
			if v := c.Cycle.Values[i]; !sentinel.IsAbsent(v) {
				out = append(out, value{s, v, c.Cycle.Time, c.Group})
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name }) // slices' sorts cost 10 KB each of the agent's binary
	return out
}

// writePrometheus writes the last values in Prometheus' text format. Times are left
// out, so that whoever scrapes sees a value for as long as it is the last one. What was
// scraped is left out too: it has its own place, and agents that scrape each other, or
// themselves, would say ever more.
func (l *latest) writePrometheus(to io.Writer) {
	w := exposition.NewWriter(to)
	for _, v := range l.values() {
		if !strings.HasPrefix(v.group, collector.ScrapeGroup) {
			w.Write(v.Series, v.v)
		}
	}
	_ = w.Flush() // an error is to's, and nobody is left to be told
}
