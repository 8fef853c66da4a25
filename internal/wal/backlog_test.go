package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// fillBacklog leaves a backlog of at least that many bytes in dir, as an agent
// does that appends for weeks without a service: records of 4 KiB, one by one.
// Nothing is fsynced.
func fillBacklog(t testing.TB, dir string, total int64) Config {
	t.Helper()
	cfg := DefaultConfig()
	cfg.MaxBytes = 2 * total
	l := mustOpenWith(t, dir, cfg, options{hook: quick})
	e := entry(1, 4<<10)
	for n := int64(0); n < total; n += int64(len(e.Data)) {
		mustAppend(t, l, e)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A start lists folders and reads sidecars, and no record, and what it keeps in
// memory is little for each generation. Reading it all takes no more.
func TestBigBacklog(t *testing.T) {
	total := int64(128 << 20)
	if testing.Short() {
		total = 32 << 20
	}
	dir := memDir(t)
	cfg := fillBacklog(t, dir, total)
	ops := map[string]int{}
	hook := func(op, _ string, run func() error) error { ops[op]++; return run() }
	l := mustOpenWith(t, dir, cfg, options{hook: hook})
	gens := l.Generations()
	if int64(len(gens)) < total/cfg.GenerationBytes-1 || l.Stats().Bytes < total {
		t.Fatalf("%d generations of %d bytes", len(gens), l.Stats().Bytes)
	}
	clear(ops) // Stats has read one record
	l.Close()
	before := heap()
	l = mustOpenWith(t, dir, cfg, options{hook: hook})
	if n := len(gens); ops["open"]+ops["read"] > 0 || ops["list"] != n+1 || ops["load"] != n {
		t.Errorf("a start with %d generations takes %v", n, ops)
	}
	if grown := heap() - before; grown > int64(len(gens))<<10+64<<10 {
		t.Errorf("a log of %d generations takes %d bytes in memory", len(gens), grown)
	}
	before = heap()
	records := 0
	for _, g := range l.Generations() {
		r, err := l.Reader(g.Epoch, 1)
		if err != nil {
			t.Fatal(err)
		}
		for ; err == nil; records++ {
			_, err = r.Next()
		}
		if records--; !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if g.Ordinal%8 == 1 {
			if grown := heap() - before; grown > 1<<20 {
				t.Fatalf("reading generation %d takes %d bytes in memory", g.Ordinal, grown)
			}
		}
		r.Close()
	}
	if want := int(total / (4 << 10)); records != want {
		t.Errorf("%d records, want %d", records, want)
	}
	// The present comes with it: no append waits for the backlog.
	pos := mustAppend(t, l, entry(2, 100))
	if got := drain(t, l, pos.Epoch, 1); len(got) != 1 || !bytes.Equal(got[0].Data, entry(2, 100).Data) {
		t.Errorf("%d fresh records", len(got))
	}
	for _, g := range gens {
		if err := l.Settle(sentinel.Mark{Epoch: g.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: g.Appended}}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.Generations()); n != 1 || l.Stats().Bytes > 1<<10 {
		t.Errorf("%d generations of %d bytes are left", n, l.Stats().Bytes)
	}
}

const openerEnv = "SENTINEL_WAL_OPEN"

// TestBigBacklogInAProcess fills a disk with SENTINEL_TORTURE_BACKLOG gigabytes
// and has another process open them, append and read. It prints how long that
// took and how much memory: at most a second for a gigabyte, and 8 MiB more than
// the process had before.
func TestBigBacklogInAProcess(t *testing.T) {
	gigabytes, err := strconv.Atoi(os.Getenv("SENTINEL_TORTURE_BACKLOG"))
	if err != nil {
		t.Skip("SKIPPED: SENTINEL_TORTURE_BACKLOG does not say how many gigabytes; make soak does")
	}
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: the memory of a process is read from /proc")
	}
	dir := t.TempDir()
	fillBacklog(t, dir, int64(gigabytes)<<30)
	for range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), openerEnv+"="+dir)
		out, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Logf("%s", out)
		var opened time.Duration
		var before, after int
		if _, err := fmt.Sscanf(string(out), "open_ns=%d rss_kib=%d,%d", &opened, &before, &after); err != nil {
			t.Fatal(err)
		}
		if opened > time.Duration(gigabytes)*time.Second || after-before > 8<<10 {
			t.Errorf("%s, and from %d to %d KiB", opened, before, after)
		}
	}
}

// openerChild is the process that opens a backlog.
func openerChild(dir string) int {
	cfg := DefaultConfig()
	cfg.MaxBytes = 1 << 40
	before := peakRSS()
	start := time.Now()
	l, err := Open(dir, cfg, nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	opened := time.Since(start)
	if _, err := l.Append(entry(1, 4<<10), nil); err != nil {
		fmt.Println(err)
		return 1
	}
	appended := time.Since(start) - opened
	gens := l.Generations()
	r, err := l.Reader(gens[0].Epoch, 1)
	if err == nil {
		_, err = r.Next()
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	st := l.Stats()
	fmt.Printf("open_ns=%d rss_kib=%s,%s append=%s generations=%d bytes=%d", opened, before, peakRSS(), appended, st.Generations, st.Bytes)
	if l.Close() != nil {
		return 1
	}
	return 0
}

// peakRSS returns the most memory that this process ever had, in KiB.
func peakRSS() string {
	status, _ := os.ReadFile("/proc/self/status")
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(peak), " ")
	return kib
}
