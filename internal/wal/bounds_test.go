package wal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// books requires that each record that was acknowledged, the log's own included,
// is either there or declared lost, and never both, and that the counters agree.
func books(t *testing.T, l *Log, acked []Position, reason sentinel.LossReason) {
	t.Helper()
	before := l.Stats()
	all := everything(t, l)
	lost := declared(t, all)
	for pos, why := range lost {
		if _, both := all[pos]; both || why != reason {
			t.Fatalf("%v: declared for %v, and there: %v", pos, why, both)
		}
	}
	for _, pos := range acked {
		_, there := all[pos]
		if _, isLost := lost[pos]; there == isLost {
			t.Fatalf("%v: there %v, declared %v", pos, there, isLost)
		}
	}
	st := l.Stats()
	if st.Dropped[reason] != uint64(len(lost)) {
		t.Fatalf("%d dropped by the counter, %d declared", st.Dropped[reason], len(lost))
	}
	if st.Appended != uint64(len(all)+len(lost)) {
		t.Fatalf("%d appended, %d there, %d declared", st.Appended, len(all), len(lost))
	}
	if before.Appended != st.Appended || st.DamagedBytes != 0 || st.Undeclared != 0 {
		t.Fatalf("reading changed something: %+v, then %+v", before, st)
	}
}

func sizeOnDisk(t *testing.T, dir string) (n int64) {
	t.Helper()
	for _, gen := range generationDirs(t, dir) {
		for _, f := range segmentFiles(t, gen) {
			if info, err := os.Stat(f); err == nil {
				n += info.Size()
			}
		}
	}
	return n
}

// Declarations are dropped and carried forward many times over here: losses that
// were declared in a generation that is dropped itself must still be told.
func TestP5BytesDropOldest(t *testing.T) {
	dir := memDir(t)
	cfg := small()
	cfg.GenerationBytes, cfg.MaxBytes = 2<<10, 10<<10
	l := mustOpen(t, dir, cfg)
	var acked []Position
	for n := range 400 {
		acked = append(acked, mustAppend(t, l, entry(n, 50+n*37%400)))
		if got := sizeOnDisk(t, dir); got > cfg.MaxBytes || got != l.Stats().Bytes {
			t.Fatalf("%d bytes on disk, %d in the books, the bound is %d", got, l.Stats().Bytes, cfg.MaxBytes)
		}
	}
	if lost, _ := filepath.Glob(filepath.Join(dir, "[lt][or]*-*")); len(lost) > 0 {
		t.Fatalf("left behind: %v", lost)
	}
	books(t, l, acked, sentinel.LossBytes)
	if n := l.Stats().Dropped[sentinel.LossBytes]; n < 200 {
		t.Fatalf("only %d dropped", n)
	}
}

func TestP5BytesDropNewest(t *testing.T) {
	cfg := small()
	cfg.OnFull, cfg.MaxBytes = DropNewest, 10<<10
	l := mustOpen(t, memDir(t), cfg)
	var acked []Position
	refused := uint64(0)
	for n := range 100 {
		pos, err := l.Append(entry(n, 200), nil)
		switch {
		case err == nil:
			acked = append(acked, pos)
		case sentinel.CodeOf(err) == sentinel.ResourceExhausted:
			refused++
		default:
			t.Fatal(err)
		}
	}
	if st := l.Stats(); refused == 0 || st.Refused[sentinel.LossBytes] != refused || st.Bytes > cfg.MaxBytes || st.Failed != 0 {
		t.Fatalf("%d refused, %+v", refused, st)
	}
	books(t, l, acked, sentinel.LossBytes)
	// Its own word gets through, and what is settled makes room.
	if err := l.Declare(sentinel.Loss{Epoch: acked[0].Epoch, Range: sentinel.SeqRange{First: 1, Last: 1}, Reason: sentinel.LossRejected}); err != nil {
		t.Fatal(err)
	}
	l.Rotate()
	for _, g := range l.Generations() {
		l.Settle(sentinel.Mark{Epoch: g.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: g.Appended}}})
	}
	mustAppend(t, l, entry(0, 200))
}

