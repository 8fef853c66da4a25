package alerts

import (
	"context"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// finePast is how far back windows are filled with every cycle; before that minutes do.
const finePast = time.Hour

// Past is what the database has, for those who judge.
type Past struct{ DB *postgres.DB }

// Cycles implements live.History.
func (p Past) Cycles(ctx context.Context, row int64, since time.Time, wanted func(sentinel.Series) bool) ([]live.StoredCycle, error) {
	now := time.Now()
	list, err := p.DB.Past(ctx, row, since, now.Add(-finePast), now.Add(time.Hour), wanted)
	if err != nil {
		return nil, err
	}
	out := make([]live.StoredCycle, len(list))
	for i, c := range list {
		out[i] = live.StoredCycle{Layout: c.Layout.Hash, Series: c.Layout.Series, Time: c.Time, Values: c.Whole()}
	}
	return out, nil
}

// Incidents implements live.History.
func (p Past) Incidents(ctx context.Context, agents []sentinel.AgentID) ([][]byte, error) {
	return p.DB.OpenIncidents(ctx, agents)
}

// Layout implements live.History.
func (p Past) Layout(ctx context.Context, row int64, h sentinel.LayoutHash) ([]byte, error) {
	_, definition, err := p.DB.Layout(ctx, row, h)
	return definition, err
}
