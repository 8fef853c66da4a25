package postgres_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// The set of ranges against a plain set of numbers.
func FuzzRanges(f *testing.F) {
	f.Add([]byte{1, 3, 5, 2, 0, 0, 9, 9})
	f.Add([]byte{10, 0, 12, 0, 11, 0, 1, 200})
	f.Fuzz(func(t *testing.T, ops []byte) {
		var rs postgres.Ranges
		model := map[uint64]bool{}
		for ; len(ops) >= 2; ops = ops[2:] {
			first := uint64(ops[0]) + 1
			last := first + uint64(ops[1]%16)
			var missing []uint64
			for _, r := range rs.Missing(first, last) {
				for s := r.First; s <= r.Last; s++ {
					missing = append(missing, s)
				}
			}
			var want []uint64
			for s := first; s <= last; s++ {
				if !model[s] {
					want = append(want, s)
				}
				model[s] = true
			}
			if !slices.Equal(missing, want) {
				t.Fatalf("missing %v, want %v", missing, want)
			}
			rs.Add(first, last)
		}
		for s := range uint64(300) {
			if rs.Contains(s) != model[s] {
				t.Fatalf("contains %d: %v", s, rs.Contains(s))
			}
		}
		for i := 1; i < len(rs); i++ {
			if rs[i].First <= rs[i-1].Last+1 {
				t.Fatalf("ranges touch: %v", rs)
			}
		}
		back, err := postgres.ParseRanges(rs.Multirange())
		if err != nil || !slices.Equal(back, rs) {
			t.Fatalf("%s came back as %v, %v", rs.Multirange(), back, err)
		}
	})
}

// What the database writes is what is read, up to the ends of its numbers.
func TestRangesAtTheEnd(t *testing.T) {
	var rs postgres.Ranges
	rs.Add(1, 1)
	rs.Add(math.MaxInt64-1, math.MaxInt64-1)
	f := newFixture(t, 1)
	text, err := postgres.One[string](t.Context(), f.DB, `SELECT $1::text::int8multirange::text`, rs.Multirange())
	must(t, err)
	back, err := postgres.ParseRanges(text)
	if err != nil || !slices.Equal(back, rs) {
		t.Errorf("%s came back as %v, %v", text, back, err)
	}
	f.commit(t, f.losses(1, 2, lost(1, 1, math.MaxInt64-1, 2)))
	if b := f.books(t); b.Total.Appended != math.MaxInt64-1 || b.Total.InFlight != 0 {
		t.Errorf("books %+v", b.Total)
	}
	for _, bad := range []string{"", "{", "{[1,2}", "{[2,2)}", "{[1,x)}", "{(1,2]}x"} {
		if _, err := postgres.ParseRanges(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func FuzzDecodeFloats(f *testing.F) {
	f.Add([]byte{})
	good := binary.BigEndian.AppendUint32(nil, 1)
	for _, n := range []uint32{1, 701, 2, 1, 8, 0, 0, math.MaxUint32} {
		good = binary.BigEndian.AppendUint32(good, n)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, raw []byte) {
		vals, err := postgres.DecodeFloats(raw, nil)
		if err == nil && len(vals)*4 > len(raw) {
			t.Fatalf("%d values from %d bytes", len(vals), len(raw))
		}
	})
}
