package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Column is which number of a roll-up's bucket stands for it. For samples as they
// came all are the sample itself.
type Column uint8

const (
	ColumnLast    Column = iota
	// ColumnCounter is last, and before it the greatest where that is greater: the
	// counter began again. Else, of an hour, it is also the least, as the first.
	ColumnCounter
	ColumnMin
	ColumnMax
	ColumnMean // with how many samples it is the mean of
)

// SampleRead asks for the samples of series over a time, ends included. Times are
// milliseconds since 1970, as samples' are.
type SampleRead struct {
	Series   []FoundSeries
	From, To int64
	// Every and Window, where Every is greater, pass over what no evaluation looks
	// at: only samples at most Window-1 after From, From+Every and so on are read.
	Every, Window int64
	// Tier is the coarsest roll-up that may stand for samples: an hour, a minute, or
	// zero for samples as they came. Buckets are read whole, and where From, To or the
	// roll-up's progress cut one, finer data takes its place; but where retention has
	// removed the finer data, what is left is read.
	Tier   time.Duration
	Column Column
	// MaxSamples bounds what is read; more are ResourceExhausted.
	MaxSamples int
}

// SeriesSamples are samples of one series, ascending and each time once. A bucket
// stands at its last millisecond.
type SeriesSamples struct {
	Times  []int64
	Values []float64 // sentinel.Absent where the cycle, or bucket, had no value
	Counts []int32   // nil, or how many samples the value is the mean of
}

// readers is how many connections one read may use at once.
const readers = 2