func TestP5Age(t *testing.T) {
	for _, policy := range []Policy{DropOldest, DropNewest} {
		c := &clock{time.Now()}
		cfg := small()
		cfg.OnFull = policy
		l := mustOpenWith(t, memDir(t), cfg, options{now: c.now})
		var acked []Position
		for n := range 90 {
			acked = append(acked, mustAppend(t, l, entry(n, 20)))
			c.t = c.t.Add(24 * time.Hour)
		}
		books(t, l, acked, sentinel.LossAge)
		// 31 days of data, and one generation may be 2 days older than that.
		if n := l.Stats().Dropped[sentinel.LossAge]; n < 50 || n > 100 {
			t.Fatalf("%d of 90 days dropped", n)
		}
	}
}

// What is settled or declared already is not declared with the rest.
func TestP5SettledIsNotDeclared(t *testing.T) {
	dir := memDir(t)
	cfg := small()
	c := &clock{time.Now()}
	l := mustOpenWith(t, dir, cfg, options{now: c.now})
	var pos Position
	for n := range 10 {
		pos = mustAppend(t, l, entry(n, 20))
	}
	if err := l.Settle(sentinel.Mark{Epoch: pos.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: 3}, {First: 6, Last: 7}}}); err != nil {
		t.Fatal(err)
	}
	l.Rotate()
	if err := l.Declare(sentinel.Loss{Epoch: pos.Epoch, Range: sentinel.SeqRange{First: 9, Last: 9}, Reason: sentinel.LossRejected}); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(cfg.MaxAge + time.Hour)
	mustAppend(t, l, entry(99, 20))
	want := map[uint64]sentinel.LossReason{4: sentinel.LossAge, 5: sentinel.LossAge, 8: sentinel.LossAge, 9: sentinel.LossRejected, 10: sentinel.LossAge}
	got := declared(t, everything(t, l))
	for seq, reason := range want {
		if got[Position{pos.Epoch, seq}] != reason {
			t.Errorf("%d is declared for %v, want %v", seq, got[Position{pos.Epoch, seq}], reason)
		}
		delete(got, Position{pos.Epoch, seq})
	}
	// The generation that held the first declaration was too old as well.
	if len(got) != 1 {
		t.Errorf("also declared: %v", got)
	}
}

// A crash between the steps of a drop leaves a folder that declares itself, with
// the declarations that were in it.
func TestP5UnfinishedDropIsDeclaredByOpen(t *testing.T) {
	dir := memDir(t)
	l := mustOpen(t, dir, small())
	first := mustAppend(t, l, entry(0, 20))
	older := sentinel.Loss{Epoch: 7, Range: sentinel.SeqRange{First: 3, Last: 5}, Reason: sentinel.LossDamaged}
	if err := l.Declare(older); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, entry(1, 20))
	if err := l.Settle(sentinel.Mark{Epoch: first.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: 1}}}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	gen := generationDirs(t, dir)[0]
	ordinal, epoch, _ := parseGenName(filepath.Base(gen))
	name := lostName(&generation{ordinal: ordinal, epoch: epoch}, sentinel.LossDiskFull, sentinel.SeqRange{First: 1, Last: 3})
	if err := os.Rename(gen, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	in, err := Inspect(dir)
	if err != nil || len(in.Unfinished) != 1 || in.Unfinished[0].Reason != sentinel.LossDiskFull {
		t.Fatalf("inspection: %+v, %v", in, err)
	}
	l = mustOpen(t, dir, small())
	if l.Stats().Undeclared == 0 {
		t.Fatal("nothing is due")
	}
	mustAppend(t, l, entry(2, 20))
	got := declared(t, everything(t, l))
	if len(got) != 5 || got[Position{7, 4}] != sentinel.LossDamaged ||
		got[Position{epoch, 2}] != sentinel.LossDiskFull || got[Position{epoch, 3}] != sentinel.LossDiskFull {
		t.Fatalf("declared: %v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the folder is left: %v", err)
	}
}

