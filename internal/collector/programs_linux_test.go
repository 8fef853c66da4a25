package collector

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// host of processes that a test writes.
type processHost struct {
	t   *testing.T
	dir string
}

// process writes one: CPU time in ticks, memory in pages.
func (h processHost) process(pid int, name string, start, ticks, pages int) {
	h.t.Helper()
	write(h.t, h.dir, "proc/"+strconv.Itoa(pid)+"/stat",
		fmt.Sprintf("%d (%s) S 1 1 1 0 -1 4194560 0 0 0 0 %d 1 0 0 20 0 1 0 %d 0 %d 0\n", pid, name, ticks-1, start, pages))
}

func (h processHost) set(top int) *Set {
	h.t.Helper()
	cfg := only("processes")
	cfg.Processes.Top = top
	cfg.Processes.Exclude = "^secret$"
	return newSet(h.t, cfg, WithRoots(h.dir+"/proc", h.dir+"/sys"), func(s *settings) { s.host.pageSize = 4096 })
}

func cpuOf(name string) string {
	return `sentinel_process_cpu_seconds_total{name="` + name + `"}`
}

func memoryOf(name string) string {
	return `sentinel_process_resident_memory_bytes{name="` + name + `"}`
}

func countOf(name string) string { return `sentinel_process_count{name="` + name + `"}` }

func TestProgramsAreTheirProcessesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := processHost{t, t.TempDir()}
		h.process(10, "web", 100, 1000, 10)
		h.process(11, "web", 100, 500, 20)
		h.process(12, "db", 100, 200, 100)
		h.process(13, "idle", 100, 1, 1)
		h.process(14, "secret", 100, 99999, 99999)
		s := h.set(2)
		wantValues(t, byName(t, collect(t, s)), map[string]float64{
			cpuOf("web"): 15, memoryOf("web"): 30 * 4096, countOf("web"): 2,
			cpuOf("db"): 2, memoryOf("db"): 100 * 4096,
			cpuOf("idle"): sentinel.Absent(), cpuOf("secret"): sentinel.Absent(),
		})
		// One worker has used a second; one has ended and its number is another's now.
		h.process(10, "web", 100, 1100, 10)
		h.process(11, "web", 900, 50, 20)
		time.Sleep(10 * time.Second)
		wantValues(t, byName(t, collect(t, s)), map[string]float64{cpuOf("web"): 16.5, countOf("web"): 2})
	})
}

// The first change with the minute, not with the cycle, and leave slowly.
func TestProgramsThatTakeTurnsMakeFewLayouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := processHost{t, t.TempDir()}
		const busy = 3
		ticks := make([]int, 6)
		for i := range ticks {
			ticks[i] = 10
			h.process(100+i, "p"+strconv.Itoa(i), 1, ticks[i], 1)
		}
		s := h.set(1)
		layouts := make(map[sentinel.LayoutHash]bool)
		for cycle := range 360 {
			ticks[cycle%busy] += 100
			h.process(100+cycle%busy, "p"+strconv.Itoa(cycle%busy), 1, ticks[cycle%busy], 1)
			snap := collect(t, s)
			layouts[snap.Cycle.Layout] = true
			time.Sleep(10 * time.Second)
		}
		if len(layouts) > busy+1 {
			t.Errorf("%d layouts in an hour of %d programs that take turns", len(layouts), busy)
		}
		// One that rises is there within a minute or so; one that is quiet leaves.
		for range 14 {
			ticks[5] += 500
			h.process(105, "p5", 1, ticks[5], 1)
			collect(t, s)
			time.Sleep(10 * time.Second)
		}
		if _, there := byName(t, collect(t, s))[cpuOf("p5")]; !there {
			t.Error("the busiest program is not shown after two minutes")
		}
		for range 140 {
			ticks[5] += 500
			h.process(105, "p5", 1, ticks[5], 1)
			collect(t, s)
			time.Sleep(10 * time.Second)
		}
		got := byName(t, collect(t, s))
		if _, there := got[cpuOf("p1")]; there {
			t.Error("a program that has been quiet for 20 minutes is shown")
		}
	})
}

// Programs are chosen once a minute, by what they used since, and shown for a while.
func TestWhenProgramsAreChosen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := processHost{t, t.TempDir()}
		h.process(1, "old", 1, 5000, 9)
		h.process(2, "new", 1, 1, 1)
		s := h.set(1)
		shown := func(name string) bool {
			_, there := byName(t, collect(t, s))[cpuOf(name)]
			return there
		}
		if !shown("old") || shown("new") {
			t.Fatal("the first choice is not by what was used so far")
		}
		h.process(1, "old", 1, 5000, 0) // its memory is not why it stays
		h.process(2, "new", 1, 1000, 1)
		time.Sleep(50 * time.Second)
		if shown("new") {
			t.Error("a program is chosen before the minute is over")
		}
		time.Sleep(10 * time.Second)
		if !shown("new") {
			t.Error("the program that used most in the last minute is not shown")
		}
		time.Sleep(8 * time.Minute)
		if !shown("old") {
			t.Error("a program that was chosen 9 minutes ago is gone")
		}
		time.Sleep(2 * time.Minute)
		if shown("old") {
			t.Error("a program that was chosen 11 minutes ago is shown")
		}
	})
}

func TestNoProgramsWhereNoneAreWanted(t *testing.T) {
	h := processHost{t, t.TempDir()}
	h.process(10, "web", 100, 1000, 10)
	wantValues(t, byName(t, collect(t, h.set(0))), map[string]float64{cpuOf("web"): sentinel.Absent(), "node_processes_pids": 1})
}

// A host on which everything has another name costs bounded memory.
func TestManyNamesAreBounded(t *testing.T) {
	c, err := newPrograms(host{cfg: DefaultConfig(), now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	c.begin()
	for i := range 3 * maxTasks {
		c.add(uint32(i), procStat{name: []byte(strconv.Itoa(i)), ticks: 1})
		c.add(uint32(i), procStat{name: []byte("same"), ticks: 1})
	}
	c.end()
	if len(c.tasks) > maxTasks || len(c.byName) > maxPrograms {
		t.Errorf("%d processes and %d names are remembered", len(c.tasks), len(c.byName))
	}
	c.begin()
	c.end()
	if len(c.tasks) > 0 || len(c.byName) > 2*c.most {
		t.Errorf("%d processes and %d names are remembered of a host without any", len(c.tasks), len(c.byName))
	}
}
