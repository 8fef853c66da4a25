package wal

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// stride is 1, to try everything there is, or 11 where the run has to be short.
func stride() int {
	if testing.Short() {
		return 11
	}
	return 1
}

// quick leaves out fsyncs, for tests that are about the content of files.
func quick(op, _ string, run func() error) error {
	if op == "sync" || op == "syncdir" {
		return nil
	}
	return run()
}

// sample is a small generation of a killed process: three files, no sidecar.
type sample struct {
	dir   string // log folder
	gen   string // name of the generation folder
	epoch sentinel.Epoch
	want  []Entry
	files []sampleFile
}

type sampleFile struct {
	name   string
	data   []byte
	frames []sampleFrame
}

type sampleFrame struct {
	seq        uint64
	start, end int64 // with the entry's length in front
	frameStart int64
	entry      span
}

func makeSample(t *testing.T, records int) *sample {
	t.Helper()
	s := &sample{dir: memDir(t)}
	l := mustOpenWith(t, s.dir, small(), options{hook: quick})
	for n := range records {
		e := entry(n, 60+n*5)
		e.Layout = layoutHash(n / 7)
		pos, err := l.Append(e, definition(n/7))
		if err != nil {
			t.Fatal(err)
		}
		s.epoch = pos.Epoch
		s.want = append(s.want, e)
		if w := l.active; w.at.off >= small().SegmentBytes && w.file != nil { // short files, whoever writes them
			if err := w.endFile(); err != nil {
				t.Fatal(err)
			}
		}
	}
	abandon(l)
	s.gen = filepath.Base(generationDirs(t, s.dir)[0])
	for _, path := range segmentFiles(t, filepath.Join(s.dir, s.gen)) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f := sampleFile{name: filepath.Base(path), data: data}
		sc := scanner{epoch: s.epoch, limit: int64(len(data)), read: bytesReader(data)}
		for start := int64(0); ; start = sc.off {
			fr, at, err := sc.next()
			if err != nil {
				break
			}
			f.frames = append(f.frames, sampleFrame{fr.seq, start, sc.off, at, sc.cur})
		}
		s.files = append(s.files, f)
	}
	if len(s.files) < 2+records/14 || len(s.files[len(s.files)-1].data) == 0 {
		t.Fatalf("the sample has %d files", len(s.files))
	}
	return s
}

func bytesReader(data []byte) func(b []byte, off int64) (int, error) {
	return func(b []byte, off int64) (int, error) {
		if off >= int64(len(data)) {
			return 0, os.ErrClosed
		}
		return copy(b, data[off:]), nil
	}
}

