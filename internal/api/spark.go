package api

import (
	"context"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// hostSeries knows which series have the values of each host that the fleet's page
// shows. They hardly ever change, and lie far apart in the database.
type hostSeries struct {
	mu    sync.Mutex // held while series are found, so that many who ask find once
	known map[int64]knownSeries
}

type knownSeries struct {
	series []postgres.FoundSeries
	until  time.Time
}

const (
	seriesKept     = 10 * time.Minute
	someSeriesKept = time.Minute     // of a host that lacks some
	noSeriesKept   = 5 * time.Second // of one that has none: it may have just begun
	maxNamedAgents = 200
)

// spread returns how much longer than others what is known of a host is kept, so that
// what was read in one go is not read anew in one go.
func spread(agent int64) time.Duration { return time.Duration(agent%60) * 5 * time.Second }

// of returns the series of hosts; at says which host an agent's row is.
func (h *hostSeries) of(ctx context.Context, db *postgres.DB, hosts []FleetHost, at map[int64]int, now time.Time) ([]postgres.FoundSeries, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.known) > 2*maxFleet {
		clear(h.known)
	}
	var names []string
	var missing []int64
	for id, i := range at {
		if k, ok := h.known[id]; !ok || now.After(k.until) {
			missing, names = append(missing, id), append(names, hosts[i].ID)
		}
	}
	if len(missing) > 0 {
		match := []postgres.SeriesMatch{{Field: postgres.FieldName, Values: fleetMetrics()}}
		if len(names) <= maxNamedAgents {
			match = append(match, postgres.SeriesMatch{Field: postgres.FieldAgent, Values: names})
		}
		found, err := db.FindSeries(ctx, match, maxFleet*10)
		if err != nil {
			return nil, err
		}
		byAgent := make(map[int64][]postgres.FoundSeries)
		for _, s := range found {
			if len(s.Labels) == 0 { // a scraped target may call its own so
				byAgent[s.Agent.ID] = append(byAgent[s.Agent.ID], s)
			}
		}
		for _, id := range missing {
			k := knownSeries{byAgent[id], now.Add(seriesKept + spread(id))}
			switch {
			case len(k.series) == 0:
				k.until = now.Add(noSeriesKept)
			case len(k.series) < len(fleetMetrics()):
				k.until = now.Add(someSeriesKept)
			}
			h.known[id] = k
		}
	}
	var out []postgres.FoundSeries
	for id := range at {
		out = append(out, h.known[id].series...)
	}
	return out, nil
}

// sparks keeps the small lines of the fleet's page: from one question to the next
// they grow by a step at most, and reading an hour of a large fleet anew each time
// would be most of the work. What arrives late shows after sparkKept and some more.
type sparks struct {
	mu    sync.Mutex // held while lines are read, so that many who ask read once
	lines map[int64]sparkLine
}

// sparkLine is one host's. Its values are never changed, since answers hold them.
type sparkLine struct {
	values []*float64 // nil where the host never said anything
	end    time.Time  // of the last step
	read   time.Time  // when all of it was read
}

const sparkKept = 15 * time.Minute

// until returns the line of each series up to end, nil where there is nothing.
func (s *sparks) until(ctx context.Context, db *postgres.DB, series []postgres.FoundSeries, end, now time.Time) ([][]*float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) > 2*maxFleet {
		clear(s.lines) // of hosts that are long gone, most of them
	}
	missing := make(map[int][]postgres.FoundSeries) // by how many steps
	for _, one := range series {
		l, known := s.lines[one.Agent.ID]
		n := int(end.Sub(l.end) / sparkStep)
		if !known || n < 0 || n > sparkSteps || now.Sub(l.read) > sparkKept+spread(one.Agent.ID) || now.Before(l.read) {
			n = sparkSteps
		}
		if n > 0 {
			missing[n] = append(missing[n], one)
		}
	}
	for n, some := range missing {
		if err := s.read(ctx, db, some, end, n, now); err != nil {
			return nil, err
		}
	}
	out := make([][]*float64, len(series))
	for i, one := range series {
		out[i] = s.lines[one.Agent.ID].values
	}
	return out, nil
}

// read appends the last n steps to the lines of some hosts. One value of each step is
// enough for a line as high as a letter.
func (s *sparks) read(ctx context.Context, db *postgres.DB, series []postgres.FoundSeries, end time.Time, n int, now time.Time) error {
	step, window := sparkStep.Milliseconds(), time.Minute.Milliseconds()
	first := end.UnixMilli() - int64(n-1)*step
	read, err := db.ReadSamples(ctx, postgres.SampleRead{Series: series, From: first - window + 1, To: end.UnixMilli(), Every: step, Window: window,
		Tier: time.Minute, Column: postgres.ColumnLast, MaxSamples: maxFleet * 100})
	if err != nil {
		return err
	}
	for i, one := range series {
		old := s.lines[one.Agent.ID]
		fresh := sparkLine{end: end, read: old.read}
		if n == sparkSteps {
			fresh.read, old.values = now, nil
		}
		line := make([]*float64, sparkSteps)
		if old.values != nil {
			copy(line, old.values[n:])
		}
		some := old.values != nil
		for k, t := range read[i].Times {
			if j := sparkSteps - n + int((t-first+step-1)/step); j >= 0 && j < sparkSteps && !sentinel.IsAbsent(read[i].Values[k]) {
				line[j], some = &read[i].Values[k], true
			}
		}
		if some {
			fresh.values = line
		}
		s.lines[one.Agent.ID] = fresh
	}
	return nil
}
