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
	// add takes what one row has of the wanted series n: an element of each column, nil
	// where it is NULL. ts is where in time the row is shown.
	add(tier time.Duration, ts int64, n int32, e elements) error
}

// elements are those of one position, as the database sends them, in columns' order.
type elements [4][]byte

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
				read := r.read
				if p.strips {
					read = r.readStrips
				}
				if err := read(ctx, p, part); err != nil {
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
//
// Where only one series of each layout is wanted, all its values come as one row: of
// many small rows the protocol costs as much as the reading.
func (r *arrayReader) read(ctx context.Context, p piece, agents [][]place) error {
	table := map[time.Duration]string{0: "scrapes", time.Minute: "scrapes_1m", time.Hour: "scrapes_1h"}[p.tier]
	columns := r.sink.columns(p.tier)
	var ids, layouts []int64
	var los, his []int32
	var flat []place
	alone := true
	for _, places := range agents {
		ids = append(ids, places[0].agent)
		for _, pl := range places {
			flat = append(flat, pl)
			layouts, los, his = append(layouts, pl.layout), append(los, pl.lo), append(his, pl.lo+int32(len(pl.at))-1)
			alone = alone && len(pl.at) == 1
		}
	}
	inner, sliced, gathered := "", "", ""
	for _, c := range columns {
		inner += ", " + c
		sliced += ", s." + c + "[m.lo:m.hi]"
		gathered += ", array_agg(s." + c + "[m.lo])"
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
	what, group := `m.n, s.ts`+sliced, ``
	if alone {
		what, group = `m.n, array_agg(s.ts)`+gathered, ` GROUP BY m.n`
	}
	rows, err := r.db.pool.Query(ctx, `SELECT `+what+`
		FROM unnest($1::int8[]) AS a(agent_id)
		CROSS JOIN LATERAL (
			SELECT ts, layout_id`+inner+` FROM `+table+`
			WHERE agent_id = a.agent_id AND ts >= $2 AND ts < $3`+sparse+`
			ORDER BY ts OFFSET 0
		) s
		JOIN unnest($4::int8[], $5::int4[], $6::int4[]) WITH ORDINALITY AS m(layout_id, lo, hi, n) ON m.layout_id = s.layout_id`+group, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		if len(raw[0]) != 8 {
			return errors.New("row of an unknown form")
		}
		n := int64(binary.BigEndian.Uint64(raw[0]))
		if n < 1 || n > int64(len(flat)) {
			return fmt.Errorf("row of layout %d of %d", n, len(flat))
		}
		parts, err := open(columns, raw[2:])
		if err != nil {
			return err
		}
		if alone {
			err = r.gathered(p.tier, shown, flat[n-1].at[0], raw[1], parts[:len(columns)])
		} else {
			err = r.row(p.tier, shown, flat[n-1].at, raw[1], parts[:len(columns)])
		}
		if err != nil {
			return err
		}
	}
	return rows.Err()
}

// open begins to read one array of each column.
func open(columns []string, raw [][]byte) (parts [4]array, err error) {
	for i, c := range columns {
		oid, size := uint32(oidFloat8), 8
		if c == "counts" {
			oid, size = oidInt4, 4
		}
		if parts[i], err = readArray(raw[i], oid, size); err != nil {
			return parts, err
		}
	}
	return parts, nil
}

// row hands on the wanted elements of one row.
func (r *arrayReader) row(tier time.Duration, shown int64, at []int32, ts []byte, parts []array) error {
	if len(ts) != 8 {
		return errors.New("row of an unknown form")
	}
	when := milliseconds64(ts) + shown
	for _, n := range at {
		var e elements
		for c := range parts {
			e[c] = parts[c].next()
		}
		if n < 0 {
			continue
		}
		if err := r.sink.add(tier, when, n, e); err != nil {
			return err
		}
	}
	return nil
}

// gathered hands on the elements of many rows, all of series n.
func (r *arrayReader) gathered(tier time.Duration, shown int64, n int32, ts []byte, parts []array) error {
	times, err := readArray(ts, oidTimestamptz, 8)
	if err != nil {
		return err
	}
	for t := times.next(); t != nil; t = times.next() {
		var e elements
		for c := range parts {
			e[c] = parts[c].next()
		}
		if err := r.sink.add(tier, milliseconds64(t)+shown, n, e); err != nil {
			return err
		}
	}
	return nil
}

// milliseconds64 reads a timestamptz as milliseconds since 1970.
func milliseconds64(raw []byte) int64 {
	return (int64(binary.BigEndian.Uint64(raw)) + postgresEpoch) / 1000
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