// While somebody else fills the disk, dropping helps nobody: the log must not
// give up everything for nothing, and must go on by itself when there is room.
func TestP4FullDiskThatDroppingDoesNotHelp(t *testing.T) {
	c := &clock{time.Now()}
	isFull := false
	hook := func(op, _ string, run func() error) error {
		if isFull && op == "write" {
			return errFull
		}
		return run()
	}
	cfg := DefaultConfig()
	cfg.SegmentBytes, cfg.GenerationBytes, cfg.MaxBytes = 16<<10, 64<<10, 8<<20
	l := mustOpenWith(t, memDir(t), cfg, options{now: c.now, hook: hook})
	for n := range 500 {
		mustAppend(t, l, entry(n, 2000))
	}
	generations := len(l.Generations())
	isFull = true
	for n := range 100 {
		if _, err := l.Append(entry(n, 2000), nil); sentinel.CodeOf(err) != sentinel.ResourceExhausted {
			t.Fatal(err)
		}
	}
	if left := len(l.Generations()); left < generations-3 {
		t.Fatalf("%d generations of %d are left after 100 failed appends", left, generations)
	}
	if got := l.Stats().Failed; got != 100 {
		t.Fatalf("%d failed", got)
	}
	if dirs, err := os.ReadDir(l.dir); err != nil || len(dirs) > generations+4 {
		t.Fatalf("%d folders: failed attempts leave theirs behind", len(dirs))
	}
	isFull = false
	mustAppend(t, l, entry(0, 10))
	if st := l.Stats(); st.Undeclared != 0 || st.Dropped[sentinel.LossDiskFull] == 0 {
		t.Fatalf("%+v", st)
	}
}

func TestSettleFreesSealedGenerations(t *testing.T) {
	dir := memDir(t)
	l := mustOpen(t, dir, small())
	for n := range 40 {
		mustAppend(t, l, entry(n, 200))
	}
	settle := func(epoch sentinel.Epoch, ranges ...sentinel.SeqRange) {
		t.Helper()
		if err := l.Settle(sentinel.Mark{Epoch: epoch, Settled: ranges}); err != nil {
			t.Fatal(err)
		}
	}
	gens := l.Generations()
	first, second, last := gens[0], gens[1], gens[len(gens)-1]
	r, err := l.Reader(first.Epoch, 1)
	if err != nil {
		t.Fatal(err)
	}
	settle(first.Epoch, sentinel.SeqRange{First: 2, Last: first.Appended})
	if len(l.Generations()) != len(gens) {
		t.Fatal("freed before all was settled")
	}
	settle(first.Epoch, sentinel.SeqRange{First: 1, Last: 1})
	if len(l.Generations()) != len(gens)-1 || len(generationDirs(t, dir)) != len(gens)-1 {
		t.Fatal("not freed")
	}
	if _, err := r.Next(); sentinel.CodeOf(err) != sentinel.NotFound {
		t.Fatalf("reader of a freed generation: %v", err)
	}
	if _, err := l.Reader(first.Epoch, 1); sentinel.CodeOf(err) != sentinel.NotFound {
		t.Fatalf("reader of a freed epoch: %v", err)
	}
	settle(first.Epoch, sentinel.SeqRange{First: 1, Last: 1}) // late marks are nothing
	// A mark beyond the end must not settle what is still to come.
	settle(last.Epoch, sentinel.SeqRange{First: 1, Last: 1 << 60})
	pos := mustAppend(t, l, entry(99, 10))
	if pos.Epoch != last.Epoch {
		t.Fatal("the generation was sealed early")
	}
	l.Rotate()
	if got := drain(t, l, last.Epoch, pos.Seq); len(got) != 1 {
		t.Fatal("a record was settled before it was appended")
	}
	// A mark comes back after a restart; without a sidecar nothing is settled.
	settle(second.Epoch, sentinel.SeqRange{First: 1, Last: 2})
	l.Close()
	l = mustOpen(t, dir, small())
	if g := l.Generations()[0]; g.Epoch != second.Epoch || len(g.Settled.Settled) != 1 || g.Settled.Through() != 2 {
		t.Fatalf("after a restart: %+v", g)
	}
	settle(second.Epoch, sentinel.SeqRange{First: 3, Last: second.Appended})
	if l.Generations()[0].Epoch == second.Epoch {
		t.Fatal("not freed after a restart")
	}
	// The end of a killed process' generation is found by reading.
	pos = mustAppend(t, l, entry(5, 10))
	pos = mustAppend(t, l, entry(6, 10))
	abandon(l)
	l = mustOpen(t, dir, small())
	settle(pos.Epoch, sentinel.SeqRange{First: 1, Last: 1})
	if l.find(pos.Epoch) == nil {
		t.Fatal("freed before all was settled")
	}
	settle(pos.Epoch, sentinel.SeqRange{First: 2, Last: 2})
	if l.find(pos.Epoch) != nil {
		t.Fatal("not freed after a kill")
	}
}

