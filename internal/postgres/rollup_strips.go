package postgres

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// stripsFor is how long minutes are kept as strips too: what pictures show mostly.
	stripsFor = 8 * 24 * time.Hour
	// stripSeries are beside each other in one row of strips_1m: so many that there are
	// no more rows than those of the minutes, so few that to unpack one costs little.
	stripSeries = 8
	// hourMinutes is how many elements of its arrays belong to one series.
	hourMinutes = 60
)

// strip is one hour of a layout's minutes, the minutes of each series beside each
// other: minute i of series k is element hourMinutes*k+i.
type strip struct {
	agg
	present uint64 // bit i: minute i has a row
}

func newStrip(series int) *strip { return &strip{agg: *newAgg(series * hourMinutes)} }

// add takes the row of one minute.
func (s *strip) add(minute int, in *agg) {
	s.present |= 1 << minute
	for k := range min(len(in.sums), len(s.sums)/hourMinutes) {
		at := hourMinutes*k + minute
		s.mins[at], s.maxs[at], s.sums[at], s.lasts[at], s.counts[at] = in.mins[k], in.maxs[k], in.sums[k], in.lasts[k], in.counts[k]
	}
}

// writeStrips stores the strips of those of order that have one.
func writeStrips(ctx context.Context, tx pgx.Tx, order []aggKey, strips map[aggKey]*strip) error {
	size := 0
	for _, s := range strips {
		size += 60 * len(s.sums)
	}
	out := newCopyBuffer(size)
	for _, k := range order {
		if s := strips[k]; s != nil {
			s.write(out, k)
		}
	}
	if out.rows == 0 {
		return nil
	}
	_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(out.finish()),
		`COPY strips_1m (ts, agent_id, layout_id, part, present, mins, maxs, sums, counts, lasts) FROM STDIN BINARY`)
	if err != nil {
		return fmt.Errorf("copy strips: %w", err)
	}
	return nil
}

func (s *strip) write(c *copyBuffer, k aggKey) {
	const most = stripSeries * hourMinutes
	for from := 0; from < len(s.sums); from += most {
		to := min(from+most, len(s.sums))
		c.row(10)
		c.int8(k.start - postgresEpoch)
		c.int8(k.agent)
		c.int8(k.layout)
		c.int4(int32(from / most))
		c.int8(int64(s.present))
		c.floats(s.mins[from:to])
		c.floats(s.maxs[from:to])
		c.floats(s.sums[from:to])
		c.ints(s.counts[from:to])
		c.floats(s.lasts[from:to])
	}
}

// tables are those that a tier's buckets are in.
func (t tier) tables() []string {
	if t.step == time.Hour {
		return []string{t.table.name, stripTable().name}
	}
	return []string{t.table.name}
}
