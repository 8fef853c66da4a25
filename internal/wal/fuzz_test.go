package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"testing"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func sampleFrames() [][]byte {
	var h sentinel.LayoutHash
	copy(h[:], "a layout")
	return [][]byte{
		appendFrame(nil, frame{kind: KindCycle, epoch: 7, seq: 1, millis: 1_700_000_000_000, layout: h, payload: []byte("values")}),
		appendFrame(nil, frame{kind: KindLosses, epoch: 7, seq: 2}),
		appendFrame(nil, frame{kind: kindDefinition, epoch: 7, layout: h, payload: bytes.Repeat([]byte(frameMagic), 50)}),
		appendFrame(nil, frame{kind: kindSeals, epoch: 7, payload: encodeSeals([]seal{{5, 9}})}),
	}
}

func TestFrameRoundTrip(t *testing.T) {
	for _, b := range sampleFrames() {
		f, n, wrong := decodeFrame(append(b, "rest"...), 7)
		if wrong != "" || n != len(b) || !bytes.Equal(appendFrame(nil, f), b) {
			t.Errorf("%s, %d of %d bytes", wrong, n, len(b))
		}
		if _, _, wrong := decodeFrame(b, 8); wrong != "belongs to another generation" {
			t.Errorf("another epoch: %q", wrong)
		}
	}
}

// What decodes is exactly what was encoded: no other bytes give that frame.
func FuzzFrame(f *testing.F) {
	for _, b := range sampleFrames() {
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, n, wrong := decodeFrame(b, 7)
		if wrong != "" {
			return
		}
		again := appendFrame(nil, fr)
		again[6], again[7] = b[6], b[7] // reserved
		if n != len(again) || !bytes.Equal(again[8:headerSummed], b[8:headerSummed]) || !bytes.Equal(again[headerBytes:], b[headerBytes:n]) {
			t.Fatalf("%x decodes to %+v", b[:n], fr)
		}
		decodeSeals(fr.payload)
		decodeLosses(fr.payload)
	})
}

// Whatever stands around and between them, sound frames are found, in order, and
// each byte of the file is accounted for.
func FuzzSegment(f *testing.F) {
	frames := sampleFrames()
	var sound []byte
	for _, b := range frames {
		sound = append(binary.AppendUvarint(sound, uint64(len(b))), b...)
	}
	f.Add([]byte{}, []byte{}, sound)
	f.Add([]byte("garbage"), []byte{0xff}, sound[:len(sound)-3])
	f.Add(bytes.Repeat([]byte(frameMagic), 100), frames[0][:headerBytes], []byte{0})
	f.Fuzz(func(t *testing.T, before, between, after []byte) {
		var data []byte
		want := frames[:2]
		for i, junk := range [][]byte{before, between} {
			data = append(data, junk...)
			data = binary.AppendUvarint(data, uint64(len(want[i])))
			data = append(data, want[i]...)
		}
		data = append(data, after...)
		damaged, sizes, found := int64(0), int64(0), 0
		s := &scanner{epoch: 7, limit: int64(len(data)), damage: func(_, n int64, _ string) { damaged += n }}
		s.read = func(b []byte, off int64) (int, error) { return bytes.NewReader(data).ReadAt(b, off) }
		for {
			fr, at, err := s.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if at+int64(fr.size()) != s.off {
				t.Fatalf("frame at %d of %d bytes, then %d", at, fr.size(), s.off)
			}
			sizes += int64(fr.size()) + binary.MaxVarintLen64
			if found < 2 && bytes.Equal(appendFrame(nil, fr), want[found]) {
				found++
			}
			if len(s.buf) > 4*windowBytes {
				t.Fatalf("a buffer of %d", len(s.buf))
			}
		}
		if found != 2 {
			t.Fatalf("%d of the two frames found", found)
		}
		if damaged > int64(len(data)) || damaged+sizes < int64(len(data)) {
			t.Fatalf("%d bytes: %d damaged, %d in frames", len(data), damaged, sizes)
		}
	})
}

