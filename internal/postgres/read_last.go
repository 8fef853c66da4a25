package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// LastValue is the newest value of a series; its time is zero where there is none.
type LastValue struct {
	Time  time.Time
	Value float64
}

// ReadLast returns the newest value of each series within [from, to), in the order
// of the request, of the newest cycle of each layout alone: a series that the cycle
// has no value for has none.
func (db *DB) ReadLast(ctx context.Context, series []FoundSeries, from, to time.Time) ([]LastValue, error) {
	out := make([]LastValue, len(series))
	places, err := db.places(ctx, series)
	if err != nil || len(places) == 0 {
		return out, err
	}
	group, ctx := errgroup.WithContext(ctx)
	for part := range slices.Chunk(places, (len(places)+readers-1)/readers) {
		group.Go(func() error { return db.readLast(ctx, slices.Concat(part...), from, to, out) })
	}
	return out, failed("read last values", group.Wait())
}

func (db *DB) readLast(ctx context.Context, places []place, from, to time.Time, out []LastValue) error {
	agents, layouts := make([]int64, len(places)), make([]int64, len(places))
	los, his := make([]int32, len(places)), make([]int32, len(places))
	for i, p := range places {
		agents[i], layouts[i], los[i], his[i] = p.agent, p.layout, p.lo, p.lo+int32(len(p.at))-1
	}
	rows, err := db.pool.Query(ctx, `SELECT m.n, s.ts, s.vals[m.lo:m.hi]
		FROM unnest($1::int8[], $2::int8[], $3::int4[], $4::int4[]) WITH ORDINALITY AS m(agent_id, layout_id, lo, hi, n)
		CROSS JOIN LATERAL (
			SELECT ts, vals FROM scrapes
			WHERE agent_id = m.agent_id AND layout_id = m.layout_id AND ts >= $5 AND ts < $6
			ORDER BY ts DESC LIMIT 1
		) s`, agents, layouts, los, his, from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		if len(raw[0]) != 8 || len(raw[1]) != 8 {
			return errors.New("row of an unknown form")
		}
		p := places[binary.BigEndian.Uint64(raw[0])-1]
		ts := time.UnixMicro(int64(binary.BigEndian.Uint64(raw[1])) + postgresEpoch).UTC()
		vals, err := readArray(raw[2], oidFloat8, 8)
		if err != nil {
			return err
		}
		for _, n := range p.at {
			if e := vals.next(); n >= 0 && e != nil && out[n].Time.Before(ts) {
				out[n] = LastValue{ts, number(e)}
			}
		}
	}
	return rows.Err()
}
