package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// PastCycle is a cycle of which some values were asked for; the others are absent. A
// row of the minutes stands for the minute's last values.
type PastCycle struct {
	Layout sentinel.LayoutHash
	Series sentinel.Layout // shared between the cycles of a layout
	Time   time.Time
	Values []float64
}

// maxPastLayouts bounds the layouts of an agent that are looked at: the newest.
const maxPastLayouts = 500

// Past returns an agent's cycles from since up to to, ascending, with the values of
// the series that are wanted: every cycle from fine on, and before that one for each
// minute, where it is rolled up.
func (db *DB) Past(ctx context.Context, agent int64, since, fine, to time.Time, wanted func(sentinel.Series) bool) ([]PastCycle, error) {
	layouts, err := db.agentLayouts(ctx, agent)
	if err != nil {
		return nil, failed("read the past", err)
	}
	ids := make([]int64, 0, len(layouts))
	for id := range layouts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	series, err := db.layoutSeries(ctx, ids)
	if err != nil {
		return nil, err
	}
	if fine = fine.Truncate(time.Minute); fine.Before(since) {
		fine = since
	}
	var out []PastCycle
	for _, id := range ids {
		p := pastRead{hash: layouts[id]}
		for i, s := range series[id] {
			p.layout = append(p.layout, s.Series)
			if wanted(s.Series) {
				p.at = append(p.at, int32(i+1))
			}
		}
		if len(p.at) == 0 {
			continue
		}
		if since.Before(fine) {
			if err := p.read(ctx, db, `SELECT ts + INTERVAL '59 seconds', `+picked("lasts")+` FROM scrapes_1m
				WHERE agent_id = $1 AND layout_id = $2 AND ts >= $3 AND ts < $4 ORDER BY ts`, agent, id, since, fine); err != nil {
				return nil, failed("read the past", err)
			}
		}
		if err := p.read(ctx, db, `SELECT ts, `+picked("vals")+` FROM scrapes
			WHERE agent_id = $1 AND layout_id = $2 AND ts >= $3 AND ts < $4 ORDER BY ts`, agent, id, fine, to); err != nil {
			return nil, failed("read the past", err)
		}
		out = append(out, p.cycles...)
	}
	slices.SortStableFunc(out, func(a, b PastCycle) int { return a.Time.Compare(b.Time) })
	return out, nil
}

// picked selects the values at the positions of $5.
func picked(column string) string {
	return `ARRAY(SELECT ` + column + `[u.i] FROM unnest($5::int4[]) WITH ORDINALITY AS u(i, o) ORDER BY u.o)`
}

func (db *DB) agentLayouts(ctx context.Context, agent int64) (map[int64]sentinel.LayoutHash, error) {
	rows, err := db.pool.Query(ctx, `SELECT id, hash FROM layouts WHERE agent_id = $1 ORDER BY id DESC LIMIT $2`, agent, maxPastLayouts)
	if err != nil {
		return nil, err
	}
	out := map[int64]sentinel.LayoutHash{}
	var id int64
	var hash []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &hash}, func() error {
		if len(hash) == len(sentinel.LayoutHash{}) {
			out[id] = sentinel.LayoutHash(hash)
		}
		return nil
	})
	return out, err
}

// pastRead reads the cycles of one layout.
type pastRead struct {
	hash   sentinel.LayoutHash
	layout sentinel.Layout
	at     []int32 // positions, from 1 on
	cycles []PastCycle
}

func (p *pastRead) read(ctx context.Context, db *DB, sql string, agent, layout int64, from, to time.Time) error {
	rows, err := db.pool.Query(ctx, sql, agent, layout, from, to, p.at)
	if err != nil {
		return err
	}
	var ts time.Time
	var vals []*float64
	_, err = pgx.ForEachRow(rows, []any{&ts, &vals}, func() error {
		c := PastCycle{Layout: p.hash, Series: p.layout, Time: ts.UTC(), Values: make([]float64, len(p.layout))}
		for i := range c.Values {
			c.Values[i] = sentinel.Absent()
		}
		for i, at := range p.at {
			if i < len(vals) && vals[i] != nil {
				c.Values[at-1] = *vals[i]
			}
		}
		p.cycles = append(p.cycles, c)
		return nil
	})
	return err
}

// FleetMember is an agent that is not disabled, with its keys that are not revoked.
type FleetMember struct {
	ID       int64
	Name     sentinel.AgentID
	Hostname string
	Labels   []sentinel.Label
	Keys     []AgentKey
}

// FleetMembers returns all agents that are not disabled, by their names.
func (db *DB) FleetMembers(ctx context.Context) (list []FleetMember, err error) {
	err = pgx.BeginTxFunc(ctx, db.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id, name, hostname, labels FROM agents WHERE disabled_at IS NULL ORDER BY name`)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m FleetMember, err error) {
			var labels []byte
			if err = row.Scan(&m.ID, &m.Name, &m.Hostname, &labels); err == nil {
				m.Labels, err = parseLabels(labels)
			}
			return m, err
		})
		if err != nil {
			return err
		}
		at := make(map[int64]int, len(list))
		for i, m := range list {
			at[m.ID] = i
		}
		if rows, err = tx.Query(ctx, `SELECT agent_id, key_id, secret, expires_at FROM agent_keys WHERE state <> 'revoked' ORDER BY agent_id, key_id`); err != nil {
			return err
		}
		var k AgentKey
		var expires *time.Time
		_, err = pgx.ForEachRow(rows, []any{&k.Agent, &k.KeyID, &k.Secret, &expires}, func() error {
			if i, ok := at[k.Agent]; ok {
				k.ExpiresAt = orZero(expires)
				one := k
				one.Secret = slices.Clone(k.Secret)
				list[i].Keys = append(list[i].Keys, one)
			}
			return nil
		})
		return err
	})
	return list, failed("read the fleet", err)
}
