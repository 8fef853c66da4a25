package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// The sub-select with its fence (OFFSET 0) makes the planner probe the index for
// each span; a join it could turn into a scan of the whole day. The outer bounds
// say at once which partitions are out of question.
const (
	readRaw = `SELECT d.agent_id, s.ts, s.layout_id, s.vals
		FROM unnest($1::int8[], $2::timestamptz[], $3::timestamptz[]) AS d(agent_id, lo, hi)
		CROSS JOIN LATERAL (
			SELECT ts, layout_id, vals FROM scrapes
			WHERE agent_id = d.agent_id AND ts >= d.lo AND ts < d.hi AND ts >= $4 AND ts < $5
			ORDER BY ts OFFSET 0
		) s`
	readMinutes = `SELECT d.agent_id, s.ts, s.layout_id, s.mins, s.maxs, s.sums, s.counts, s.lasts
		FROM unnest($1::int8[], $2::timestamptz[], $3::timestamptz[]) AS d(agent_id, lo, hi)
		CROSS JOIN LATERAL (
			SELECT ts, layout_id, mins, maxs, sums, counts, lasts FROM scrapes_1m
			WHERE agent_id = d.agent_id AND ts >= d.lo AND ts < d.hi AND ts >= $4 AND ts < $5
			ORDER BY ts OFFSET 0
		) s`
)

// make builds and writes the roll-ups of spans, which must not exist. The sums
// are done here and not in SQL: unnesting and regrouping 100,000 values a second
// costs the database a core, adding them up costs nothing.
func (r *roller) make(ctx context.Context, tx pgx.Tx, t tier, spans []span) (rows int, err error) {
	for len(spans) > 0 {
		n, buckets := 0, 0
		for n < len(spans) && (n == 0 || buckets < t.most) {
			buckets += int(spans[n].to.Sub(spans[n].from) / t.step)
			n++
		}
		m, err := r.makeChunk(ctx, tx, t, spans[:n])
		if err != nil {
			return rows, err
		}
		rows += m
		spans = spans[n:]
	}
	return rows, nil
}

func (r *roller) makeChunk(ctx context.Context, tx pgx.Tx, t tier, spans []span) (int, error) {
	agents, from, to := make([]int64, len(spans)), make([]time.Time, len(spans)), make([]time.Time, len(spans))
	lo, hi := spans[0].from, spans[0].to
	for i, s := range spans {
		agents[i], from[i], to[i] = s.agent, s.from, s.to
		if s.from.Before(lo) {
			lo = s.from
		}
		if s.to.After(hi) {
			hi = s.to
		}
	}
	rows, err := tx.Query(ctx, t.source, agents, from, to, lo, hi)
	if err != nil {
		return 0, fmt.Errorf("read for the %s roll-up: %w", t.name, err)
	}
	defer rows.Close()
	aggs, strips := make(map[aggKey]*agg), make(map[aggKey]*strip)
	var order []aggKey
	var in agg
	for rows.Next() {
		raw := rows.RawValues()
		for i, f := range rows.FieldDescriptions() {
			if f.Format != pgx.BinaryFormatCode || raw[i] == nil {
				return 0, fmt.Errorf("column %s came as text or NULL", f.Name)
			}
		}
		ts := int64(binary.BigEndian.Uint64(raw[1])) + postgresEpoch
		k := aggKey{
			agent:  int64(binary.BigEndian.Uint64(raw[0])),
			layout: int64(binary.BigEndian.Uint64(raw[2])),
			start:  ts - mod(ts, t.step.Microseconds()),
		}
		if err := in.read(raw[3:]); err != nil {
			return 0, fmt.Errorf("read for the %s roll-up: %w", t.name, err)
		}
		a := aggs[k]
		if a == nil {
			a = newAgg(len(in.sums))
			aggs[k] = a
			order = append(order, k)
			if t.step == time.Hour && k.start >= r.stripsFrom.UnixMicro() {
				strips[k] = newStrip(len(in.sums))
			}
		}
		a.merge(&in)
		if s := strips[k]; s != nil {
			s.add(int((ts-k.start)/time.Minute.Microseconds()), &in)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("read for the %s roll-up: %w", t.name, err)
	}
	if len(order) == 0 {
		return 0, nil
	}
	out := newCopyBuffer(len(order) * (60*len(in.sums) + 200))
	for _, k := range order {
		aggs[k].write(out, k)
	}
	_, err = tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(out.finish()),
		`COPY `+t.table.name+` (ts, agent_id, layout_id, mins, maxs, sums, counts, lasts) FROM STDIN BINARY`)
	if err != nil {
		return 0, fmt.Errorf("copy the %s roll-up: %w", t.name, err)
	}
	return len(order), writeStrips(ctx, tx, order, strips)
}

type aggKey struct {
	agent, layout int64
	start         int64 // microseconds since 1970
}

