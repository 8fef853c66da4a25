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

const manySeries = 300

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
	// The index by series is asked once for each of them; for many, all layouts of
	// their agents are found sooner.
	sql, keys := `SELECT id, agent_id FROM layouts WHERE series_ids && $1 LIMIT $2`, ids
	if len(ids) > manySeries {
		sql, keys = `SELECT id, agent_id FROM layouts WHERE agent_id = ANY($1) LIMIT $2`, agentsOf(series)
	}
	rows, err := db.pool.Query(ctx, sql, keys, maxPlaces+1)
	if err != nil {
		return nil, failed("find layouts", err)
	}
	type row struct{ Layout, Agent int64 }
	layouts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return nil, failed("find layouts", err)
	}
	if len(layouts) > maxPlaces {
		return nil, sentinel.Errorf(sentinel.ResourceExhausted, "the series are in more than %d layouts: name fewer of them", maxPlaces)
	}
	wanted := make([]int64, len(layouts))
	for i, l := range layouts {
		wanted[i] = l.Layout
	}
	members, err := db.layoutMembers(ctx, wanted)
	if err != nil {
		return nil, err
	}
	byAgent := make(map[int64][]place)
	for _, l := range layouts {
		if p := newPlace(l.Agent, l.Layout, members[l.Layout], at); len(p.at) > 0 {
			byAgent[p.agent] = append(byAgent[p.agent], p)
		}
	}
	out := make([][]place, 0, len(byAgent))
	for _, places := range byAgent {
		out = append(out, places)
	}
	slices.SortFunc(out, func(a, b []place) int { return int(a[0].agent - b[0].agent) })
	return out, nil
}

func agentsOf(series []FoundSeries) []int64 {
	seen := make(map[int64]struct{})
	var ids []int64
	for _, s := range series {
		if !has(seen, s.Agent.ID) {
			seen[s.Agent.ID] = struct{}{}
			ids = append(ids, s.Agent.ID)
		}
	}
	return ids
}

// newPlace finds the wanted series, by their ids, among the members of a layout.
func newPlace(agent, layout int64, members []int64, at map[int64]int32) place {
	p := place{agent: agent, layout: layout}
	first, last := -1, -1
	for i, id := range members {
		if _, ok := at[id]; ok {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return p
	}
	p.lo = int32(first) + 1
	for _, id := range members[first : last+1] {
		k, ok := at[id]
		if !ok {
			k = -1
		}
		p.at = append(p.at, k)
	}
	return p
}

// maxCachedMembers bounds the cache of layoutMembers, at 8 bytes each.
const maxCachedMembers = 8 << 20

// layoutMembers returns the ids of the series of layouts, in their order. Layouts
// never change, so what was read once is kept.
func (db *DB) layoutMembers(ctx context.Context, ids []int64) (map[int64][]int64, error) {
	out := make(map[int64][]int64, len(ids))
	var missing []int64
	db.mu.Lock()
	for _, id := range ids {
		if m, ok := db.members[id]; ok {
			out[id] = m
		} else {
			missing = append(missing, id)
		}
	}
	db.mu.Unlock()
	if len(missing) == 0 {
		return out, nil
	}
	rows, err := db.pool.Query(ctx, `SELECT id, series_ids FROM layouts WHERE id = ANY($1)`, missing)
	if err != nil {
		return nil, failed("read layouts", err)
	}
	var id int64
	var members []int64
	read := make(map[int64][]int64, len(missing))
	_, err = pgx.ForEachRow(rows, []any{&id, &members}, func() error {
		read[id] = slices.Clone(members)
		return nil
	})
	if err != nil {
		return nil, failed("read layouts", err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	for id, m := range read {
		out[id] = m
		if db.memberCount > maxCachedMembers {
			clear(db.members)
			db.memberCount = 0
		}
		if _, ok := db.members[id]; !ok {
			db.members[id] = m
			db.memberCount += len(m)
		}
	}
	return out, nil
}
