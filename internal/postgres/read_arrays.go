package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// sink takes what is read of rows. Rows of one agent come one after the other, those
// of several agents at the same time.
type sink interface {
	// columns names the arrays of a tier's rows that are wanted.
	columns(tier time.Duration) []string
	// row takes the parts of a row's arrays that hold at; ts is where in time the row
	// is shown.
	row(tier time.Duration, ts int64, at []int32, raw [][]byte) error
}

// arrayReader reads parts of the rows of many layouts into a sink.
type arrayReader struct {
	db            *DB
	sink          sink
	from, to      int64 // milliseconds, ends included
	tier          time.Duration
	every, window int64 // as in SampleRead
}

// readers is how many connections one read may use at once.
const readers = 2

func (r *arrayReader) run(ctx context.Context, places [][]place) error {
	st, err := (&roller{db: r.db}).state(ctx, r.db.pool)
	if err != nil {
		return err
	}
	pieces := plan(st, r.from, r.to, r.tier)
	group, ctx := errgroup.WithContext(ctx)
	for part := range slices.Chunk(places, (len(places)+readers-1)/readers) {
		group.Go(func() error {
			for _, p := range pieces {
				if err := r.read(ctx, p, part); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// read reads one piece of the series of some agents. The inner select is fenced
// (OFFSET 0) so that each agent's rows come from the index, in their order. A slice
// is one step for the database, which would unpack the array again for each element.
func (r *arrayReader) read(ctx context.Context, p piece, agents [][]place) error {
	table := map[time.Duration]string{0: "scrapes", time.Minute: "scrapes_1m", time.Hour: "scrapes_1h"}[p.tier]
	var ids, layouts []int64
	var los, his []int32
	var flat []place
	for _, places := range agents {
		ids = append(ids, places[0].agent)
		for _, pl := range places {
			flat = append(flat, pl)
			layouts, los, his = append(layouts, pl.layout), append(los, pl.lo), append(his, pl.lo+int32(len(pl.at))-1)
		}
	}
	inner, outer := "", ""
	for _, c := range r.sink.columns(p.tier) {
		inner += ", " + c
		outer += ", s." + c + "[m.lo:m.hi]"
	}
	args := []any{ids, time.UnixMilli(p.from), time.UnixMilli(p.to), layouts, los, his}
	sparse := ""
	shown := max(0, p.tier.Milliseconds()-1) // where in its bucket a value is shown
	if starts := r.starts(p, shown); len(starts) > 0 {
		sparse = ` AND ts = ANY($7::timestamptz[])`
		args = append(args, starts)
	} else if r.every > r.window {
		sparse = ` AND ts - date_bin($7::interval, ts, $8) < $9::interval`
		args = append(args, time.Duration(r.every)*time.Millisecond, time.UnixMilli(r.from-shown), time.Duration(r.window)*time.Millisecond)
	}
	rows, err := r.db.pool.Query(ctx, `SELECT m.n, s.ts`+outer+`
		FROM unnest($1::int8[]) AS a(agent_id)
		CROSS JOIN LATERAL (
			SELECT ts, layout_id`+inner+` FROM `+table+`
			WHERE agent_id = a.agent_id AND ts >= $2 AND ts < $3`+sparse+`
			ORDER BY ts OFFSET 0
		) s
		JOIN unnest($4::int8[], $5::int4[], $6::int4[]) WITH ORDINALITY AS m(layout_id, lo, hi, n) ON m.layout_id = s.layout_id`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		if len(raw[0]) != 8 || len(raw[1]) != 8 {
			return errors.New("row of an unknown form")
		}
		n := int64(binary.BigEndian.Uint64(raw[0]))
		if n < 1 || n > int64(len(flat)) {
			return fmt.Errorf("row of layout %d of %d", n, len(flat))
		}
		ts := (int64(binary.BigEndian.Uint64(raw[1]))+postgresEpoch)/1000 + shown
		if err := r.sink.row(p.tier, ts, flat[n-1].at, raw[2:]); err != nil {
			return err
		}
	}
	return rows.Err()
}

// maxStarts bounds the buckets of a sparse read that are named one by one.
const maxStarts = 5000

// starts names the buckets of a piece that a sparse read wants, so that the index finds
// them; or none, where they are too many, or samples.
func (r *arrayReader) starts(p piece, shown int64) []time.Time {
	ms := p.tier.Milliseconds()
	if ms == 0 || r.every <= r.window || (p.to-p.from)/r.every*(r.window/ms+1) > maxStarts {
		return nil
	}
	var out []time.Time
	for start := p.from; start < p.to; start += ms {
		if mod(start+shown-r.from, r.every) < r.window {
			out = append(out, time.UnixMilli(start))
		}
	}
	return out
}

// array walks the elements of a one-dimensional array as array_send writes it.
type array struct {
	raw  []byte
	size int
}

func readArray(raw []byte, oid uint32, size int) (array, error) {
	if len(raw) < 12 || binary.BigEndian.Uint32(raw[8:]) != oid {
		return array{}, errors.New("not an array of the expected type")
	}
	if binary.BigEndian.Uint32(raw) == 0 || len(raw) < 20 {
		return array{}, nil
	}
	return array{raw[20:], size}, nil
}

// next returns the next element, or nil for NULL and past the end.
func (a *array) next() []byte {
	if len(a.raw) < 4 {
		return nil
	}
	length := int(int32(binary.BigEndian.Uint32(a.raw)))
	a.raw = a.raw[4:]
	if length != a.size || len(a.raw) < length {
		return nil
	}
	e := a.raw[:length]
	a.raw = a.raw[length:]
	return e
}
