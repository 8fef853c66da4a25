package wire_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

func mustEncode(t testing.TB, cycles []sentinel.Cycle) []byte {
	t.Helper()
	payload, err := wire.EncodeCycles(cycles)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func wantInvalid(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
	} else if sentinel.CodeOf(err) != sentinel.Invalid {
		t.Errorf("%s: %v has the code %v, want Invalid", what, err, sentinel.CodeOf(err))
	}
}

func TestTruncatedPayloads(t *testing.T) {
	lim := sentinel.DefaultLimits()
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		payload := mustEncode(t, randomCycles(r, 1+r.IntN(5), 40, allKinds()))
		for n := range payload {
			_, err := wire.DecodeCycles(payload[:n], lim, 40)
			wantInvalid(t, "a payload cut short", err)
		}
		_, err := wire.DecodeCycles(append(bytes.Clone(payload), 0), lim, 40)
		wantInvalid(t, "a payload with a byte more", err)
	}
	layout := wire.EncodeLayout(sampleLayout())
	for n := range layout {
		_, err := wire.DecodeLayout(layout[:n], lim)
		wantInvalid(t, "a layout cut short", err)
	}
	_, err := wire.DecodeLayout(append(bytes.Clone(layout), 0), lim)
	wantInvalid(t, "a layout with a byte more", err)
}

func TestFlippedBits(t *testing.T) {
	lim := sentinel.DefaultLimits()
	r := rand.New(rand.NewPCG(7, 8))
	payload := mustEncode(t, randomCycles(r, 3, 40, allKinds()))
	for i := range payload {
		for bit := range 8 {
			broken := bytes.Clone(payload)
			broken[i] ^= 1 << bit
			checkDecoded(t, broken, lim, 40)
		}
	}
	layout := wire.EncodeLayout(sampleLayout())
	for i := range layout {
		for bit := range 8 {
			broken := bytes.Clone(layout)
			broken[i] ^= 1 << bit
			got, err := wire.DecodeLayout(broken, lim)
			if err == nil && !bytes.Equal(wire.EncodeLayout(got), broken) {
				t.Fatalf("bit %d of byte %d: bytes that are not canonical were taken", bit, i)
			}
			if err != nil {
				wantInvalid(t, "a flipped bit", err)
			}
		}
	}
}

