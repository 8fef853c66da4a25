//go:build linux

package systemtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// killSeconds is how long processes are killed; SYSTEMTEST_KILL_SECONDS asks for
// more (make chaos).
func killSeconds(t *testing.T) time.Duration {
	n := 60
	if text := os.Getenv("SYSTEMTEST_KILL_SECONDS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	return time.Duration(n) * time.Second
}

// TestP8P9P13KillAnything kills agents, server, worker, broker and database with
// SIGKILL at random points, and wipes the broker's store on the way. Afterwards
// every cycle that a log acknowledged is in the database exactly once, and the
// books balance with nothing lost.
func TestP8P9P13KillAnything(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	s := newSystem(t, 3)
	s.startAll()
	waitFor(t, time.Minute, "no cycle has arrived", func() bool { return len(s.stored(0)) > 0 })

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	targets := []string{"agent-0", "agent-1", "agent-2", "server", "worker", "nats", "postgres"}
	if s.pg == nil {
		targets = targets[:6]
	}
	kills := map[string]int{}
	stop := time.NewTimer(killSeconds(t))
	wipeAt := time.NewTimer(killSeconds(t) / 2)
	for running := true; running; {
		pause := time.NewTimer(time.Duration(200+rnd.IntN(2500)) * time.Millisecond)
		select {
		case <-stop.C:
			running = false
		case <-wipeAt.C:
			s.wipeBroker()
			kills["broker's store"]++
		case <-pause.C:
			name := targets[rnd.IntN(len(targets))]
			kills[name]++
			s.killAndRestart(name)
		}
	}
	t.Logf("killed: %v", kills)

	// The agents end in order, so that what they acknowledged does not grow any more,
	// and come back to deliver what is left.
	for i := range s.agents {
		p := s.procs[fmt.Sprint("agent-", i)]
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-p.done
	}
	journals := make([][]string, len(s.agents))
	for i := range s.agents {
		journals[i] = s.journal(i)
		if len(journals[i]) < 20 {
			t.Errorf("agent %d acknowledged %d cycles only: this proves little", i, len(journals[i]))
		}
		s.start(s.procs[fmt.Sprint("agent-", i)])
	}
	for i := range s.agents {
		waitFor(t, 90*time.Second, fmt.Sprintf("agent %d's acknowledged cycles are not all stored", i), func() bool {
			return missing(journals[i], s.stored(i)) == 0
		})
	}
	s.checkAll(kills)
}

// checkAll stops the agents, waits until their logs are delivered and compares.
func (s *system) checkAll(kills map[string]int) {
	s.t.Helper()
	t := s.t
	for i := range s.agents {
		name := fmt.Sprint("agent-", i)
		s.procs[name].kill()
		acknowledged, stored := s.journal(i), s.stored(i)
		// What was acknowledged in the last moments may still be in the killed agent's
		// log: only what was delivered is compared for that tail.
		if err := compare(acknowledged[:len(acknowledged)-missingTail(acknowledged, stored)], stored, kills[name]+1); err != nil {
			t.Errorf("agent %d: %v", i, err)
		}
		b := s.books(i)
		if b.lost != 0 || b.appended != b.stored+b.inFlight {
			t.Errorf("agent %d: the books say %+v", i, b)
		}
		t.Logf("agent %d: %d cycles acknowledged, %d stored, books %+v", i, len(acknowledged), len(stored), b)
	}
}

// account is an agent's books in short; lost is everything that is not data.
type account struct{ appended, stored, lost, inFlight uint64 }

func (s *system) books(i int) account {
	s.t.Helper()
	a, err := s.db.AgentByName(s.t.Context(), s.agents[i])
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := s.db.Books(s.t.Context(), a.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	b := account{appended: all.Total.Appended, stored: all.Total.StoredCycles + all.Total.StoredReports, lost: all.Total.Quarantined, inFlight: all.Total.InFlight}
	for _, n := range all.Total.Lost {
		b.lost += n
	}
	return b
}

// missingTail returns how many of the last acknowledged cycles are not stored, in
// one run up to the end.
func missingTail(acknowledged, stored []string) int {
	n := 0
	for n < len(acknowledged) && missing(acknowledged[len(acknowledged)-1-n:], stored) == n+1 {
		n++
	}
	return n
}

func (s *system) killAndRestart(name string) {
	s.t.Helper()
	if name == "postgres" {
		if err := syscall.Kill(s.pg.PID(), syscall.SIGKILL); err != nil {
			s.t.Fatal(err)
		}
		ctx := s.t.Context()
		_ = s.pg.Stop(ctx) // it is dead: this gives its folder free
		s.startPostgres()
		return
	}
	p := s.procs[name]
	p.kill()
	s.start(p)
}

// wipeBroker kills the broker and removes everything that it had on disk, at a
// moment when it holds batches that it has acknowledged and no worker has stored.
func (s *system) wipeBroker() {
	s.t.Helper()
	worker, nats := s.procs["worker"], s.procs["nats"]
	worker.kill()
	before := len(s.journal(0))
	waitFor(s.t, 30*time.Second, "agent 0 acknowledges nothing while no worker runs", func() bool { return len(s.journal(0)) >= before+4 })
	nats.kill()
	if err := os.RemoveAll(s.natsDir()); err != nil {
		s.t.Fatal(err)
	}
	s.start(nats)
	s.start(worker)
}
