package server

import (
	"context"

	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// presence joins the gateway's reports to the database.
type presence struct {
	db   *postgres.DB
	keys *fleet.Keyring
}

// Report implements ingest.Presence.
func (p presence) Report(ctx context.Context, reports []ingest.Report) (map[sentinel.AgentID][]sentinel.Mark, error) {
	rows := make([]postgres.Report, 0, len(reports))
	names := make(map[int64]sentinel.AgentID, len(reports))
	for _, r := range reports {
		id, err := p.keys.ID(ctx, r.Agent)
		if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
			continue // removed since it connected; the others' reports count
		}
		if err != nil {
			return nil, err
		}
		row := postgres.Report{Agent: id, SeenAt: r.Time, Positions: r.Positions, Clock: &r.Clock}
		if r.Info != nil {
			row.Hostname = r.Info.GetHostname()
			info := agentInfo(r.Info)
			row.Info = &info
		}
		names[id] = r.Agent
		rows = append(rows, row)
	}
	if err := p.db.ReportPositions(ctx, rows); err != nil {
		return nil, err
	}
	marks := make(map[sentinel.AgentID][]sentinel.Mark, len(rows))
	for _, row := range rows {
		epochs := make([]sentinel.Epoch, 0, len(row.Positions))
		for _, pos := range row.Positions {
			epochs = append(epochs, pos.Epoch)
		}
		settled, err := p.db.Marks(ctx, row.Agent, epochs)
		if err != nil {
			return marks, err
		}
		marks[names[row.Agent]] = settled
	}
	return marks, nil
}
