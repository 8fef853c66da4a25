package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// place says where in the rows of one layout values of wanted series stand:
// position lo+i belongs to series at[i], or to none where that is -1. Positions
// count from 1, as the database does.
type place struct {
	agent, layout int64
	lo            int32
	at            []int32
}

// maxPlaces bounds the layouts that one read looks into: an agent that changes its
// series all the time has thousands.
const maxPlaces = 100_000

// places finds the layouts that hold the series, those of an agent together.
func (db *DB) places(ctx context.Context, series []FoundSeries) ([][]place, error) {
	if len(series) == 0 {
		return nil, nil
	}
	at := make(map[int64]int32, len(series))
	ids := make([]int64, len(series))
	for i, s := range series {
		at[s.ID], ids[i] = int32(i), s.ID
	}
	rows, err := db.pool.Query(ctx, `SELECT id, agent_id, series_ids FROM layouts WHERE series_ids && $1 LIMIT $2`, ids, maxPlaces+1)
	if err != nil {
		return nil, failed("find layouts", err)
	}
	byAgent := make(map[int64][]place)
	n := 0
	var p place
	var members []int64
	_, err = pgx.ForEachRow(rows, []any{&p.layout, &p.agent, &members}, func() error {
		if n++; n > maxPlaces {
			return sentinel.Errorf(sentinel.ResourceExhausted, "the series are in more than %d layouts: name fewer of them", maxPlaces)
		}
		lo, hi := 0, 0
		for i, id := range members {
			if _, ok := at[id]; ok {
				if lo == 0 {
					lo = i + 1
				}
				hi = i + 1
			}
		}
		if lo == 0 {
			return nil
		}
		p.lo, p.at = int32(lo), make([]int32, hi-lo+1)
		for i, id := range members[lo-1 : hi] {
			if k, ok := at[id]; ok {
				p.at[i] = k
			} else {
				p.at[i] = -1
			}
		}
		byAgent[p.agent] = append(byAgent[p.agent], p)
		return nil
	})
	if err != nil {
		return nil, failed("find layouts", err)
	}
	out := make([][]place, 0, len(byAgent))
	for _, places := range byAgent {
		out = append(out, places)
	}
	slices.SortFunc(out, func(a, b []place) int { return int(a[0].agent - b[0].agent) })
	return out, nil
}
