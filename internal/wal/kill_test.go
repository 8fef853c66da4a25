//go:build unix

package wal

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// TestP1KillNine kills a writing process at random points, over and over in one
// log folder, and checks after each kill that all it was told is durable is
// there or declared, and that no name ever stands for two contents. The number
// of kills is SENTINEL_TORTURE_KILLS (500 where it is not set).
func TestP1KillNine(t *testing.T) {
	t.Parallel() // it waits for the disk
	kills := 500
	if s := os.Getenv("SENTINEL_TORTURE_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		kills = 10
	}
	dir := memDir(t)                // a kill leaves what was written, synced or not
	acked := map[Position]int{}     // what the writers were told, and is not settled
	contents := map[Position]int{}  // what was ever read
	names := map[int]Position{}     // the same, the other way round
	lost := map[Position]struct{}{} // what was ever declared
	total := 0
	for round := range kills {
		bound := int64(64 << 10)
		if round%2 == 0 {
			bound = 1 << 20
		}
		before := len(acked)
		killWriter(t, dir, round, bound, acked)
		total += len(acked) - before

		cfg := killConfig(1<<30, round)
		l := mustOpen(t, dir, cfg)
		mustAppend(t, l, entry(-1-round, 10)) // takes the declarations with it that are due
		read := everything(t, l)
		for _, rec := range read {
			for _, loss := range decodeLossesOf(rec) {
				if loss.Reason != sentinel.LossBytes {
					t.Fatalf("round %d: %+v was declared", round, loss)
				}
				for seq := loss.Range.First; seq <= loss.Range.Last; seq++ {
					lost[Position{loss.Epoch, seq}] = struct{}{}
				}
			}
			if rec.Kind != KindCycle {
				continue
			}
			var n int
			if _, err := fmt.Sscanf(string(rec.Data), "record %d ", &n); err != nil {
				t.Fatal(err)
			}
			checkEntry(t, rec, killEntry(n))
			if old, ok := contents[rec.Position]; ok && old != n {
				t.Fatalf("%v was %d and is %d", rec.Position, old, n)
			}
			if old, ok := names[n]; ok && old != rec.Position {
				t.Fatalf("%d was %v and is %v", n, old, rec.Position)
			}
			contents[rec.Position], names[n] = n, rec.Position
		}
		for pos, n := range acked {
			_, isLost := lost[pos]
			if rec, ok := read[pos]; ok == isLost {
				t.Fatalf("round %d: %v (%d) was acknowledged, is there: %v, declared lost: %v", round, pos, n, ok, isLost)
			} else if ok {
				checkEntry(t, rec, killEntry(n))
			}
		}
		if round%3 == 2 { // free it all, so that the folder stays small
			for _, g := range l.Generations() {
				if err := l.Settle(sentinel.Mark{Epoch: g.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: g.Appended}}}); err != nil {
					t.Fatal(err)
				}
			}
			acked = map[Position]int{}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d acknowledged records, %d dropped and declared", kills, total, len(lost))
	if total == 0 {
		t.Fatal("no writer ever got to an acknowledgement")
	}
}

// killConfig has most records written past the library, some, or none.
func killConfig(maxBytes int64, round int) Config {
	cfg := DefaultConfig()
	cfg.SegmentBytes, cfg.GenerationBytes, cfg.MaxBytes = 1<<10<<(round%4), 10<<10, maxBytes
	return cfg
}

func killEntry(n int) Entry {
	if n < 0 {
		return entry(n, 10)
	}
	e := entry(n, 20+(n*37)%900)
	e.Layout = layoutHash(n % 3)
	return e
}

// killWriter starts a writer, kills it after a random number of records and adds
// what it was told to acked.
func killWriter(t *testing.T, dir string, round int, maxBytes int64, acked map[Position]int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir,
		fmt.Sprintf("SENTINEL_WAL_BASE=%d", round*1_000_000), fmt.Sprintf("SENTINEL_WAL_MAX=%d", maxBytes))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	after := rand.IntN(150)
	scan := bufio.NewScanner(out)
	for i := 0; i <= after && scan.Scan(); i++ {
		note(t, scan.Text(), acked)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for scan.Scan() {
		note(t, scan.Text(), acked)
	}
	cmd.Wait() // says that it was killed
}

func note(t *testing.T, line string, acked map[Position]int) {
	var epoch, seq uint64
	var n int
	if _, err := fmt.Sscanf(line, "ack %x %d %d.", &epoch, &seq, &n); err != nil {
		if line == "open" || line[len(line)-1] != '.' {
			return
		}
		t.Fatalf("the writer says %q", line)
	}
	acked[Position{sentinel.Epoch(epoch), seq}] = n
}

// writerChild is the process that is killed.
func writerChild(dir string) int {
	base, _ := strconv.Atoi(os.Getenv("SENTINEL_WAL_BASE"))
	maxBytes, _ := strconv.ParseInt(os.Getenv("SENTINEL_WAL_MAX"), 10, 64)
	l, err := Open(dir, killConfig(maxBytes, base/1_000_000), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		return 1
	}
	fmt.Println("open")
	var group sync.WaitGroup
	for w := range 3 {
		group.Go(func() {
			for n := base + w; ; n += 3 {
				e := killEntry(n)
				pos, err := l.Append(e, definition(n%3))
				if err != nil {
					fmt.Fprintln(os.Stderr, "writer:", err)
					os.Exit(1)
				}
				fmt.Fprintf(os.Stdout, "ack %x %d %d.\n", uint64(pos.Epoch), pos.Seq, n) // one write
			}
		})
	}
	group.Wait()
	return 0
}

func TestP6SecondWriterIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, small())
	mustAppend(t, l, entry(0, 10))
	if _, err := Open(dir, small(), nil); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Fatalf("second writer: %v", err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+dir, "SENTINEL_WAL_MAX=1048576")
	if out, err := child.CombinedOutput(); err == nil {
		t.Fatalf("another process opened the log: %s", out)
	}
	mustAppend(t, l, entry(1, 10))
	l.Close()
	mustOpen(t, dir, small())
	if _, err := os.Stat(filepath.Join(dir, lockName)); err != nil {
		t.Fatal(err)
	}
}
