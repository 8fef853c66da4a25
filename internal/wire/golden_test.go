package wire_test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

func sampleLayout() sentinel.Layout {
	return sentinel.Layout{
		sentinel.NewSeries("node_cpu_seconds_total", sentinel.Counter, "seconds", "cpu", "0", "mode", "idle"),
		sentinel.NewSeries("node_cpu_seconds_total", sentinel.Counter, "seconds", "cpu", "0", "mode", "user"),
		sentinel.NewSeries("node_load1", sentinel.Gauge, ""),
		sentinel.NewSeries("node_memory_MemFree_bytes", sentinel.Gauge, "bytes"),
		sentinel.NewSeries("temperature", sentinel.Gauge, "celsius", "ort", "außen"),
	}
}

// vectors are encodings that must never change: agents and servers of different
// age meet.
func vectors(t *testing.T) map[string][]byte {
	t.Helper()
	layout := wire.EncodeLayout(sampleLayout())
	h := wire.HashLayout(layout)
	at := time.UnixMilli(1_700_000_000_123)
	none, negZero := sentinel.Absent(), math.Copysign(0, -1)
	cycles := []sentinel.Cycle{
		{Layout: h, Time: at, Values: []float64{45066.72, 350.01, 0.08, 131684 * 1024, -3.5}},
		{Layout: h, Time: at.Add(10 * time.Second), Values: []float64{45076.7, 350.03, 0.08, 131680 * 1024, none}},
		{Layout: h, Time: at.Add(20001 * time.Millisecond), Values: []float64{45086.69, 350.03, 0.08, 131700 * 1024, -4}},
	}
	odd := []sentinel.Cycle{{Layout: h, Time: time.UnixMilli(-1), Values: []float64{math.Pi, negZero, none, 0, 1 << 63}}}
	out := map[string][]byte{"layout": layout, "layout hash": h[:]}
	for name, c := range map[string][]sentinel.Cycle{"one cycle": cycles[:1], "three cycles": cycles, "odd values": odd} {
		payload, err := wire.EncodeCycles(c)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = payload
	}
	for i, d := range wire.Digests(cycles) {
		out[fmt.Sprintf("digest of cycle %d", i)] = binary.BigEndian.AppendUint64(nil, d)
	}
	return out
}

func TestGoldenVectors(t *testing.T) {
	got := vectors(t)
	const path = "testdata/vectors.txt"
	if *update {
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(got)) {
			fmt.Fprintf(&b, "%s: %x\n", name, got[name])
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(data)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
		want, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if string(got[name]) != string(want) {
			t.Errorf("%s is\n%x, want\n%x", name, got[name], want)
		}
		seen++
	}
	if seen != len(got) {
		t.Errorf("%s holds %d vectors, want %d", path, seen, len(got))
	}
}

// recorded returns cycles of a real host.
func recorded(t testing.TB) []sentinel.Cycle {
	t.Helper()
	f, err := os.Open("testdata/host.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cycles []sentinel.Cycle
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Split(sc.Text(), "\t")
		for i, word := range fields[1:] {
			if fields[0] == "time" {
				ms, err := strconv.ParseInt(word, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				cycles = append(cycles, sentinel.Cycle{Layout: hash, Time: time.UnixMilli(ms).UTC()})
				continue
			}
			v := sentinel.Absent()
			if word != "-" {
				if v, err = strconv.ParseFloat(word, 64); err != nil {
					t.Fatal(err)
				}
			}
			cycles[i].Values = append(cycles[i].Values, v)
		}
	}
	return cycles
}

// TestBytesPerSample holds the payload below what the envelope leaves of 3 bytes
// per sample for one cycle and 2.5 for six.
func TestBytesPerSample(t *testing.T) {
	cycles := recorded(t)
	var moving []sentinel.Cycle // without the series that were zero in the first cycle
	for _, c := range cycles {
		values := c.Values
		c.Values = nil
		for i, v := range values {
			if cycles[0].Values[i] != 0 {
				c.Values = append(c.Values, v)
			}
		}
		moving = append(moving, c)
	}
	for _, c := range []struct {
		name   string
		cycles []sentinel.Cycle
		most   float64
	}{
		{"one cycle", cycles[:1], 2.0},
		{"six cycles", cycles[:6], 1.0},
		{"one cycle, only series that are not zero", moving[:1], 3.0},
		{"six cycles, only series that are not zero", moving[:6], 1.6},
	} {
		payload, err := wire.EncodeCycles(c.cycles)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.DecodeCycles(payload, sentinel.DefaultLimits(), len(c.cycles[0].Values))
		if err != nil {
			t.Fatal(err)
		}
		mustMatch(t, c.cycles, got)
		samples := 0
		for _, cycle := range c.cycles {
			samples += cycle.Samples()
		}
		per := float64(len(payload)) / float64(samples)
		t.Logf("%s: %d series, %d samples, %d bytes, %.2f bytes per sample", c.name, len(c.cycles[0].Values), samples, len(payload), per)
		if per > c.most {
			t.Errorf("%s takes %.2f bytes per sample, want at most %.1f", c.name, per, c.most)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	cycles := recorded(b)[:6]
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		var err error
		if buf, err = wire.AppendCycles(buf[:0], cycles); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*6*len(cycles[0].Values)), "ns/sample")
}

func BenchmarkDecode(b *testing.B) {
	cycles := recorded(b)[:6]
	payload, err := wire.EncodeCycles(cycles)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.DecodeCycles(payload, sentinel.DefaultLimits(), len(cycles[0].Values)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*6*len(cycles[0].Values)), "ns/sample")
}

func BenchmarkDigest(b *testing.B) {
	cycle := recorded(b)[0]
	for b.Loop() {
		wire.Digest(cycle)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(cycle.Values)), "ns/sample")
}
