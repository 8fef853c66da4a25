package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// stripPlace says where in strips values of wanted series stand: those of at[i] are
// element lo+hourMinutes*i and the fifty-nine after it.
type stripPlace struct {
	agent, layout int64
	part, lo, hi  int32
	at            []int32
}

// cutPlaces cuts a place at the ends of strips, and leaves out those without any
// wanted series.
func cutPlaces(out []stripPlace, p place) []stripPlace {
	for i := 0; i < len(p.at); {
		first := int(p.lo) - 1 + i // in the layout, from 0
		part := first / stripSeries
		next := min(len(p.at), i+(part+1)*stripSeries-first)
		at := p.at[i:next]
		for len(at) > 0 && at[0] < 0 {
			at, first = at[1:], first+1
		}
		for len(at) > 0 && at[len(at)-1] < 0 {
			at = at[:len(at)-1]
		}
		if len(at) > 0 {
			lo := int32(first%stripSeries)*hourMinutes + 1
			out = append(out, stripPlace{p.agent, p.layout, int32(part), lo, lo + int32(len(at))*hourMinutes - 1, at})
		}
		i = next
	}
	return out
}

// readStrips is read for a piece of which there are strips. What of them is not in the
// piece, or not wanted, is passed over here.
func (r *arrayReader) readStrips(ctx context.Context, p piece, agents [][]place) error {
	var flat []stripPlace
	for _, places := range agents {
		for _, pl := range places {
			flat = cutPlaces(flat, pl)
		}
	}
	ids, layouts := make([]int64, len(flat)), make([]int64, len(flat))
	parts, los, his := make([]int32, len(flat)), make([]int32, len(flat)), make([]int32, len(flat))
	for i, f := range flat {
		ids[i], layouts[i], parts[i], los[i], his[i] = f.agent, f.layout, f.part, f.lo, f.hi
	}
	columns := r.sink.columns(time.Minute)
	inner, sliced := "", ""
	for _, c := range columns {
		inner += ", " + c
		sliced += ", s." + c + "[m.lo:m.hi]"
	}
	from := p.from - mod(p.from, time.Hour.Milliseconds())
	rows, err := r.db.pool.Query(ctx, `SELECT m.n, s.ts, s.present`+sliced+`
		FROM unnest($1::int8[], $2::int8[], $3::int4[], $4::int4[], $5::int4[]) WITH ORDINALITY AS m(agent_id, layout_id, part, lo, hi, n)
		CROSS JOIN LATERAL (
			SELECT ts, present`+inner+` FROM strips_1m
			WHERE agent_id = m.agent_id AND layout_id = m.layout_id AND part = m.part AND ts >= $6 AND ts < $7
			ORDER BY ts OFFSET 0
		) s`, ids, layouts, parts, los, his, time.UnixMilli(from), time.UnixMilli(p.to))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		if len(raw[0]) != 8 || len(raw[1]) != 8 || len(raw[2]) != 8 {
			return errors.New("row of an unknown form")
		}
		n := int64(binary.BigEndian.Uint64(raw[0]))
		if n < 1 || n > int64(len(flat)) {
			return fmt.Errorf("row of strip %d of %d", n, len(flat))
		}
		arrays, err := open(columns, raw[3:])
		if err != nil {
			return err
		}
		if err := r.strip(p, flat[n-1].at, milliseconds64(raw[1]), binary.BigEndian.Uint64(raw[2]), arrays[:len(columns)]); err != nil {
			return err
		}
	}
	return rows.Err()
}

// strip hands on the wanted elements of one row.
func (r *arrayReader) strip(p piece, at []int32, hour int64, present uint64, arrays []array) error {
	const minute = int64(time.Minute / time.Millisecond)
	for i := range int64(hourMinutes) {
		start := hour + i*minute
		shown := start + minute - 1
		if start < p.from || start >= p.to || r.every > r.window && mod(shown-r.from, r.every) >= r.window {
			present &^= 1 << i
		}
	}
	for _, n := range at {
		for i := range int64(hourMinutes) {
			var e elements
			for c := range arrays {
				e[c] = arrays[c].next()
			}
			if n < 0 || present&(1<<i) == 0 {
				continue
			}
			if err := r.sink.add(time.Minute, hour+(i+1)*minute-1, n, e); err != nil {
				return err
			}
		}
	}
	return nil
}
