package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// scenario is a short life of a log: appends over several generations, some
// settled, some dropped, with a second try for each append that fails.
type scenario struct {
	acked   map[Position]int // content by name, as acknowledged
	settled map[Position]bool
	failed  int
}

const scenarioBound = 8 << 10

func scenarioConfig() Config {
	cfg := small()
	cfg.SegmentBytes, cfg.GenerationBytes, cfg.MaxBytes = 1<<10, 2<<10, scenarioBound
	return cfg
}

// scenarioEntry returns records for the library's files and for those that are
// written past it.
func scenarioEntry(n int) Entry {
	e := entry(n, 40)
	if n%6 > 2 {
		e = entry(n, 400)
	}
	e.Layout = layoutHash(n % 2)
	return e
}

func (s *scenario) run(t *testing.T, dir string, hook func(op, path string, run func() error) error) (*Log, error) {
	s.acked, s.settled = map[Position]int{}, map[Position]bool{}
	l, err := open(dir, scenarioConfig(), nil, options{now: time.Now, hook: hook})
	if err != nil {
		return nil, err
	}
	var last Position
	for n := range 45 {
		e := scenarioEntry(n)
		for range 2 {
			pos, err := l.Append(e, definition(n%2))
			if err != nil {
				s.failed++
				continue
			}
			if old, ok := s.acked[pos]; ok {
				t.Fatalf("%v names %d and %d", pos, old, n)
			}
			s.acked[pos], last = n, pos
			break
		}
		switch n {
		case 8: // half a generation
			s.note(l, last.Epoch)
			if l.Settle(sentinel.Mark{Epoch: last.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: 1}}}) == nil {
				s.settled[Position{last.Epoch, 1}] = true
			}
		case 20, 35: // some whole ones
			for i, g := range l.Generations() {
				if i == 1 && g.Sealed && g.Appended > 0 {
					s.note(l, g.Epoch)
					if l.Settle(sentinel.Mark{Epoch: g.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: g.Appended}}}) == nil {
						for seq := range g.Appended {
							s.settled[Position{g.Epoch, seq + 1}] = true
						}
					}
				}
			}
		case 30:
			if r, err := l.Reader(last.Epoch, 1); err == nil {
				for {
					if _, err := r.Next(); err != nil {
						break
					}
				}
				r.Close()
			}
		case 40:
			l.Rotate()
		}
	}
	return l, nil
}

// note remembers what the service learns from a generation that it settles.
func (s *scenario) note(l *Log, epoch sentinel.Epoch) {
	r, err := l.Reader(epoch, 1)
	if err != nil {
		return
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if sentinel.CodeOf(err) == sentinel.Unavailable {
			continue // it is read the next time
		}
		if err != nil {
			return
		}
		for _, loss := range decodeLossesOf(rec) {
			for seq := loss.Range.First; seq <= loss.Range.Last; seq++ {
				s.settled[Position{loss.Epoch, seq}] = true
			}
		}
	}
}

// verify opens what is left and requires: all that was acknowledged is there,
// settled or declared; no content under two names; what is there is unaltered.
func (s *scenario) verify(t *testing.T, dir, what string) {
	t.Helper()
	l, err := open(dir, scenarioConfig(), nil, options{now: time.Now, hook: quick})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer l.Close()
	if _, err := l.Append(entry(1000, 10), nil); err != nil {
		t.Fatalf("%s: append: %v", what, err)
	}
	all := everything(t, l)
	lost := map[Position]sentinel.LossReason{}
	names := map[int]Position{}
	layouts := map[Position]bool{} // epoch and number of those that are checked
	for _, rec := range all {
		for _, loss := range decodeLossesOf(rec) {
			for seq := loss.Range.First; seq <= loss.Range.Last; seq++ {
				lost[Position{loss.Epoch, seq}] = loss.Reason
			}
		}
		var n int
		if rec.Kind != KindCycle || func() bool { fmt.Sscanf(string(rec.Data), "record %d ", &n); return n == 1000 }() {
			continue
		}
		checkEntry(t, rec, scenarioEntry(n))
		if old, ok := names[n]; ok {
			t.Fatalf("%s: %d stands under %v and %v", what, n, old, rec.Position)
		}
		names[n] = rec.Position
		if named := (Position{rec.Epoch, uint64(n % 2)}); layouts[named] {
			continue
		} else {
			layouts[named] = true
		}
		if b, ok := l.Layout(rec.Epoch, rec.Layout); !ok || string(b) != string(definition(n%2)()) {
			t.Fatalf("%s: the layout of %v is gone", what, rec.Position)
		}
	}
	for pos, n := range s.acked {
		if s.settled[pos] {
			continue
		}
		_, isLost := lost[pos]
		if _, there := all[pos]; there == isLost {
			t.Fatalf("%s: %v (%d) is there: %v, declared lost: %v", what, pos, n, there, isLost)
		}
		if name, ok := names[n]; ok && name != pos {
			t.Fatalf("%s: %d was acknowledged as %v and stands under %v", what, n, pos, name)
		}
	}
	for pos, reason := range lost {
		if reason == sentinel.LossDamaged {
			t.Fatalf("%s: %v is declared as damaged", what, pos)
		}
	}
}

