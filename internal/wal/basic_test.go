package wal

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	tidwall "github.com/tidwall/wal"
)

func TestAppendAndRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "log")
	l := mustOpen(t, dir, small())
	if got := l.Generations(); len(got) != 0 {
		t.Fatalf("a fresh log has generations: %v", got)
	}
	want := map[Position]Entry{}
	layouts := map[Position]int{}
	for n := range 60 {
		e := entry(n, 100)
		e.Layout = layoutHash(n % 3)
		pos, err := l.Append(e, definition(n%3))
		if err != nil {
			t.Fatal(err)
		}
		want[pos], layouts[pos] = e, n%3
	}
	check := func(l *Log) {
		t.Helper()
		got := everything(t, l)
		if len(got) != len(want) {
			t.Fatalf("read %d records, want %d", len(got), len(want))
		}
		for pos, e := range want {
			checkEntry(t, got[pos], e)
			b, ok := l.Layout(pos.Epoch, e.Layout)
			if !ok || string(b) != string(definition(layouts[pos])()) {
				t.Fatalf("layout of %v: %q, %v", pos, b, ok)
			}
		}
	}
	check(l)
	if n := len(l.Generations()); n < 3 {
		t.Fatalf("%d generations: the log does not seal them by size", n)
	}
	for _, g := range l.Generations() {
		if g.Bytes > small().GenerationBytes+small().SegmentBytes {
			t.Errorf("generation of %d bytes", g.Bytes)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, dir, small())
	check(l)
	before := l.Generations()
	pos := mustAppend(t, l, entry(0, 10))
	for _, g := range before {
		if g.Epoch == pos.Epoch {
			t.Fatal("a second process appended to an old generation")
		}
	}
	if pos.Seq != 1 {
		t.Fatalf("a generation starts at %d", pos.Seq)
	}
}

// The readers' limits rest on knowing what the library has written to which file.
func TestExtentsMatchFiles(t *testing.T) {
	dir := t.TempDir()
	cfg := small()
	cfg.GenerationBytes = 256 << 10
	l := mustOpen(t, dir, cfg)
	for n := range 300 {
		mustAppend(t, l, entry(n, 1+n*13%1500))
		if n%10 != 0 {
			continue
		}
		g := l.active.g
		files, _, err := listSegments(l.disk, g.dir)
		if err != nil || len(files) != len(g.extents) {
			t.Fatalf("%d files, %d extents, %v", len(files), len(g.extents), err)
		}
		for i, f := range files {
			if f.extent != g.extents[i] {
				t.Fatalf("file %d is %v, extent %v", i, f.extent, g.extents[i])
			}
		}
	}
}

