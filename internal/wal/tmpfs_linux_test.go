package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of 256 KiB, or skips.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("SKIPPED: no small file system could be mounted (root is needed): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func smallDiskConfig() Config {
	cfg := DefaultConfig()
	cfg.SegmentBytes, cfg.GenerationBytes = 8<<10, 32<<10
	return cfg
}

func TestP4SmallDiskDropOldest(t *testing.T) {
	for _, size := range []int{500, 2000} { // through the library, and past it
		t.Run(fmt.Sprint(size), func(t *testing.T) { smallDiskDropOldest(t, size) })
	}
}

func smallDiskDropOldest(t *testing.T, size int) {
	dir := filepath.Join(smallDisk(t), "log")
	l := mustOpen(t, dir, smallDiskConfig())
	var acked []Position
	for n := range 2000 {
		acked = append(acked, mustAppend(t, l, entry(n, size)))
	}
	st := l.Stats()
	if st.Dropped[sentinel.LossDiskFull] < 1000 || st.Failed != 0 {
		t.Fatalf("%+v", st)
	}
	books(t, l, acked, sentinel.LossDiskFull)
	l.Close()
	l = mustOpen(t, dir, smallDiskConfig())
	mustAppend(t, l, entry(0, 500))
	all := everything(t, l)
	lost := declared(t, all)
	for _, pos := range acked {
		_, there := all[pos]
		if _, isLost := lost[pos]; there == isLost {
			t.Fatalf("after a restart %v: there %v, declared %v", pos, there, isLost)
		}
	}
	l.Close()
}

func TestP4SmallDiskDropNewest(t *testing.T) {
	dir := filepath.Join(smallDisk(t), "log")
	cfg := smallDiskConfig()
	cfg.OnFull = DropNewest
	l := mustOpen(t, dir, cfg)
	var acked []Position
	refused := uint64(0)
	for n := range 1000 {
		pos, err := l.Append(entry(n, 500), nil)
		if err == nil {
			acked = append(acked, pos)
		} else if sentinel.CodeOf(err) == sentinel.ResourceExhausted {
			refused++
		} else {
			t.Fatal(err)
		}
	}
	if st := l.Stats(); refused == 0 || st.Refused[sentinel.LossDiskFull] != refused || st.Failed != 0 {
		t.Fatalf("%d refused, %+v", refused, st)
	}
	books(t, l, acked, sentinel.LossDiskFull)
	for _, g := range l.Generations() {
		if g.Sealed {
			if err := l.Settle(sentinel.Mark{Epoch: g.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: g.Appended}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustAppend(t, l, entry(0, 500))
	l.Close()
}

func TestP4SmallDiskFilledByOthers(t *testing.T) {
	root := smallDisk(t)
	c := &clock{time.Now()}
	l := mustOpenWith(t, filepath.Join(root, "log"), smallDiskConfig(), options{now: c.now})
	first := mustAppend(t, l, entry(0, 500))
	filler := filepath.Join(root, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	failed := uint64(0)
	for n := range 50 {
		// What a drop frees is eaten at once, as by a runaway neighbour.
		if _, err := l.Append(entry(n, 500), nil); err != nil {
			failed++
		}
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, 4096))
		}
	}
	f.Close()
	if failed == 0 || l.Stats().Failed != failed {
		t.Fatalf("%d failed, %+v", failed, l.Stats())
	}
	os.Remove(filler)
	pos := mustAppend(t, l, entry(1, 500))
	all := everything(t, l)
	checkEntry(t, all[pos], entry(1, 500))
	if _, ok := all[first]; !ok {
		if _, ok := declared(t, all)[first]; !ok {
			t.Fatal("the first record is gone without a word")
		}
	}
	l.Close()
}