// A length that no int of 32 bits holds must not pass for a negative one: run it
// with GOARCH=386 too.
func TestP2LengthOverAnInt(t *testing.T) {
	b := appendFrame(nil, frame{kind: KindCycle, epoch: 7, seq: 1, payload: []byte("values")})
	binary.LittleEndian.PutUint32(b[8:], 0xffff_fff0)
	binary.LittleEndian.PutUint32(b[headerSummed:], crc32.Checksum(b[:headerSummed], castagnoli))
	if _, _, wrong := decodeFrame(b, 7); wrong != "too long" {
		t.Fatalf("it is said to be %q", wrong)
	}
}

func TestImpossibleNumbersAreNoRecords(t *testing.T) {
	b := appendFrame(nil, frame{kind: KindCycle, epoch: 7, seq: 1<<64 - 1})
	if _, _, wrong := decodeFrame(b, 7); wrong == "" {
		t.Error("a record behind which there can be no other")
	}
	payload := encodeLosses([]sentinel.Loss{{Epoch: 7, Range: sentinel.SeqRange{First: 1, Last: 1<<64 - 1}, Reason: sentinel.LossBytes}})[0]
	if got := decodeLosses(payload); len(got) != 0 {
		t.Errorf("declared: %v", got)
	}
}

// A sidecar full of ranges is read in one pass: it must not hold up the start.
func TestMarkOfManyRanges(t *testing.T) {
	m := mark{epoch: 7, acked: 1 << 20}
	for n := range uint64(maxRanges) {
		m.settled = append(m.settled, sentinel.SeqRange{First: 3*n + 1, Last: 3*n + 2})
	}
	b := m.encode()
	allocs := testing.AllocsPerRun(1, func() {
		if got, ok := decodeMark(b, 7); !ok || !slices.Equal(got.settled, m.settled) {
			t.Fatalf("%d ranges, %v", len(got.settled), ok)
		}
	})
	if allocs > 100 {
		t.Errorf("%.0f allocations", allocs)
	}
}

func FuzzMark(f *testing.F) {
	f.Add(mark{epoch: 7, sealed: true, acked: 9, settled: ranges{{First: 1, Last: 3}, {First: 5, Last: 9}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := decodeMark(b, 7)
		if !ok {
			return
		}
		if again, ok := decodeMark(m.encode(), 7); !ok || again.acked != m.acked || !slices.Equal(again.settled, m.settled) {
			t.Fatalf("%+v", m)
		}
	})
}

func TestRanges(t *testing.T) {
	r := func(a, b uint64) sentinel.SeqRange { return sentinel.SeqRange{First: a, Last: b} }
	var s ranges
	for _, x := range []sentinel.SeqRange{r(5, 6), r(1, 2), r(9, 9), r(3, 3), r(7, 8), r(20, 30), r(25, 40), r(4, 3)} {
		s = s.with(x)
	}
	if len(s) != 3 || s[0] != r(1, 3) || s[1] != r(5, 9) || s[2] != r(20, 40) {
		t.Fatalf("%v", s)
	}
	got := s.missing(r(2, 50))
	if len(got) != 3 || got[0] != r(4, 4) || got[1] != r(10, 19) || got[2] != r(41, 50) || got.count() != 21 {
		t.Fatalf("%v", got)
	}
	if s.covers(4) || !s.covers(3) || !s.covers(0) || s.contains(4) || !s.contains(20) {
		t.Fatal("covers or contains")
	}
}

// A search reads each place a few times at most, whatever a damaged file says:
// headers that promise long payloads must not make it read those over and over.
func TestP2SearchIsOnePass(t *testing.T) {
	fake := appendFrame(nil, frame{kind: KindCycle, epoch: 7, seq: 1, payload: make([]byte, 200<<10)})[:headerBytes]
	fake[40] ^= 1
	data := bytes.Repeat(fake, (256<<10)/headerBytes)
	read := 0
	s := &scanner{epoch: 7, limit: int64(len(data)), read: func(b []byte, off int64) (int, error) {
		n, err := bytes.NewReader(data).ReadAt(b, off)
		read += n
		return n, err
	}}
	if _, _, err := s.next(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if read > 4*len(data) {
		t.Fatalf("%d bytes read to search %d", read, len(data))
	}
}