// ReadSamples returns the samples of each series, in the order of the request.
func (db *DB) ReadSamples(ctx context.Context, q SampleRead) ([]SeriesSamples, error) {
	out := make([]SeriesSamples, len(q.Series))
	places, err := db.places(ctx, q.Series)
	if err != nil || len(places) == 0 {
		return out, err
	}
	st, err := (&roller{db: db}).state(ctx, db.pool)
	if err != nil {
		return nil, failed("read samples", err)
	}
	r := sampleReader{SampleRead: q, db: db, out: out}
	r.left.Store(int64(q.MaxSamples))
	r.plan(st, q.From, q.To, slices.DeleteFunc([]time.Duration{time.Hour, time.Minute}, func(t time.Duration) bool { return t > q.Tier }))
	group, ctx := errgroup.WithContext(ctx)
	for part := range slices.Chunk(places, (len(places)+readers-1)/readers) {
		group.Go(func() error {
			for _, p := range r.pieces {
				if err := r.read(ctx, p, part); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, failed("read samples", err)
	}
	for i := range out {
		out[i].sort()
	}
	return out, nil
}

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

// piece is a stretch of time, to excluded, and the table that serves it.
type piece struct {
	from, to int64 // milliseconds
	tier     time.Duration
}

// sampleReader is one call of ReadSamples.
type sampleReader struct {
	SampleRead
	db     *DB
	pieces []piece
	out    []SeriesSamples // each belongs to one agent, and so to one goroutine
	left   atomic.Int64    // samples that may still be read
}

// plan cuts [from, to] into pieces: the coarsest tier where its buckets are whole,
// made and not yet dropped, finer ones around.
func (r *sampleReader) plan(st state, from, to int64, tiers []time.Duration) {
	end := to + 1
	// What retention has removed is only in a coarser table.
	for _, gone := range []struct {
		before int64
		tier   time.Duration
	}{{millis(st.minutesFrom, time.Hour), time.Hour}, {millis(st.rawFrom, time.Minute), time.Minute}} {
		if from < gone.before {
			upTo := min(gone.before, end)
			r.cut(st, from, upTo, append([]time.Duration{}, gone.tier), true)
			from = upTo
		}
	}
	if from < end {
		r.cut(st, from, end, tiers, false)
	}
}

// cut plans [from, to). Only whole buckets are taken, unless nothing finer is left.
func (r *sampleReader) cut(st state, from, to int64, tiers []time.Duration, only bool) {
	if from >= to {
		return
	}
	if len(tiers) == 0 {
		r.pieces = append(r.pieces, piece{from, to, 0})
		return
	}
	tier := tiers[0]
	ms := tier.Milliseconds()
	a, b := from+mod(-from, ms), to-mod(to, ms)
	made := st.minutesTo
	if tier == time.Hour {
		made = st.hoursTo
	}
	if only {
		// The bucket that begins before from has its end, where it is shown, within.
		a, b = from-mod(from, ms), to-mod(to, ms)
		if a < b {
			r.pieces = append(r.pieces, piece{a, b, tier})
		}
		return
	}
	b = min(b, made.UnixMilli())
	if a >= b {
		r.cut(st, from, to, tiers[1:], false)
		return
	}
	r.cut(st, from, a, tiers[1:], false)
	r.pieces = append(r.pieces, piece{a, b, tier})
	r.cut(st, b, to, tiers[1:], false)
}

// millis rounds up to a whole bucket, so that no bucket is read beside its samples.
func millis(t time.Time, tier time.Duration) int64 {
	ms := t.UnixMilli()
	return ms + mod(-ms, tier.Milliseconds())
}

// columns are what is read of a table's rows, as arrays of which a slice is taken.
func (r *sampleReader) columns(tier time.Duration) (table string, columns []string) {
	switch tier {
	case 0:
		return "scrapes", []string{"vals"}
	case time.Minute:
		table = "scrapes_1m"
	default:
		table = "scrapes_1h"
	}
	switch r.Column {
	case ColumnCounter:
		if tier == time.Hour {
			return table, []string{"lasts", "maxs", "mins"}
		}
		return table, []string{"lasts", "maxs"}
	case ColumnMin:
		return table, []string{"mins"}
	case ColumnMax:
		return table, []string{"maxs"}
	case ColumnMean:
		return table, []string{"sums", "counts"}
	}
	return table, []string{"lasts"}
}

// read reads one piece of the series of some agents. The inner select is fenced
// (OFFSET 0) so that each agent's rows come from the index, in their order. A slice
// is one step for the database, which would unpack the array again for each element.
func (r *sampleReader) read(ctx context.Context, p piece, agents [][]place) error {
	table, columns := r.columns(p.tier)
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
	for _, c := range columns {
		inner += ", " + c
		outer += ", s." + c + "[m.lo:m.hi]"
	}
	args := []any{ids, time.UnixMilli(p.from), time.UnixMilli(p.to), layouts, los, his}
	sparse := ""
	shown := max(0, p.tier.Milliseconds()-1) // where in its bucket a value is shown
	if r.Every > r.Window {
		sparse = ` AND ts - date_bin($7::interval, ts, $8) < $9::interval`
		args = append(args, time.Duration(r.Every)*time.Millisecond, time.UnixMilli(r.From-shown), time.Duration(r.Window)*time.Millisecond)
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
		if err := r.row(p.tier, ts, flat[n-1].at, raw[2:]); err != nil {
			return err
		}
	}
	return rows.Err()
}

// row takes the values of one row.
func (r *sampleReader) row(tier time.Duration, ts int64, at []int32, raw [][]byte) error {
	first, err := readArray(raw[0], oidFloat8, 8)
	if err != nil {
		return err
	}
	var second, third array
	if len(raw) == 3 {
		if third, err = readArray(raw[2], oidFloat8, 8); err != nil {
			return err
		}
	}
	if len(raw) > 1 {
		oid, size := uint32(oidFloat8), 8
		if r.Column == ColumnMean {
			oid, size = oidInt4, 4
		}
		if second, err = readArray(raw[1], oid, size); err != nil {
			return err
		}
	}
	for _, k := range at {
		e, f, g := first.next(), second.next(), third.next()
		if k < 0 {
			continue
		}
		if r.left.Add(-1) < 0 {
			return sentinel.Errorf(sentinel.ResourceExhausted, "more than %d samples: ask for less time, a larger step or fewer series", r.MaxSamples)
		}
		s, v := &r.out[k], sentinel.Absent()
		if e != nil {
			v = math.Float64frombits(binary.BigEndian.Uint64(e))
		}
		switch {
		case r.Column == ColumnMean:
			count := int32(1)
			if f != nil {
				if count = int32(binary.BigEndian.Uint32(f)); count > 0 {
					v /= float64(count)
				}
			}
			s.Counts = append(s.Counts, max(1, count))
		case f != nil:
			if top := math.Float64frombits(binary.BigEndian.Uint64(f)); top > v {
				s.Times, s.Values = append(s.Times, ts-tier.Milliseconds()/2), append(s.Values, top)
			} else if g != nil {
				s.Times, s.Values = append(s.Times, ts-tier.Milliseconds()+2), append(s.Values, math.Float64frombits(binary.BigEndian.Uint64(g)))
			}
		}
		s.Times, s.Values = append(s.Times, ts), append(s.Values, v)
	}
	return nil
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

// sort brings samples into order, where several layouts hold the series, and keeps
// one of each time: a value before none, else the later read.
func (s *SeriesSamples) sort() {
	ascending := true
	for i := 1; i < len(s.Times) && ascending; i++ {
		ascending = s.Times[i-1] < s.Times[i]
	}
	if ascending {
		return
	}
	order := make([]int, len(s.Times))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case s.Times[a] != s.Times[b]:
			return int(min(1, max(-1, s.Times[a]-s.Times[b])))
		case sentinel.IsAbsent(s.Values[a]) && !sentinel.IsAbsent(s.Values[b]):
			return -1
		case !sentinel.IsAbsent(s.Values[a]) && sentinel.IsAbsent(s.Values[b]):
			return 1
		}
		return 0
	})
	sorted := SeriesSamples{Times: make([]int64, 0, len(order)), Values: make([]float64, 0, len(order))}
	for _, i := range order {
		if n := len(sorted.Times) - 1; n >= 0 && sorted.Times[n] == s.Times[i] {
			sorted.drop()
		}
		sorted.Times, sorted.Values = append(sorted.Times, s.Times[i]), append(sorted.Values, s.Values[i])
		if s.Counts != nil {
			sorted.Counts = append(sorted.Counts, s.Counts[i])
		}
	}
	*s = sorted
}

func (s *SeriesSamples) drop() {
	n := len(s.Times) - 1
	s.Times, s.Values = s.Times[:n], s.Values[:n]
	if s.Counts != nil {
		s.Counts = s.Counts[:n]
	}
}

// Join returns the samples of both, as of one series.
func (s SeriesSamples) Join(o SeriesSamples) SeriesSamples {
	j := SeriesSamples{Times: slices.Concat(s.Times, o.Times), Values: slices.Concat(s.Values, o.Values)}
	if s.Counts != nil || o.Counts != nil {
		j.Counts = slices.Concat(s.Counts, o.Counts)
	}
	j.sort()
	return j
}