// mod is the remainder that is never negative.
func mod(a, b int64) int64 { return (a%b + b) % b }

// agg is one roll-up row: for each series of the layout its least, greatest and
// last value, their sum and how many there were. Without any they are absent.
type agg struct {
	mins, maxs, sums, lasts []float64
	counts                  []int32
}

func newAgg(n int) *agg {
	a := &agg{make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]int32, n)}
	for i := range n {
		a.mins[i], a.maxs[i], a.sums[i], a.lasts[i] = sentinel.Absent(), sentinel.Absent(), sentinel.Absent(), sentinel.Absent()
	}
	return a
}

// read takes the arrays of a source row: the values alone of a scrape, all five
// of a roll-up.
func (a *agg) read(raw [][]byte) (err error) {
	if len(raw) == 1 {
		if a.sums, err = decodeFloats(raw[0], a.sums); err != nil {
			return err
		}
		a.mins, a.maxs, a.lasts = a.sums, a.sums, a.sums
		a.counts = a.counts[:0]
		for _, v := range a.sums {
			n := int32(1)
			if sentinel.IsAbsent(v) {
				n = 0
			}
			a.counts = append(a.counts, n)
		}
		return nil
	}
	for i, dst := range []*[]float64{&a.mins, &a.maxs, &a.sums} {
		if *dst, err = decodeFloats(raw[i], *dst); err != nil {
			return err
		}
	}
	if a.counts, err = decodeInts(raw[3], a.counts); err != nil {
		return err
	}
	a.lasts, err = decodeFloats(raw[4], a.lasts)
	if n := len(a.sums); err == nil && (len(a.mins) != n || len(a.maxs) != n || len(a.counts) != n || len(a.lasts) != n) {
		err = errors.New("arrays of different length in one row")
	}
	return err
}

// merge adds a later row.
func (a *agg) merge(in *agg) {
	for i := range min(len(a.sums), len(in.sums)) {
		switch {
		case in.counts[i] == 0:
		case a.counts[i] == 0:
			a.mins[i], a.maxs[i], a.sums[i], a.lasts[i], a.counts[i] = in.mins[i], in.maxs[i], in.sums[i], in.lasts[i], in.counts[i]
		default:
			a.mins[i] = min(a.mins[i], in.mins[i])
			a.maxs[i] = max(a.maxs[i], in.maxs[i])
			// A sum may overflow where no value does; it is then absent, like every
			// number that is not finite.
			a.sums[i] += in.sums[i]
			a.lasts[i] = in.lasts[i]
			a.counts[i] += in.counts[i]
		}
	}
}

func (a *agg) write(c *copyBuffer, k aggKey) {
	c.row(8)
	c.int8(k.start - postgresEpoch)
	c.int8(k.agent)
	c.int8(k.layout)
	c.floats(a.mins)
	c.floats(a.maxs)
	c.floats(a.sums)
	c.ints(a.counts)
	c.floats(a.lasts)
}

// decodeFloats reads a float8[] in binary into dst, NULL as absent.
func decodeFloats(raw []byte, dst []float64) ([]float64, error) {
	dst = dst[:0]
	err := eachElement(raw, oidFloat8, 8, func(e []byte) {
		if e == nil {
			dst = append(dst, sentinel.Absent())
		} else {
			dst = append(dst, math.Float64frombits(binary.BigEndian.Uint64(e)))
		}
	})
	return dst, err
}

// decodeInts reads an int4[] in binary into dst, NULL as 0.
func decodeInts(raw []byte, dst []int32) ([]int32, error) {
	dst = dst[:0]
	err := eachElement(raw, oidInt4, 4, func(e []byte) {
		if e == nil {
			dst = append(dst, 0)
		} else {
			dst = append(dst, int32(binary.BigEndian.Uint32(e)))
		}
	})
	return dst, err
}

// eachElement walks a one-dimensional array as array_send writes it.
func eachElement(raw []byte, oid uint32, size int, yield func([]byte)) error {
	if len(raw) < 12 || binary.BigEndian.Uint32(raw[8:]) != oid {
		return errors.New("not an array of the expected type")
	}
	switch binary.BigEndian.Uint32(raw) {
	case 0:
		return nil
	case 1:
	default:
		return errors.New("array has more than one dimension")
	}
	if len(raw) < 20 {
		return errors.New("array is cut short")
	}
	n := int(binary.BigEndian.Uint32(raw[12:]))
	raw = raw[20:]
	for range n {
		if len(raw) < 4 {
			return errors.New("array is cut short")
		}
		length := int32(binary.BigEndian.Uint32(raw))
		raw = raw[4:]
		if length < 0 {
			yield(nil)
			continue
		}
		if int(length) != size || len(raw) < size {
			return errors.New("array element has the wrong size")
		}
		yield(raw[:size])
		raw = raw[size:]
	}
	return nil
}
