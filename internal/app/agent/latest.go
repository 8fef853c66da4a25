package agent

import (
	"bufio"
	"cmp"
	"io"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// maxLatest bounds the layouts of which the last cycle is kept: several times the
// groups of collectors that have an interval of their own.
const maxLatest = 16

// latest has the last cycle of each layout, for whoever asks this host directly. It
// costs a copy of the values per cycle; layouts are read when somebody asks. The
// zero value is ready. Safe for concurrent use.
type latest struct {
	mu     sync.Mutex
	cycles []lastCycle
}

type lastCycle struct {
	collector.Snapshot
	at time.Duration // by the keeper's elapsed
}

// keep takes a copy of the cycle in place of the layout's last one.
func (l *latest) keep(s collector.Snapshot, at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.cycles, func(c lastCycle) bool { return c.Cycle.Layout == s.Cycle.Layout })
	if i < 0 && len(l.cycles) < maxLatest {
		i = len(l.cycles)
		l.cycles = append(l.cycles, lastCycle{})
	} else if i < 0 { // the oldest gives way
		oldest := slices.MinFunc(l.cycles, byAge).at
		i = slices.IndexFunc(l.cycles, func(c lastCycle) bool { return c.at == oldest })
	}
	values := append(l.cycles[i].Cycle.Values[:0], s.Cycle.Values...)
	l.cycles[i] = lastCycle{s, at}
	l.cycles[i].Cycle.Values = values
}

func byAge(a, b lastCycle) int { return cmp.Compare(a.at, b.at) }

// forget drops everything: other collectors follow.
func (l *latest) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cycles = nil
}

// value is the last value of a series.
type value struct {
	sentinel.Series
	v    float64
	time time.Time
}

// values returns the last value of every series that has one, sorted by name. A
// layout that was followed by another one with any of its series is forgotten.
func (l *latest) values() []value {
	l.mu.Lock()
	defer l.mu.Unlock()
	sort.Slice(l.cycles, func(i, j int) bool { return l.cycles[i].at > l.cycles[j].at }) // slices' sorts cost 10 KB each of the agent's binary
	var out []value
	seen := map[string]bool{}
	l.cycles = slices.DeleteFunc(l.cycles, func(c lastCycle) bool {
		layout, err := wire.DecodeLayout(c.Layout, sentinel.DefaultLimits())
		if err != nil || slices.ContainsFunc(layout, func(s sentinel.Series) bool { return seen[s.String()] }) {
			return true
		}
		for i, s := range layout {
			seen[s.String()] = true
			if v := c.Cycle.Values[i]; !sentinel.IsAbsent(v) {
				out = append(out, value{s, v, c.Cycle.Time})
			}
		}
		return false
	})
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// writePrometheus writes the last values in Prometheus' text format, version 0.0.4:
// https://prometheus.io/docs/instrumenting/exposition_formats/. Times are left out,
// so that whoever scrapes sees a value for as long as it is the last one.
func (l *latest) writePrometheus(to io.Writer) {
	w := bufio.NewWriterSize(to, 4<<10) // an error of to stays in it, and nobody is left to be told
	var name string
	var line []byte
	for _, v := range l.values() {
		if v.Name != name {
			name = v.Name
			_, _ = w.WriteString("# TYPE " + name + " " + v.Kind.String() + "\n")
		}
		line = append(append(line[:0], v.String()...), ' ')
		_, _ = w.Write(append(strconv.AppendFloat(line, v.v, 'g', -1, 64), '\n'))
	}
	_ = w.Flush()
}