func TestP2SidecarDamage(t *testing.T) {
	dir := memDir(t)
	l := mustOpen(t, dir, small())
	var pos Position
	for n := range 10 {
		pos = mustAppend(t, l, entry(n, 20))
	}
	l.Settle(sentinel.Mark{Epoch: pos.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: 3}, {First: 6, Last: 7}}})
	l.Close()
	path := filepath.Join(generationDirs(t, dir)[0], markName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := decodeMark(data, pos.Epoch); !ok || !m.sealed || m.acked != 10 || len(m.settled) != 2 {
		t.Fatalf("sidecar: %+v, %v", m, ok)
	}
	if _, ok := decodeMark(data, pos.Epoch+1); ok {
		t.Fatal("a sidecar of another generation is taken")
	}
	for bit := range 8 * len(data) {
		bad := append([]byte(nil), data...)
		bad[bit/8] ^= 1 << (bit % 8)
		if m, ok := decodeMark(bad, pos.Epoch); ok {
			t.Fatalf("bit %d: %+v passes", bit, m)
		}
	}
	for size := range data {
		if err := os.WriteFile(path, data[:size], 0o640); err != nil {
			t.Fatal(err)
		}
		l := mustOpenWith(t, dir, small(), options{hook: quick})
		if g := l.Generations()[0]; len(g.Settled.Settled) != 0 {
			t.Fatalf("%d bytes of a sidecar settle %v", size, g.Settled)
		}
		if got := drain(t, l, pos.Epoch, 1); len(got) != 10 {
			t.Fatalf("%d records", len(got))
		}
		abandon(l)
	}
}

func TestP6InspectionChangesNothing(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, small())
	e := entry(0, 100)
	e.Layout = layoutHash(1)
	var pos Position
	for range 60 {
		var err error
		if pos, err = l.Append(e, definition(1)); err != nil {
			t.Fatal(err)
		}
	}
	l.Settle(sentinel.Mark{Epoch: l.Generations()[0].Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: 2}}})
	os.WriteFile(filepath.Join(dir, "foreign"), nil, 0o600)
	os.Mkdir(filepath.Join(dir, "lost-00000000-00000000000000ff-1-1-9"), 0o700)
	before := listing(t, dir)
	d := disk{hook: func(op, path string, run func() error) error {
		switch op {
		case "list", "load", "open", "read":
		default:
			t.Errorf("%s %s", op, path)
		}
		return run()
	}}
	in, err := inspect(dir, d)
	if err != nil {
		t.Fatal(err)
	}
	records := uint64(0)
	for _, g := range in.Generations {
		for rec, err := range in.Records(g.Epoch, 1) {
			if err != nil {
				t.Fatal(err)
			}
			checkEntry(t, rec, e)
			records++
		}
		if b, ok := in.Layout(g.Epoch, e.Layout); !ok || string(b) != string(definition(1)()) {
			t.Fatalf("layout: %q", b)
		}
	}
	for c := range in.Verify() {
		if len(c.Damage) > 0 || len(c.Missing) > 0 || c.First != 1 || c.Last != c.Records || c.Layouts != 1 {
			t.Fatalf("%+v", c)
		}
		records -= c.Records
	}
	if records != 0 || len(in.Generations) < 3 || len(in.Foreign) != 1 || len(in.Unfinished) != 1 {
		t.Fatalf("%d records too many, %+v", records, in)
	}
	if in.Generations[len(in.Generations)-1].Sealed || !in.Generations[0].Sealed {
		t.Error("what is sealed and what is not")
	}
	if after := listing(t, dir); after != before {
		t.Fatalf("before:\n%s\nafter:\n%s", before, after)
	}
	if next := mustAppend(t, l, entry(1, 10)); next.Epoch == pos.Epoch && next.Seq != pos.Seq+1 {
		t.Fatal("the writer was disturbed")
	}
	if _, err := Inspect(filepath.Join(dir, "nothing")); err == nil {
		t.Fatal("a missing folder is no error")
	}
	if _, err := os.Stat(filepath.Join(dir, "nothing")); err == nil {
		t.Fatal("inspection made a folder")
	}
	if n := drainError(in); n != sentinel.NotFound {
		t.Fatalf("unknown epoch: %v", n)
	}
}