// countOps returns how many file operations the scenario takes.
func countOps(t *testing.T) int {
	ops := 0
	var s scenario
	dir := memDir(t)
	l, err := s.run(t, dir, func(op, path string, run func() error) error {
		ops++
		return quick(op, path, run)
	})
	if err != nil {
		t.Fatal(err)
	}
	if st := l.Stats(); s.failed > 0 || st.Dropped[sentinel.LossBytes] == 0 || len(s.settled) == 0 {
		t.Fatalf("the scenario does not drop and settle: %+v, %d settled", st, len(s.settled))
	}
	l.Close()
	s.verify(t, dir, "without a fault")
	return ops
}

// TestP4EveryOperationFails fails the n-th file operation of a scenario for
// every n: before it ran, after it ran, and with half of a write done.
func TestP4EveryOperationFails(t *testing.T) {
	total := countOps(t)
	ways := []struct {
		name string
		err  error
		ran  bool
	}{{"EIO", syscall.EIO, false}, {"EIO after it ran", syscall.EIO, true}, {"ENOSPC", errFull, false}}
	for w, way := range ways {
		for n := w % stride(); n < total+1; n += stride() {
			what := fmt.Sprintf("operation %d of %d, %s", n, total, way.name)
			ops, failed := 0, ""
			hook := func(op, path string, run func() error) error {
				ops++
				if ops-1 != n {
					return quick(op, path, run)
				}
				failed = op + " " + filepath.Base(path)
				if way.ran {
					quick(op, path, run)
				} else if op == "write" {
					tearWrite(path)
				}
				return &os.PathError{Op: op, Path: path, Err: way.err}
			}
			dir := filepath.Join(memDir(t), "log")
			var s scenario
			l, err := s.run(t, dir, hook)
			what += " (" + failed + ")"
			if err == nil {
				if s.failed > 0 && !strings.HasPrefix(failed, "mkdir") && way.err == syscall.EIO && n > 5 {
					t.Fatalf("%s: one fault failed %d appends: a fresh generation should have helped", what, s.failed)
				}
				// The process that saw the fault reads the same as the next one.
				if n%2 == 0 {
					l.Close()
				} else {
					abandon(l)
				}
			}
			s.verify(t, dir, what)
			os.RemoveAll(dir)
		}
	}
}

// tearWrite leaves a part of a frame behind, as a write that failed half way.
func tearWrite(genDir string) {
	files, _ := filepath.Glob(filepath.Join(genDir, "0*"))
	if len(files) == 0 {
		return
	}
	f, err := os.OpenFile(files[len(files)-1], os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		f.WriteString("\x99\x02" + frameMagic + "torn")
		f.Close()
	}
}

// TestP2CrashAtEveryOperation lets everything fail from the n-th operation on,
// for every n: what is on disk then is what a crash there leaves.
func TestP2CrashAtEveryOperation(t *testing.T) {
	total := countOps(t)
	dead := errors.New("the process is dead")
	for n := 0; n < total+1; n += stride() {
		ops := 0
		hook := func(op, path string, run func() error) error {
			if ops++; ops > n {
				return dead
			}
			return quick(op, path, run)
		}
		dir := filepath.Join(memDir(t), "log")
		var s scenario
		l, err := s.run(t, dir, hook)
		if err == nil {
			abandon(l)
		}
		s.verify(t, dir, fmt.Sprintf("crash at operation %d of %d", n, total))
		os.RemoveAll(dir)
	}
}

// A record whose append failed may be on disk; appended again, it has another
// name. The old one must never come back, not even after a crash without sidecar.
func TestP7FailedAppendComesBackOnce(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for _, settleNext := range []bool{false, true} {
			dir := t.TempDir()
			var fail, failSave bool
			hook := func(op, path string, run func() error) error {
				if op == "sync" && fail {
					fail = false
					return syscall.EIO // the bytes are in the file all the same
				}
				if op == "save" && failSave {
					return errFull
				}
				return run()
			}
			l := mustOpenWith(t, dir, small(), options{hook: hook})
			first := mustAppend(t, l, entry(0, 50))
			fail, failSave = true, true
			second := mustAppend(t, l, entry(1, 50))
			if second.Epoch == first.Epoch || second.Seq != 1 {
				t.Fatalf("after an error: %v, then %v", first, second)
			}
			if got := drain(t, l, first.Epoch, 1); len(got) != 1 {
				t.Fatalf("the sealed generation shows %d records", len(got))
			}
			l.Rotate()
			if settleNext { // the generation with the word about the end goes first
				failSave = false
				if err := l.Settle(sentinel.Mark{Epoch: second.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: 1}}}); err != nil {
					t.Fatal(err)
				}
				if n := len(l.Generations()); n != 1 {
					t.Fatalf("%d generations", n)
				}
			}
			if crash {
				abandon(l)
			} else {
				l.Close()
			}
			l = mustOpen(t, dir, small())
			if got := drain(t, l, first.Epoch, 1); len(got) != 1 {
				t.Fatalf("crash %v, settled %v: %d records come back", crash, settleNext, len(got))
			}
			in, err := Inspect(dir)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, err := range in.Records(first.Epoch, 1) {
				if n++; err != nil {
					t.Fatal(err)
				}
			}
			if n != 1 {
				t.Fatalf("inspection shows %d records", n)
			}
			l.Close()
		}
	}
}