// put writes the sample into a fresh log folder with one file replaced.
func (s *sample) put(t *testing.T, dir string, file int, data []byte) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	gen := filepath.Join(dir, s.gen)
	if err := os.MkdirAll(gen, 0o750); err != nil {
		t.Fatal(err)
	}
	for i, f := range s.files {
		content := f.data
		if i == file {
			content = data
		}
		if err := os.WriteFile(filepath.Join(gen, f.name), content, 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

// check opens the folder and requires exactly the records that lost does not
// name, and exactly the losses declared that lie in front of the last record.
func (s *sample) check(t *testing.T, dir, what string, lost map[uint64]bool, damaged int64) {
	t.Helper()
	l := mustOpenWith(t, dir, small(), options{hook: quick})
	defer l.Close()
	all := everything(t, l)
	last := uint64(0)
	for n, e := range s.want {
		seq := uint64(n + 1)
		rec, ok := all[Position{s.epoch, seq}]
		if ok == lost[seq] {
			t.Fatalf("%s: record %d delivered: %v", what, seq, ok)
		}
		if ok {
			checkEntry(t, rec, e)
			last = seq
		}
	}
	named := declared(t, all)
	for seq := range lost {
		if reason, ok := named[Position{s.epoch, seq}]; ok != (seq < last) || ok && reason != sentinel.LossDamaged {
			t.Fatalf("%s: loss of %d declared: %v (%v), the last record is %d", what, seq, ok, reason, last)
		}
		delete(named, Position{s.epoch, seq})
	}
	if len(named) > 0 {
		t.Fatalf("%s: declared without need: %v", what, named)
	}
	st := l.Stats()
	if int64(st.DamagedBytes) != damaged {
		t.Fatalf("%s: %d damaged bytes counted, want %d", what, st.DamagedBytes, damaged)
	}
}

func TestP2TruncationAtEveryByte(t *testing.T) {
	s := makeSample(t, 9)
	dir := filepath.Join(memDir(t), "log")
	for i, f := range s.files {
		for size := range len(f.data) + 1 {
			lost := map[uint64]bool{}
			damaged := int64(0)
			for _, fr := range f.frames {
				if fr.end == int64(size) && fr.entry.end > fr.end { // between two frames of an entry
					damaged = fr.entry.frames - fr.entry.start
				}
				if fr.end <= int64(size) {
					continue
				}
				if fr.start < int64(size) {
					damaged = int64(size) - fr.start
				}
				if fr.seq > 0 {
					lost[fr.seq] = true
				}
			}
			s.put(t, dir, i, f.data[:size])
			s.check(t, dir, f.name, lost, damaged)
		}
	}
}

func TestP3EveryBitFlip(t *testing.T) {
	t.Parallel() // the slowest one that waits for no disk
	s := makeSample(t, 8)
	dir := filepath.Join(memDir(t), "log")
	for i, f := range s.files {
		for bit := 0; bit < 8*len(f.data); bit += stride() {
			data := append([]byte(nil), f.data...)
			data[bit/8] ^= 1 << (bit % 8)
			lost := map[uint64]bool{}
			damaged := int64(0)
			for _, fr := range f.frames {
				if at := int64(bit / 8); at < fr.start || at >= fr.end {
					continue
				} else if at < fr.frameStart { // a wrong length costs no record
					damaged = fr.frameStart - fr.start
				} else {
					damaged = fr.end - fr.start
					if fr.seq > 0 {
						lost[fr.seq] = true
					}
				}
			}
			s.put(t, dir, i, data)
			s.check(t, dir, f.name, lost, damaged)
		}
	}
}

func TestP2MissingAndRepeatedFiles(t *testing.T) {
	s := makeSample(t, 14)
	dir := filepath.Join(memDir(t), "log")
	lost := map[uint64]bool{}
	for _, fr := range s.files[1].frames {
		if fr.seq > 0 {
			lost[fr.seq] = true
		}
	}
	s.put(t, dir, 0, s.files[0].data)
	path := filepath.Join(dir, s.gen, s.files[1].name)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.check(t, dir, "missing file", lost, 0)

	s.put(t, dir, 0, s.files[0].data)
	again := filepath.Join(dir, s.gen, segmentName(5000))
	if err := os.WriteFile(again, s.files[0].data, 0o640); err != nil {
		t.Fatal(err)
	}
	s.check(t, dir, "repeated file", nil, 0)
}

// A frame of another generation is sound, and still must not count here.
func TestP3FramesOfAnotherGeneration(t *testing.T) {
	s := makeSample(t, 14)
	other := makeSample(t, 14)
	dir := filepath.Join(memDir(t), "log")
	lost := map[uint64]bool{}
	for _, fr := range s.files[1].frames {
		if fr.seq > 0 {
			lost[fr.seq] = true
		}
	}
	s.put(t, dir, 1, other.files[1].data)
	s.check(t, dir, "foreign frames", lost, int64(len(other.files[1].data)))
}

func TestP2LayoutFromAnotherGeneration(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, small())
	e := entry(0, 10)
	e.Layout = layoutHash(1)
	first, err := l.Append(e, definition(1))
	if err != nil {
		t.Fatal(err)
	}
	l.Rotate()
	if _, err := l.Append(e, definition(1)); err != nil {
		t.Fatal(err)
	}
	l.Close()
	path := segmentFiles(t, generationDirs(t, dir)[0])[0]
	data, _ := os.ReadFile(path)
	data[20] ^= 1 // in the definition, which comes first
	os.WriteFile(path, data, 0o640)
	l = mustOpen(t, dir, small())
	if b, ok := l.Layout(first.Epoch, e.Layout); !ok || string(b) != string(definition(1)()) {
		t.Fatalf("layout: %q, %v", b, ok)
	}
	if _, ok := l.Layout(first.Epoch, layoutHash(2)); ok {
		t.Fatal("an unknown layout is found")
	}
	in, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := in.Layout(first.Epoch, e.Layout); !ok || string(b) != string(definition(1)()) {
		t.Fatalf("layout by inspection: %q, %v", b, ok)
	}
}

// What was acknowledged for certain and rotted at the very end is declared.
func TestP2RottenTailIsDeclaredWhereTheEndIsKnown(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, small())
	var pos Position
	for n := range 5 {
		pos = mustAppend(t, l, entry(n, 50))
	}
	l.Close()
	path := segmentFiles(t, generationDirs(t, dir)[0])[0]
	data, _ := os.ReadFile(path)
	data[len(data)-1] ^= 1
	os.WriteFile(path, data, 0o640)
	l = mustOpen(t, dir, small())
	all := everything(t, l)
	got := declared(t, all)
	if len(got) != 1 || got[pos] != sentinel.LossDamaged {
		t.Fatalf("declared: %v", got)
	}
	all2 := everything(t, l) // a second reading declares nothing again
	if len(declared(t, all2)) != 1 {
		t.Fatal("declared again")
	}
	if s := l.Stats(); s.Dropped[sentinel.LossDamaged] != 1 || s.Undeclared != 0 {
		t.Fatalf("stats: %+v", s)
	}
}