// What is written past the library is byte for byte what the library writes: it
// reads a sound generation from end to end.
func TestTheLibraryReadsEveryFile(t *testing.T) {
	dir := t.TempDir()
	cfg := small()
	cfg.GenerationBytes, cfg.MaxBytes = 2<<20, 8<<20
	l := mustOpen(t, dir, cfg)
	plain := map[bool]int{}
	for n := range 300 {
		size := 20 // five in each file of the library's, and then some that are large
		if n/10%3 == 2 {
			size = 7000
		}
		mustAppend(t, l, entry(n, size))
		_, is := l.active.file.(plainFile)
		plain[is]++
	}
	if plain[true] < 50 || plain[false] < 50 {
		t.Fatalf("written past the library: %v", plain)
	}
	want := drain(t, l, l.active.g.epoch, 1)
	l.Close()
	gen := generationDirs(t, dir)[0]
	log, err := tidwall.Open(gen, &tidwall.Options{SegmentCacheSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	last, err := log.LastIndex()
	if err != nil || last != uint64(len(want)) {
		t.Fatalf("%d entries, want %d: %v", last, len(want), err)
	}
	for i, rec := range want {
		b, err := log.Read(uint64(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		f, n, wrong := decodeFrame(b, rec.Epoch)
		if wrong != "" || n != len(b) || f.seq != rec.Seq || !bytes.Equal(f.payload, rec.Data) {
			t.Fatalf("entry %d: frame %d of %d bytes, %s", i+1, f.seq, n, wrong)
		}
	}
}

func TestLiveReaderFollows(t *testing.T) {
	l := mustOpen(t, t.TempDir(), small())
	first := mustAppend(t, l, entry(0, 50))
	r, err := l.Reader(first.Epoch, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		for n := 1; n < 20; n++ {
			if _, err := l.Append(entry(n, 50), nil); err != nil {
				t.Error(err)
			}
		}
		if err := l.Rotate(); err != nil {
			t.Error(err)
		}
	}()
	for n := 0; ; {
		changed := l.Changed()
		rec, err := r.Next()
		switch {
		case err == nil:
			checkEntry(t, rec, entry(n, 50))
			n++
			continue
		case !errors.Is(err, io.EOF):
			t.Fatal(err)
		case r.Done():
			if n != 20 {
				t.Fatalf("done after %d records", n)
			}
			return
		}
		<-changed
	}
}

func TestReaderFrom(t *testing.T) {
	dir := t.TempDir()
	cfg := small()
	cfg.GenerationBytes = 64 << 10
	l := mustOpen(t, dir, cfg)
	var pos Position
	for n := range 100 {
		pos = mustAppend(t, l, entry(n, 60))
	}
	if n := len(segmentFiles(t, generationDirs(t, dir)[0])); n < 10 {
		t.Fatalf("%d files", n)
	}
	for _, again := range []bool{false, true} {
		if again {
			l.Close()
			l = mustOpen(t, dir, cfg)
		}
		for from := uint64(1); from <= 101; from += 7 {
			got := drain(t, l, pos.Epoch, from)
			if uint64(len(got)) != 101-from {
				t.Fatalf("from %d: %d records", from, len(got))
			}
			for i, rec := range got {
				checkEntry(t, rec, entry(int(from)-1+i, 60))
			}
		}
	}
	if len(declared(t, everything(t, l))) != 0 {
		t.Error("reading from the middle declared losses")
	}
}

func TestConcurrentAppendersShareFsyncs(t *testing.T) {
	var mu sync.Mutex
	syncs := 0
	l := mustOpenWith(t, t.TempDir(), DefaultConfig(), options{hook: func(op, _ string, run func() error) error {
		if op == "sync" {
			mu.Lock()
			syncs++
			mu.Unlock()
		}
		return run()
	}})
	const writers, each = 16, 20
	var group sync.WaitGroup
	got := make([]map[Position]Entry, writers)
	// The first round waits in the queue until all are in it.
	l.commitMu.Lock()
	for w := range writers {
		got[w] = map[Position]Entry{}
		group.Go(func() {
			for n := range each {
				e := entry(w*each+n, 64)
				e.Layout = layoutHash(n % 2)
				pos, err := l.Append(e, definition(n%2))
				if err != nil {
					t.Error(err)
				}
				got[w][pos] = e
			}
		})
	}
	for changed := false; !changed; {
		l.queueMu.Lock()
		changed = len(l.queue) == writers
		l.queueMu.Unlock()
	}
	l.commitMu.Unlock()
	group.Wait()
	all := everything(t, l)
	for _, m := range got {
		if len(m) != each {
			t.Fatal("two records got one position")
		}
		for pos, e := range m {
			checkEntry(t, all[pos], e)
		}
	}
	if len(all) != writers*each {
		t.Fatalf("%d records", len(all))
	}
	if syncs > writers*each-writers+1 {
		t.Fatalf("%d fsyncs for %d records", syncs, writers*each)
	}
}

func TestAppendRefusesWhatCanNeverFit(t *testing.T) {
	l := mustOpen(t, t.TempDir(), small())
	withLayout := entry(0, 1)
	withLayout.Layout = layoutHash(1)
	for name, try := range map[string]func() error{
		"kind 0":        func() error { _, err := l.Append(Entry{}, nil); return err },
		"control kind":  func() error { _, err := l.Append(Entry{Kind: 0x80}, nil); return err },
		"losses":        func() error { _, err := l.Append(Entry{Kind: KindLosses}, nil); return err },
		"too long":      func() error { _, err := l.Append(entry(0, MaxData+1), nil); return err },
		"over the log":  func() error { _, err := l.Append(entry(0, MaxData), nil); return err },
		"no definition": func() error { _, err := l.Append(withLayout, nil); return err },
		"empty definition": func() error {
			_, err := l.Append(withLayout, func() []byte { return nil })
			return err
		},
		"no loss": func() error { return l.Declare(sentinel.Loss{Epoch: 1}) },
		"marks that descend": func() error {
			return l.Settle(sentinel.Mark{Epoch: 1, Settled: []sentinel.SeqRange{{First: 5, Last: 6}, {First: 1, Last: 2}}})
		},
	} {
		if err := try(); sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustAppend(t, l, entry(0, 10))
	l.Close()
	if _, err := l.Append(entry(0, 1), nil); sentinel.CodeOf(err) != sentinel.Unavailable {
		t.Errorf("append after close: %v", err)
	}
	<-l.Changed()
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	for i, breakIt := range []func(*Config){
		func(c *Config) { c.SegmentBytes = 0 },
		func(c *Config) { c.GenerationBytes = c.SegmentBytes - 1 },
		func(c *Config) { c.MaxBytes = c.GenerationBytes },
		func(c *Config) { c.MaxAge = 0 },
		func(c *Config) { c.OnFull = "drop_everything" },
	} {
		c := DefaultConfig()
		breakIt(&c)
		if sentinel.CodeOf(c.Validate()) != sentinel.Invalid {
			t.Errorf("case %d passes", i)
		}
	}
}