// A read that fails for a moment must not cost records; one that always fails
// must not stop the reader.
func TestP2UnreadableBlocks(t *testing.T) {
	dir := t.TempDir()
	cfg := small()
	cfg.SegmentBytes, cfg.GenerationBytes = 64<<10, 64<<10
	failing, always := 0, false
	hook := func(op, path string, run func() error) error {
		if op == "read" && (failing > 0 || always) {
			failing--
			return syscall.EIO
		}
		return run()
	}
	l := mustOpenWith(t, dir, cfg, options{hook: hook})
	var pos Position
	for n := range 20 {
		pos = mustAppend(t, l, entry(n, 1000))
	}
	l.Rotate()
	read := func() (records, failures int) {
		r, err := l.Reader(pos.Epoch, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for {
			_, err := r.Next()
			switch {
			case err == nil:
				records++
			case errors.Is(err, io.EOF):
				return records, failures
			case sentinel.CodeOf(err) != sentinel.Unavailable:
				t.Fatal(err)
			default:
				failures++
			}
		}
	}
	failing = 3
	if records, failures := read(); records != 20 || failures != 3 {
		t.Fatalf("%d records, %d failures", records, failures)
	}
	always = true
	if records, failures := read(); records != 0 || failures < patience-1 {
		t.Fatalf("%d records, %d failures", records, failures)
	}
	always = false
	l.Append(entry(0, 1), nil)
	if got := declared(t, everything(t, l)); len(got) != 20 {
		t.Fatalf("%d records declared", len(got))
	}
}

// TestP1PowerLoss keeps, beside the real folder, what a power failure would
// leave: of each file what was there at its last fsync, of each folder the names
// at its last fsync. After every acknowledgement that image must hold the record.
func TestP1PowerLoss(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	var mu sync.Mutex
	durable := map[string][]byte{}        // path → content
	names := map[string]map[string]bool{} // folder → names
	hook := func(op, path string, run func() error) error {
		err := run()
		mu.Lock()
		defer mu.Unlock()
		switch op {
		case "sync":
			durable[path], _ = os.ReadFile(path)
		case "syncdir":
			names[path] = map[string]bool{}
			entries, _ := os.ReadDir(path)
			for _, e := range entries {
				names[path][e.Name()] = true
			}
		}
		return err
	}
	cfg := small()
	missing := filepath.Join(filepath.Dir(dir), "above", "log")
	mustOpenWith(t, missing, cfg, options{hook: hook})
	if !names[filepath.Dir(dir)]["above"] || !names[filepath.Dir(missing)]["log"] {
		t.Fatal("the names of folders that were missing are not durable")
	}
	if err := os.Mkdir(dir, 0o750); err != nil { // by a process that was killed then
		t.Fatal(err)
	}
	l := mustOpenWith(t, dir, cfg, options{hook: hook})
	if !names[filepath.Dir(dir)]["log"] {
		t.Fatal("the log folder's own name is not durable")
	}
	acked := map[Position]int{}
	for n := range 40 {
		e := entry(n, 100+n*31%700)
		e.Layout = layoutHash(n % 2)
		pos, err := l.Append(e, definition(n%2))
		if err != nil {
			t.Fatal(err)
		}
		acked[pos] = n

		image := filepath.Join(memDir(t), "image")
		os.MkdirAll(image, 0o750)
		for genName := range names[dir] {
			genDir := filepath.Join(dir, genName)
			for name := range names[genDir] {
				os.MkdirAll(filepath.Join(image, genName), 0o750)
				os.WriteFile(filepath.Join(image, genName, name), durable[filepath.Join(genDir, name)], 0o640)
			}
		}
		after := mustOpenWith(t, image, cfg, options{hook: quick})
		all := everything(t, after)
		for pos, n := range acked {
			rec, ok := all[pos]
			if !ok {
				t.Fatalf("after %d appends a power failure loses %v (%d)", len(acked), pos, n)
			}
			want := entry(n, 100+n*31%700)
			want.Layout = layoutHash(n % 2)
			checkEntry(t, rec, want)
			if _, ok := after.Layout(pos.Epoch, rec.Layout); !ok {
				t.Fatalf("a power failure loses the layout of %v", pos)
			}
		}
		after.Close()
	}
}
