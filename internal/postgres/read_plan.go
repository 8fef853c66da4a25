package postgres

import (
	"slices"
	"time"
)

// piece is a stretch of time, to excluded, and the table that serves it.
type piece struct {
	from, to int64 // milliseconds
	tier     time.Duration
	strips   bool // the tier's minutes are there as strips, in hours that may reach beyond the ends
}

// plan cuts [from, to] into pieces: the coarsest tier where its buckets are whole,
// made and not yet dropped, finer ones around.
func plan(st state, from, to int64, coarsest time.Duration) []piece {
	tiers := slices.DeleteFunc([]time.Duration{time.Hour, time.Minute}, func(t time.Duration) bool { return t > coarsest })
	p := planner{state: st}
	end := to + 1
	// What retention has removed is only in a coarser table.
	for _, gone := range []struct {
		before int64
		tier   time.Duration
	}{{millis(st.minutesFrom, time.Hour), time.Hour}, {millis(st.rawFrom, time.Minute), time.Minute}} {
		if from < gone.before {
			upTo := min(gone.before, end)
			p.left(from, upTo, gone.tier)
			from = upTo
		}
	}
	if from < end {
		p.cut(from, end, tiers)
	}
	return p.pieces
}

type planner struct {
	state
	pieces []piece
}

// left plans [from, to), of which only one tier is left. The bucket in which from
// lies is shown at its end, which is within.
func (p *planner) left(from, to int64, tier time.Duration) {
	ms := tier.Milliseconds()
	if a, b := from-mod(from, ms), to-mod(to, ms); a < b {
		p.add(a, b, tier)
	}
}

// cut plans [from, to).
func (p *planner) cut(from, to int64, tiers []time.Duration) {
	if from >= to {
		return
	}
	if len(tiers) == 0 {
		p.add(from, to, 0)
		return
	}
	tier := tiers[0]
	ms, made := tier.Milliseconds(), p.minutesTo
	if tier == time.Hour {
		made = p.hoursTo
	}
	a, b := from+mod(-from, ms), min(to-mod(to, ms), made.UnixMilli())
	if a >= b {
		p.cut(from, to, tiers[1:])
		return
	}
	p.cut(from, a, tiers[1:])
	p.add(a, b, tier)
	p.cut(b, to, tiers[1:])
}

// add plans [from, to) of one tier: minutes as strips, where there are some.
func (p *planner) add(from, to int64, tier time.Duration) {
	a, b := max(from, p.stripsFrom.UnixMilli()), min(to, p.hoursTo.UnixMilli())
	if tier != time.Minute || a >= b {
		p.pieces = append(p.pieces, piece{from: from, to: to, tier: tier})
		return
	}
	if from < a {
		p.pieces = append(p.pieces, piece{from: from, to: a, tier: tier})
	}
	p.pieces = append(p.pieces, piece{from: a, to: b, tier: tier, strips: true})
	if b < to {
		p.pieces = append(p.pieces, piece{from: b, to: to, tier: tier})
	}
}

// millis rounds up to a whole bucket, so that no bucket is read beside its samples.
func millis(t time.Time, tier time.Duration) int64 {
	ms := t.UnixMilli()
	return ms + mod(-ms, tier.Milliseconds())
}
