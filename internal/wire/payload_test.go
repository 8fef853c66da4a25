package wire_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

var hash = sentinel.LayoutHash{1, 2, 3, 0xff}

// generators of one column's values, each a kind of data that hosts produce or
// that could break an encoder.
var generators = map[string]func(r *rand.Rand) func() float64{
	"zero":     func(*rand.Rand) func() float64 { return func() float64 { return 0 } },
	"constant": func(r *rand.Rand) func() float64 { v := r.NormFloat64(); return func() float64 { return v } },
	"counter": func(r *rand.Rand) func() float64 {
		v := float64(r.Int64N(1 << 50))
		return func() float64 { v += float64(r.IntN(100000)); return v }
	},
	"pages":  func(r *rand.Rand) func() float64 { return func() float64 { return float64(r.Int64N(1<<40)) * 4096 } },
	"kib":    func(r *rand.Rand) func() float64 { return func() float64 { return float64(r.Int64N(1<<40)) * 1024 } },
	"float":  func(r *rand.Rand) func() float64 { return r.NormFloat64 },
	"bits":   func(r *rand.Rand) func() float64 { return func() float64 { return math.Float64frombits(r.Uint64()) } },
	"absent": func(*rand.Rand) func() float64 { return sentinel.Absent },
	"decimal": func(r *rand.Rand) func() float64 {
		k := r.IntN(11)
		return func() float64 { return float64(r.Int64N(1<<(1+r.IntN(60)))-100) / math.Pow10(k) }
	},
	"extreme": func(r *rand.Rand) func() float64 {
		all := []float64{math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 5e-310, math.Copysign(0, -1), 0,
			1 << 53, 1<<53 + 2, -(1 << 53), 1 << 62, 1 << 63, -(1 << 63), 1 << 64, 1e22, 1e23, 0.1, 0.3, 1e-9, 1e-10,
			math.NaN(), math.Inf(1), math.Inf(-1), sentinel.Absent(), 1024, 4096, -1024, -4096, 9007199254740.993}
		return func() float64 { return all[r.IntN(len(all))] }
	},
	"flapping": func(r *rand.Rand) func() float64 {
		return func() float64 {
			if r.IntN(3) == 0 {
				return sentinel.Absent()
			}
			return float64(r.IntN(300))
		}
	},
}

func randomCycles(r *rand.Rand, cycles, series int, kinds []string) []sentinel.Cycle {
	at := time.UnixMilli(r.Int64N(1 << 42)).UTC()
	out := make([]sentinel.Cycle, cycles)
	for i := range out {
		at = at.Add(time.Duration(r.IntN(20000)-500) * time.Millisecond)
		out[i] = sentinel.Cycle{Layout: hash, Time: at, Values: make([]float64, series)}
	}
	for col := range series {
		next := generators[kinds[r.IntN(len(kinds))]](r)
		for i := range out {
			out[i].Values[col] = next()
		}
	}
	return out
}

func allKinds() []string {
	return []string{"zero", "constant", "counter", "pages", "kib", "float", "bits", "absent", "decimal", "extreme", "flapping"}
}

// mustMatch compares bit for bit, every absent value alike.
func mustMatch(t *testing.T, want, got []sentinel.Cycle) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d cycles came back of %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Layout != want[i].Layout || !got[i].Time.Equal(want[i].Time) {
			t.Fatalf("cycle %d: %v at %v came back as %v at %v", i, want[i].Layout, want[i].Time, got[i].Layout, got[i].Time)
		}
		for col, v := range want[i].Values {
			if sentinel.IsAbsent(v) {
				v = sentinel.Absent()
			}
			if g := got[i].Values[col]; math.Float64bits(g) != math.Float64bits(v) {
				t.Fatalf("cycle %d column %d: %v (%x) came back as %v (%x)", i, col, v, math.Float64bits(v), g, math.Float64bits(g))
			}
		}
	}
}

func TestCyclesComeBackBitForBit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	lim := sentinel.DefaultLimits()
	kinds := allKinds()
	for name := range generators {
		for range 40 {
			roundTrip(t, lim, randomCycles(r, 1+r.IntN(9), 1+r.IntN(20), []string{name}))
		}
	}
	for range 400 {
		roundTrip(t, lim, randomCycles(r, 1+r.IntN(20), 1+r.IntN(60), kinds))
	}
	roundTrip(t, lim, randomCycles(r, lim.MaxCycles, 33, kinds))
}

func roundTrip(t *testing.T, lim sentinel.Limits, want []sentinel.Cycle) {
	t.Helper()
	payload, err := wire.EncodeCycles(want)
	if err != nil {
		t.Fatal(err)
	}
	h, n, err := wire.PeekLayout(payload)
	if err != nil || h != hash || n != len(want) {
		t.Fatalf("PeekLayout: %v, %d, %v; want %v, %d", h, n, err, hash, len(want))
	}
	got, err := wire.DecodeCycles(payload, lim, len(want[0].Values))
	if err != nil {
		t.Fatal(err)
	}
	mustMatch(t, want, got)
	for i, d := range wire.Digests(want) {
		if g := wire.Digest(got[i]); g != d {
			t.Fatalf("digest of cycle %d changed on the way: %x to %x", i, d, g)
		}
	}
}