// checkDecoded decodes any bytes and checks what must hold whatever they are.
func checkDecoded(t *testing.T, payload []byte, lim sentinel.Limits, series int) {
	t.Helper()
	cycles, err := wire.DecodeCycles(payload, lim, series)
	if err != nil {
		if cycles != nil {
			t.Fatal("an error came with cycles")
		}
		wantInvalid(t, "decode", err)
		return
	}
	if len(cycles) == 0 || len(cycles) > lim.MaxCycles {
		t.Fatalf("%d cycles were decoded", len(cycles))
	}
	h, n, err := wire.PeekLayout(payload)
	if err != nil || n != len(cycles) {
		t.Fatalf("PeekLayout says %d cycles, %v; there are %d", n, err, len(cycles))
	}
	for _, c := range cycles {
		if len(c.Values) != series || c.Layout != h {
			t.Fatalf("a cycle has %d values of %v, want %d of %v", len(c.Values), c.Layout, series, h)
		}
		for _, v := range c.Values {
			if sentinel.IsAbsent(v) && math.Float64bits(v) != math.Float64bits(sentinel.Absent()) {
				t.Fatalf("a value is %v", v)
			}
		}
	}
	again, err := wire.EncodeCycles(cycles)
	if err != nil {
		t.Fatal(err)
	}
	back, err := wire.DecodeCycles(again, lim, series)
	if err != nil {
		t.Fatalf("what was decoded does not survive: %v", err)
	}
	mustMatch(t, cycles, back)
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestClaimsAreCheckedBeforeAnythingIsAllocated(t *testing.T) {
	lim := sentinel.DefaultLimits()
	claim := func(cycles, series uint64, body int) []byte {
		b := append([]byte{1}, make([]byte, 16)...)
		b = binary.AppendUvarint(b, cycles)
		b = binary.AppendUvarint(b, series)
		return append(b, make([]byte, body)...)
	}
	const most = 8 << 10
	for name, c := range map[string]struct {
		payload []byte
		series  int
	}{
		"no cycle":                   {claim(0, 1, 100), 1},
		"no series":                  {claim(1, 0, 100), 0},
		"more cycles than bytes":     {claim(1<<40, 10, 100), 10},
		"more cycles than allowed":   {claim(129, 10, 10000), 10},
		"more series than bytes":     {claim(1, 10_000, 100), 10_000},
		"more series than allowed":   {claim(1, 20_000, 20_000), 20_000},
		"series beyond every number": {claim(1, math.MaxUint64, 100), -1},
		"not the layout's series":    {claim(1, 10_000, 20_000), 9_999},
		"a payload beyond the limit": {make([]byte, lim.MaxPayloadBytes+1), 10},
	} {
		var err error
		if n := allocated(func() { _, err = wire.DecodeCycles(c.payload, lim, c.series) }); n > most {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
		wantInvalid(t, name, err)
	}
}

func TestPeekLayoutMakesNoClaimItsOwn(t *testing.T) {
	for _, cycles := range []uint64{0, 50, 1 << 31, 1 << 63, math.MaxUint64} {
		payload := binary.AppendUvarint(append([]byte{1}, make([]byte, 16)...), cycles)
		payload = append(payload, 1, 0, 0)
		_, n, err := wire.PeekLayout(payload)
		wantInvalid(t, "a claim of more cycles than bytes", err)
		if n != 0 {
			t.Errorf("PeekLayout says %d cycles along with its error", n)
		}
	}
}

func TestUnusedBitsAreZero(t *testing.T) {
	lim := sentinel.DefaultLimits()
	cycles := []sentinel.Cycle{
		{Layout: hash, Time: time.UnixMilli(1), Values: []float64{0, 0, 0}},
		{Layout: hash, Time: time.UnixMilli(2), Values: []float64{0, 0, 0}},
	}
	payload := mustEncode(t, cycles)
	for _, back := range []int{1, 2} { // the two tables stand at the end here
		broken := bytes.Clone(payload)
		broken[len(broken)-back] |= 0x80
		_, err := wire.DecodeCycles(broken, lim, 3)
		wantInvalid(t, "a bit that stands for nothing", err)
	}
}

func TestMemoryIsProportionalToTheSamples(t *testing.T) {
	lim := sentinel.DefaultLimits()
	cycles := make([]sentinel.Cycle, lim.MaxCycles)
	for i := range cycles {
		cycles[i] = sentinel.Cycle{Layout: hash, Time: time.UnixMilli(int64(i)), Values: make([]float64, lim.MaxSeries)}
	}
	payload := mustEncode(t, cycles) // zeros: the smallest payload for so many samples
	bound := uint64(len(cycles)*lim.MaxSeries*8 + len(cycles)*200 + 4096)
	n := allocated(func() {
		if _, err := wire.DecodeCycles(payload, lim, lim.MaxSeries); err != nil {
			t.Error(err)
		}
	})
	if n > bound {
		t.Errorf("%d bytes were allocated for %d samples, want at most %d", n, len(cycles)*lim.MaxSeries, bound)
	}
}

func TestALayoutCannotUnfold(t *testing.T) {
	lim := sentinel.DefaultLimits()
	// One text of 1000 bytes, named in 10,000 series with 32 labels each.
	long := strings.Repeat("x", 1000)
	var layout sentinel.Layout
	for i := range lim.MaxSeries {
		s := sentinel.Series{Name: "m" + strings.Repeat("a", i%200), Kind: sentinel.Gauge}
		for j := range 32 {
			s.Labels = append(s.Labels, sentinel.Label{Name: "l" + string(rune('A'+j)), Value: long})
		}
		layout = append(layout, s)
	}
	encoded := wire.EncodeLayout(layout)
	if len(encoded) > lim.MaxLayoutBytes {
		t.Fatalf("the bomb has %d bytes and is refused for its size", len(encoded))
	}
	var err error
	n := allocated(func() { _, err = wire.DecodeLayout(encoded, lim) })
	wantInvalid(t, "a layout that unfolds to 300 MB", err)
	if n > 8<<20 {
		t.Errorf("%d bytes were allocated for it", n)
	}
}

func TestWhatEncodeCyclesRefuses(t *testing.T) {
	a := sentinel.Cycle{Layout: hash, Values: []float64{1}}
	other := sentinel.Cycle{Layout: sentinel.LayoutHash{9}, Values: []float64{1}}
	longer := sentinel.Cycle{Layout: hash, Values: []float64{1, 2}}
	for name, cycles := range map[string][]sentinel.Cycle{
		"no cycle": nil, "no value": {{Layout: hash}}, "two layouts": {a, other}, "two lengths": {a, longer},
	} {
		before := []byte("x")
		after, err := wire.AppendCycles(before, cycles)
		wantInvalid(t, name, err)
		if string(after) != "x" {
			t.Errorf("%s: the buffer was changed", name)
		}
	}
}

func TestDigestsDoNotDependOnGrouping(t *testing.T) {
	lim := sentinel.DefaultLimits()
	r := rand.New(rand.NewPCG(9, 10))
	cycles := randomCycles(r, 7, 90, allKinds())
	want := wire.Digests(cycles)
	for size := 1; size <= len(cycles); size++ {
		var got []uint64
		for i := 0; i < len(cycles); i += size {
			group := cycles[i:min(i+size, len(cycles))]
			back, err := wire.DecodeCycles(mustEncode(t, group), lim, 90)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, wire.Digests(back)...)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("in groups of %d the digest of cycle %d is another", size, i)
			}
		}
	}
	// Everything that makes a content different counts.
	base := sentinel.Cycle{Layout: hash, Time: time.UnixMilli(5), Values: []float64{1, 0, sentinel.Absent()}}
	seen := map[uint64]string{wire.Digest(base): "base"}
	for name, c := range map[string]sentinel.Cycle{
		"layout":  {Layout: sentinel.LayoutHash{3}, Time: base.Time, Values: base.Values},
		"time":    {Layout: hash, Time: time.UnixMilli(6), Values: base.Values},
		"value":   {Layout: hash, Time: base.Time, Values: []float64{1, math.SmallestNonzeroFloat64, sentinel.Absent()}},
		"sign":    {Layout: hash, Time: base.Time, Values: []float64{1, math.Copysign(0, -1), sentinel.Absent()}},
		"absence": {Layout: hash, Time: base.Time, Values: []float64{1, 0, 0}},
		"order":   {Layout: hash, Time: base.Time, Values: []float64{0, 1, sentinel.Absent()}},
		"length":  {Layout: hash, Time: base.Time, Values: []float64{1, 0}},
	} {
		d := wire.Digest(c)
		if other, twice := seen[d]; twice {
			t.Errorf("another %s has the digest of %s", name, other)
		}
		seen[d] = name
	}
}