func drainError(in *Inspection) sentinel.Code {
	for _, err := range in.Records(1, 1) {
		return sentinel.CodeOf(err)
	}
	return sentinel.Unknown
}

func listing(t *testing.T, dir string) (out string) {
	t.Helper()
	filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		out += path + " " + info.ModTime().String() + " " + info.Mode().String() + " " + time.Duration(info.Size()).String() + "\n"
		return nil
	})
	return out
}

func TestVerifyNamesDamage(t *testing.T) {
	s := makeSample(t, 14)
	dir := filepath.Join(memDir(t), "log")
	f := s.files[0]
	data := append([]byte(nil), f.data...)
	hit := f.frames[2]
	data[hit.frameStart+70] ^= 1
	s.put(t, dir, 0, data)
	in, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	for c := range in.Verify() {
		if len(c.Damage) != 1 || c.Damage[0].Offset != hit.start || c.Damage[0].Bytes != hit.end-hit.start ||
			filepath.Base(c.Damage[0].File) != f.name || c.Damage[0].What == "" {
			t.Fatalf("damage: %+v", c.Damage)
		}
		if len(c.Missing) != 1 || c.Missing[0].First != hit.seq || c.Missing[0].Last != hit.seq || c.Records != 13 {
			t.Fatalf("%+v", c)
		}
	}
}

// The reader keeps one open file and reads each byte about once.
func TestLiveReaderIsCheap(t *testing.T) {
	opens, bytes := 0, 0
	hook := func(op, _ string, run func() error) error {
		switch op {
		case "open":
			opens++
		case "read":
			bytes++
		}
		return run()
	}
	cfg := DefaultConfig()
	l := mustOpenWith(t, memDir(t), cfg, options{hook: hook})
	pos := mustAppend(t, l, entry(0, 100))
	r, err := l.Reader(pos.Epoch, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for n := 1; ; n++ {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if n == 500 {
			break
		}
		mustAppend(t, l, entry(n, 100))
	}
	if opens > 2 || bytes > 1100 || cap(r.walk.scan.buf) > windowBytes {
		t.Fatalf("%d opens, %d reads, a buffer of %d", opens, bytes, cap(r.walk.scan.buf))
	}
}

// Other bounds hold from the next append on, without the log being closed.
func TestReconfigure(t *testing.T) {
	cfg := DefaultConfig()
	l, err := Open(t.TempDir(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	entry := Entry{Kind: KindCycle, Time: time.Now(), Data: make([]byte, 700)}
	fill := func(n int) {
		t.Helper()
		for range n {
			if _, err := l.Append(entry, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(40)
	before := l.Generations()
	small := cfg
	small.SegmentBytes, small.GenerationBytes, small.MaxBytes = 1<<10, 8<<10, 16<<10
	if err := l.Reconfigure(small); err != nil {
		t.Fatal(err)
	}
	fill(1)
	if s := l.Stats(); s.Bytes > small.MaxBytes || s.Dropped[sentinel.LossBytes] != 40 {
		t.Errorf("%d bytes, dropped %v", s.Bytes, s.Dropped)
	}
	if err := l.Reconfigure(cfg); err != nil {
		t.Fatal(err)
	}
	fill(40)
	if s := l.Stats(); s.Bytes < small.MaxBytes || s.Dropped[sentinel.LossBytes] != 40 || l.Generations()[0].Epoch == before[0].Epoch {
		t.Errorf("%d bytes, dropped %v", s.Bytes, s.Dropped)
	}
	small.MaxAge = 0
	if err := l.Reconfigure(small); sentinel.CodeOf(err) != sentinel.Invalid {
		t.Errorf("bounds that are none: %v", err)
	}
	l.Close()
	if err := l.Reconfigure(cfg); sentinel.CodeOf(err) != sentinel.Unavailable {
		t.Errorf("a closed log: %v", err)
	}
}
