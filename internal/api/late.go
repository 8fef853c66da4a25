package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// Late is a stretch of a Graph in which an agent's data came late.
type Late struct {
	Agent   string    `json:"agent" doc:"As in the label of the agent's series"`
	From    time.Time `json:"from" doc:"By the samples' own time, in whole minutes; may lie before the first step"`
	To      time.Time `json:"to" doc:"Excluded; may lie after the last step"`
	NotedAt time.Time `json:"noted_at" doc:"When the last of it was there"`
}

// maxGraphLate is how many stretches a Graph has at most.
const maxGraphLate = 1000

// readLate returns what came late to the agents of the series.
func readLate(ctx context.Context, db *postgres.DB, series []postgres.FoundSeries, from, to time.Time, step time.Duration) ([]Late, error) {
	var agents []int64
	for _, s := range series {
		agents = append(agents, s.Agent.ID)
	}
	slices.Sort(agents)
	list, err := db.LateData(ctx, slices.Compact(agents), from, to)
	if err != nil {
		return nil, err
	}
	out := joinLate(list, step)
	for ; len(out) > maxGraphLate; step *= 2 {
		out = joinLate(list, step)
	}
	return out, nil
}

// joinLate makes one of the stretches of an agent between which no whole step lies.
func joinLate(list []postgres.LateData, step time.Duration) []Late {
	out := make([]Late, 0, len(list))
	last := make(map[string]int)
	for _, l := range list { // ascending by Since
		agent := string(l.Agent)
		if i, ok := last[agent]; ok && l.Since.Sub(out[i].To) < step {
			if l.Until.After(out[i].To) {
				out[i].To = l.Until.UTC()
			}
			if l.NotedAt.After(out[i].NotedAt) {
				out[i].NotedAt = l.NotedAt.UTC()
			}
			continue
		}
		last[agent] = len(out)
		out = append(out, Late{agent, l.Since.UTC(), l.Until.UTC(), l.NotedAt.UTC()})
	}
	slices.SortStableFunc(out, func(a, b Late) int { return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Agent, b.Agent)) })
	return out
}