func TestLayoutsComeBack(t *testing.T) {
	lim := sentinel.DefaultLimits()
	want := sampleLayout()
	encoded := wire.EncodeLayout(want)
	got, err := wire.DecodeLayout(encoded, lim)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d series came back of %d", len(got), len(want))
	}
	for i := range want {
		if got[i].String() != want[i].String() || got[i].Kind != want[i].Kind || got[i].Unit != want[i].Unit {
			t.Errorf("%v came back as %v", want[i], got[i])
		}
	}
	for name, change := range map[string]func(sentinel.Layout){
		"kind":  func(l sentinel.Layout) { l[0].Kind = sentinel.Gauge },
		"unit":  func(l sentinel.Layout) { l[2].Unit = "x" },
		"name":  func(l sentinel.Layout) { l[2].Name = "node_load5" },
		"label": func(l sentinel.Layout) { l[4].Labels[0].Value = "innen" },
		"order": func(l sentinel.Layout) { l[0], l[1] = l[1], l[0] },
	} {
		other := sampleLayout()
		change(other)
		if wire.HashLayout(wire.EncodeLayout(other)) == wire.HashLayout(encoded) {
			t.Errorf("another %s has the same hash", name)
		}
	}
	for name, broken := range map[string]sentinel.Layout{
		"nothing":         {},
		"a series twice":  {want[0], want[0]},
		"a reserved name": {sentinel.NewSeries("a", sentinel.Gauge, "", "agent", "x")},
		"NUL":             {sentinel.NewSeries("a", sentinel.Gauge, "", "b", "\x00")},
		"no kind":         {{Name: "a"}},
	} {
		_, err := wire.DecodeLayout(wire.EncodeLayout(broken), lim)
		wantInvalid(t, name, err)
	}
}

func TestOneLayoutHasOneEncoding(t *testing.T) {
	lim := sentinel.DefaultLimits()
	head := []byte{1, 1, 0, 1, 'a', 1} // one series: name a, gauge
	want := append(bytes.Clone(head), 0, 0, 0)
	if got := wire.EncodeLayout(sentinel.Layout{{Name: "a", Kind: sentinel.Gauge}}); !bytes.Equal(got, want) {
		t.Fatalf("the encoding is %x, want %x", got, want)
	}
	for name, other := range map[string][]byte{
		"a number with a byte too many": append(bytes.Clone(head), 0, 0, 0x80, 0),
		"a known text written out":      append(bytes.Clone(head), 0, 1, 'a', 0),
	} {
		_, err := wire.DecodeLayout(other, lim)
		wantInvalid(t, name, err)
	}
	_, err := wire.DecodeLayout(append(bytes.Clone(head), 1, 0), lim) // the unit is text 1
	if err != nil {
		t.Errorf("a reference to a known text is refused: %v", err)
	}
}

func FuzzDecodeCycles(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 8 {
		n := 1 + r.IntN(12)
		f.Add(mustEncode(f, randomCycles(r, 1+r.IntN(9), n, allKinds())), uint16(n))
	}
	f.Fuzz(func(t *testing.T, payload []byte, series uint16) {
		checkDecoded(t, payload, sentinel.DefaultLimits(), int(series))
	})
}

func FuzzDecodeLayout(f *testing.F) {
	f.Add(wire.EncodeLayout(sampleLayout()))
	f.Add([]byte{1, 1, 0, 1, 'a', 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		layout, err := wire.DecodeLayout(encoded, sentinel.DefaultLimits())
		if err != nil {
			wantInvalid(t, "decode", err)
			return
		}
		if !bytes.Equal(wire.EncodeLayout(layout), encoded) {
			t.Fatal("bytes that are not canonical were taken")
		}
		if err := sentinel.DefaultLimits().CheckLayout(layout); err != nil {
			t.Fatalf("a layout that breaks the limits was taken: %v", err)
		}
	})
}
