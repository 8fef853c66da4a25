package postgrestest

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Cycles reads every stored cycle of an agent, in the order of their times, row
// by row as they are: one that was stored twice comes twice.
func Cycles(ctx context.Context, url string, agent sentinel.AgentID) ([]sentinel.Cycle, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT s.ts, l.hash, s.vals
		FROM scrapes s
		JOIN layouts l ON l.id = s.layout_id
		JOIN agents a ON a.id = s.agent_id
		WHERE a.name = $1 ORDER BY s.ts`, agent)
	if err != nil {
		return nil, err
	}
	var at time.Time
	var hash []byte
	var vals []*float64
	var cycles []sentinel.Cycle
	_, err = pgx.ForEachRow(rows, []any{&at, &hash, &vals}, func() error {
		if len(hash) != len(sentinel.LayoutHash{}) {
			return fmt.Errorf("layout hash of %d bytes", len(hash))
		}
		c := sentinel.Cycle{Layout: sentinel.LayoutHash(hash), Time: at, Values: make([]float64, len(vals))}
		for i, v := range vals {
			c.Values[i] = sentinel.Absent()
			if v != nil {
				c.Values[i] = *v
			}
		}
		cycles = append(cycles, c)
		return nil
	})
	return cycles, err
}