func TestP2ForeignContent(t *testing.T) {
	s := makeSample(t, 14)
	mtime := time.Unix(1_000_000_000, 0)
	foreign := []string{"README", "gen-x", "gen-00000001", "gen-00000009-zzzzzzzzzzzzzzzz", "lost-1-2-3", "trash-me",
		filepath.Join(s.gen, "notes.txt"), filepath.Join(s.gen, "123"), "gen-00000077-00000000000000aa"}
	for _, name := range foreign {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path, []byte("not yours"), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(path, mtime, mtime)
	}
	for _, name := range []string{"folder", "quarantine", filepath.Join(s.gen, segmentName(9999))} {
		if err := os.Mkdir(filepath.Join(s.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		foreign = append(foreign, name)
	}
	// A copy of a generation under another ordinal has the same epoch.
	copyDir(t, filepath.Join(s.dir, s.gen), filepath.Join(s.dir, genName(42, s.epoch)))
	os.Remove(filepath.Join(s.dir, lockName))
	os.Mkdir(filepath.Join(s.dir, lockName), 0o700)

	l := mustOpen(t, s.dir, small())
	if got := l.Stats().Foreign; got != len(foreign)+2 { // the copy, and what was called lock
		t.Errorf("%d foreign names counted, want %d", got, len(foreign)+2)
	}
	all := everything(t, l)
	for n, e := range s.want {
		checkEntry(t, all[Position{s.epoch, uint64(n + 1)}], e)
	}
	mustAppend(t, l, entry(0, 10))
	for _, g := range l.Generations() {
		l.Settle(sentinel.Mark{Epoch: g.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: 1 << 40}}})
	}
	l.Close()
	for _, name := range foreign {
		if filepath.Dir(name) == s.gen {
			continue // went with its generation
		}
		if _, err := os.Lstat(filepath.Join(s.dir, name)); err != nil {
			t.Error(err)
		}
	}
}
