package wal

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// settleAll settles the whole of a sealed generation.
func settleAll(t *testing.T, l *Log, g Generation) {
	t.Helper()
	if err := l.Settle(sentinel.Mark{Epoch: g.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: g.Appended}}}); err != nil {
		t.Fatal(err)
	}
}

// The removal of a generation's files hangs for as long as the test wants, and
// appends go on meanwhile.
func TestFreeingDoesNotHoldAppends(t *testing.T) {
	removing, goOn := make(chan struct{}), make(chan struct{})
	hook := func(op, path string, run func() error) error {
		if op == "remove" && strings.Contains(path, trashPrefix) {
			close(removing)
			<-goOn
		}
		return run()
	}
	dir := memDir(t)
	l := mustOpenWith(t, dir, small(), options{hook: hook})
	mustAppend(t, l, entry(0, 20))
	if err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		settleAll(t, l, l.Generations()[0])
	}()
	<-removing
	for n := range 50 { // over a few generations
		mustAppend(t, l, entry(n, 200))
	}
	if len(l.Generations()) < 3 {
		t.Error("no generation was sealed meanwhile")
	}
	close(goOn)
	<-done
	if strings.Contains(listing(t, dir), trashPrefix) {
		t.Error("the freed generation is left behind")
	}
}

// Where a folder cannot be renamed just now, as with a file in it that a virus
// scanner has open on Windows, the next mark frees it, of whichever epoch.
func TestFailedFreeIsTriedWithTheNextMark(t *testing.T) {
	held := true
	hook := func(op, path string, run func() error) error {
		if op == "rename" && held && !strings.HasSuffix(path, tempSuffix) {
			return syscall.EBUSY
		}
		return run()
	}
	l := mustOpenWith(t, memDir(t), small(), options{hook: hook})
	for n := range 60 {
		mustAppend(t, l, entry(n, 200))
	}
	gens := l.Generations()
	settleAll(t, l, gens[0])
	if len(l.Generations()) != len(gens) {
		t.Fatal("freed all the same")
	}
	held = false
	if err := l.Settle(sentinel.Mark{Epoch: gens[1].Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: 1}}}); err != nil {
		t.Fatal(err)
	}
	if left := l.Generations(); len(left) != len(gens)-1 || left[0].Epoch != gens[1].Epoch {
		t.Fatalf("%d generations of %d are left", len(left), len(gens))
	}
}

// An error seals a generation of which all is settled: that frees it, and its
// files go before anything is dropped or refused.
func TestP4FreedFilesGoFirstOnAFullDisk(t *testing.T) {
	for _, policy := range []Policy{DropOldest, DropNewest} {
		full := false
		hook := func(op, path string, run func() error) error {
			switch {
			case op == "remove" && strings.Contains(path, trashPrefix):
				full = false
			case full && op == "write":
				return errFull
			}
			return run()
		}
		cfg := small()
		cfg.OnFull = policy
		l := mustOpenWith(t, memDir(t), cfg, options{hook: hook})
		kept := mustAppend(t, l, entry(0, 20))
		l.Rotate()
		settled := mustAppend(t, l, entry(1, 200))
		if err := l.Settle(sentinel.Mark{Epoch: settled.Epoch, Settled: []sentinel.SeqRange{{First: 1, Last: 1}}}); err != nil {
			t.Fatal(err)
		}
		full = true
		mustAppend(t, l, entry(1, 20))
		if st := l.Stats(); len(st.Refused) > 0 || len(st.Dropped) > 0 || st.Failed > 0 {
			t.Fatalf("%s: %+v", policy, st)
		}
		if l.find(kept.Epoch) == nil {
			t.Fatalf("%s: what was needed is gone", policy)
		}
	}
}

// A reader finds damage in a generation while that is being dropped: one of the
// two declares it, whoever comes first.
func TestP5DamageFoundDuringADropIsDeclaredOnce(t *testing.T) {
	for _, after := range []bool{false, true} {
		var l *Log
		var g *generation
		found := make(chan struct{})
		hook := func(op, path string, run func() error) error {
			if op == "rename" && g != nil && path == g.dir && !after {
				go func() {
					defer close(found)
					l.declareDamage(g, sentinel.SeqRange{First: 2, Last: 3})
				}()
				for l.Stats().Dropped[sentinel.LossDamaged] == 0 {
					runtime.Gosched()
				}
			}
			return run()
		}
		c := &clock{time.Now()}
		l = mustOpenWith(t, memDir(t), small(), options{now: c.now, hook: hook})
		for n := range 5 {
			mustAppend(t, l, entry(n, 20))
		}
		l.Rotate()
		g = l.gens[0]
		c.t = c.t.Add(small().MaxAge + time.Hour)
		mustAppend(t, l, entry(5, 20)) // drops by age
		if after {
			l.declareDamage(g, sentinel.SeqRange{First: 2, Last: 3})
		} else {
			<-found
		}
		mustAppend(t, l, entry(6, 20))
		got := declared(t, everything(t, l)) // which fails where one is declared twice
		st := l.Stats()
		if len(got) != 5 || st.Dropped[sentinel.LossAge]+st.Dropped[sentinel.LossDamaged] != 5 || st.Undeclared != 0 {
			t.Fatalf("after %v: declared %v, %+v", after, got, st)
		}
	}
}
