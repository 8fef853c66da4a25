package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(writerChild(dir))
	}
	if dir := os.Getenv(openerEnv); dir != "" {
		os.Exit(openerChild(dir))
	}
	goleak.VerifyTestMain(m)
}

// small is a configuration that fills files and generations quickly.
func small() Config {
	cfg := DefaultConfig()
	cfg.SegmentBytes = 1 << 10
	cfg.GenerationBytes = 4 << 10
	cfg.MaxBytes = 1 << 20
	return cfg
}

const childEnv = "SENTINEL_WAL_CHILD"

var epochZero = time.UnixMilli(1_700_000_000_000)

// entry returns the n-th test entry: its content follows from n alone.
func entry(n, size int) Entry {
	data := fmt.Appendf(nil, "record %d ", n)
	for len(data) < size {
		data = append(data, byte(n+len(data)*7))
	}
	return Entry{Kind: KindCycle, Time: epochZero.Add(time.Duration(n%1_000_000_000) * time.Second), Data: data} // a Duration holds 292 years
}

// layoutHash and definition give the test layout number n.
func layoutHash(n int) (h sentinel.LayoutHash) {
	copy(h[:], fmt.Sprintf("layout %d", n))
	return h
}

func definition(n int) func() []byte {
	return func() []byte { return fmt.Appendf(nil, "definition of layout %d", n) }
}

func mustOpen(t testing.TB, dir string, cfg Config) *Log {
	t.Helper()
	return mustOpenWith(t, dir, cfg, options{now: time.Now})
}

func mustOpenWith(t testing.TB, dir string, cfg Config, opt options) *Log {
	t.Helper()
	if opt.now == nil {
		opt.now = time.Now
	}
	l, err := open(dir, cfg, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustAppend(t testing.TB, l *Log, e Entry) Position {
	t.Helper()
	pos, err := l.Append(e, nil)
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

// drain reads a generation to its present end.
func drain(t testing.TB, l *Log, epoch sentinel.Epoch, from uint64) []Record {
	t.Helper()
	r, err := l.Reader(epoch, from)
	if sentinel.CodeOf(err) == sentinel.NotFound {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []Record
	last := uint64(0)
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Epoch != epoch || rec.Seq <= last {
			t.Fatalf("record %v after %d: not ascending in %s", rec.Position, last, epoch)
		}
		last = rec.Seq
		rec.Data = bytes.Clone(rec.Data)
		out = append(out, rec)
	}
}

// everything reads all generations there are and those that the reading makes.
func everything(t testing.TB, l *Log) map[Position]Record {
	t.Helper()
	out := map[Position]Record{}
	seen := map[sentinel.Epoch]uint64{}
	for grew := true; grew; {
		grew = false
		for _, g := range l.Generations() {
			for _, rec := range drain(t, l, g.Epoch, seen[g.Epoch]+1) {
				if _, twice := out[rec.Position]; twice {
					t.Fatalf("%v came twice", rec.Position)
				}
				out[rec.Position] = rec
				seen[g.Epoch] = rec.Seq
				grew = true
			}
		}
	}
	return out
}

// declared returns the losses in the records, number by number.
func declared(t testing.TB, records map[Position]Record) map[Position]sentinel.LossReason {
	t.Helper()
	out := map[Position]sentinel.LossReason{}
	for _, rec := range records {
		if rec.Kind != KindLosses {
			continue
		}
		for _, loss := range decodeLosses(rec.Data) {
			for seq := loss.Range.First; seq <= loss.Range.Last; seq++ {
				pos := Position{loss.Epoch, seq}
				if _, twice := out[pos]; twice {
					t.Fatalf("%v is declared twice", pos)
				}
				out[pos] = loss.Reason
			}
		}
	}
	return out
}

func checkEntry(t testing.TB, rec Record, want Entry) {
	t.Helper()
	if rec.Kind != want.Kind || !rec.Time.Equal(want.Time) || rec.Layout != want.Layout || !bytes.Equal(rec.Data, want.Data) {
		t.Fatalf("%v holds kind %d, time %v, %.40q; want kind %d, time %v, %.40q",
			rec.Position, rec.Kind, rec.Time, rec.Data, want.Kind, want.Time, want.Data)
	}
}

// abandon leaves a log as a killed process would: nothing is sealed or saved.
func abandon(l *Log) {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	gens := l.gens
	l.mu.Unlock()
	if closed {
		return
	}
	for _, g := range gens {
		l.closeReaders(g)
	}
	if l.active != nil && l.active.file != nil {
		l.active.file.Close()
	}
	l.lock.Close()
}

// generationDirs returns the generation folders in a log folder, in order.
func generationDirs(t testing.TB, dir string) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(dir, genPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func segmentFiles(t testing.TB, genDir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(genDir, "0*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func decodeLossesOf(rec Record) []sentinel.Loss {
	if rec.Kind != KindLosses {
		return nil
	}
	return decodeLosses(rec.Data)
}

// memDir returns a folder in memory where the system has one, for tests that are
// about contents and make thousands of files.
func memDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sentinel-wal-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
