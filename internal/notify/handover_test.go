package notify_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// journal is a log of changes that outlives the processes which tell of them.
type journal struct {
	changes []notify.Alert
	floor   notify.Position
}

func (j *journal) next() notify.Position {
	return notify.Position{Log: "l", Seq: uint64(len(j.changes) + 1)}
}

// write adds a change, made now.
func (j *journal) write(a notify.Alert) notify.Alert {
	a.Changed, a.Position = time.Now(), j.next()
	j.changes = append(j.changes, a)
	return a
}

// replay tells a new process what Put wants to know.
func (j *journal) replay(t *testing.T, d *notify.Dispatcher) {
	t.Helper()
	last := map[string]notify.Alert{}
	var since []notify.Alert
	for _, a := range j.changes {
		if a.Position.Seq < max(j.floor.Seq, 1) {
			last[a.Fingerprint] = a
		} else {
			since = append(since, a)
		}
	}
	for _, a := range last {
		if err := d.Put(a); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Put(since...); err != nil {
		t.Fatal(err)
	}
}

// told returns what was told of an alert, in order, without repeats of one key, and how
// often messages were repeated.
func told(t *testing.T, r *recorder, fp string) (list []string, repeats int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]int{}
	for _, n := range r.got {
		for _, a := range n.Alerts {
			if a.Fingerprint != fp {
				continue
			}
			if seen[n.Key]++; seen[n.Key] > 1 {
				repeats++
				continue
			}
			list = append(list, fmt.Sprintf("%s %d", a.State, a.StartsAt.Unix()))
		}
	}
	return list, repeats
}

func said(a notify.Alert) string { return fmt.Sprintf("%s %d", a.State, a.StartsAt.Unix()) }

// TestP27EveryChangeIsToldWhereverOneDies lets a process die at each of its writes to
// the log, lets incidents begin and end until the next process comes, and wants every
// begin and every end told once, in their order; the message that was on its way may be
// repeated, with its key.
func TestP27EveryChangeIsToldWhereverOneDies(t *testing.T) {
	for _, gap := range []int{0, 1, 2, 3, 4} {
		for at := 1; at <= 17; at++ {
			t.Run(fmt.Sprintf("write %d, away for %d changes", at, gap), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { dieOnce(t, at, gap) })
			})
		}
	}
}

func dieOnce(t *testing.T, at, gap int) {
	b, j := newBench(t, instant), &journal{}
	writes := 0
	var dead atomic.Bool
	died := errors.New("the process is dead")
	b.store.Fault = func(op, _ string) error {
		if op == "put" {
			if writes++; writes == at {
				dead.Store(true)
			}
		}
		if dead.Load() {
			return died
		}
		return nil
	}
	b.a.fail = func(*notify.Notification, int) error {
		if dead.Load() {
			return died
		}
		return nil
	}
	b.before = func(d *notify.Dispatcher) { j.replay(t, d) }
	b.run()
	var want []string
	x, since := notify.Alert{}, 0
	for i := range 8 {
		if i%2 == 0 {
			x = alert("x")
		} else {
			x = ended(x)
		}
		a := j.write(x)
		want = append(want, said(a))
		if !dead.Load() {
			b.put(a)
		} else if since++; since > gap {
			b.stop()
			dead.Store(false)
			writes = 1000
			b.run()
			since = -1000
		}
		after(20 * time.Second)
		if !dead.Load() {
			j.floor = b.d.Floor(j.next())
		}
	}
	if dead.Load() {
		b.stop()
		dead.Store(false)
		writes = 1000
		b.run()
	}
	after(time.Minute)
	b.stop()
	got, repeats := told(t, b.a, "x")
	if !slices.Equal(got, want) || repeats > 1 {
		t.Errorf("told\n\t%s\nand %d repeats, want\n\t%s", strings.Join(got, "\n\t"), repeats, strings.Join(want, "\n\t"))
	}
	if f := b.d.Floor(j.next()); f != j.next() {
		t.Errorf("after all was told, changes are wanted again from %+v on", f)
	}
}

// TestP27AnEndIsNotLostWithTheAnswerOfAWrite: the log has the last message's outcome,
// which its writer does not know; the next message finds that out and goes out all the
// same.
func TestP27AnEndIsNotLostWithTheAnswerOfAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, instant)
		b.run()
		defer b.stop()
		n := 0
		b.store.Lost = func(string) bool { n++; return n == 2 } // that the firing was told
		x := alert("x")
		b.put(x)
		after(20 * time.Second)
		b.put(ended(x))
		after(20 * time.Second)
		wantLines(t, b.a, "0s first +x", "21s resolved -x")
	})
}

// TestP27BriefAndOldIncidentsAreNotTold and counted: what ended before it was to be
// told, and what ended long before anybody could tell.
func TestP27BriefAndOldIncidentsAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, j := newBench(t, simple), &journal{}
		b.run()
		b.put(j.write(alert("a")))
		after(30 * time.Second)
		j.floor = b.d.Floor(j.next())
		b.stop()
		brief := alert("brief", "alertname", "Y")
		j.write(brief)
		old := alert("old", "alertname", "Z")
		j.write(old)
		after(5 * time.Second) // less than group_wait
		j.write(ended(brief))
		after(30 * time.Second)
		j.write(ended(old))
		after(10 * time.Minute)
		late := alert("late", "alertname", "V")
		j.write(late)
		after(30 * time.Second)
		j.write(ended(late))
		b.before = func(d *notify.Dispatcher) { j.replay(t, d) }
		b.run()
		defer b.stop()
		after(2 * time.Minute)
		if l := b.a.lines(); len(l) != 3 || !strings.Contains(l[0], "first +a") || !strings.Contains(l[1], "first +late") || !strings.Contains(l[2], "resolved -late") {
			t.Errorf("told %v, want a, and late with both ends", l)
		}
		var out strings.Builder
		b.reg.Write(&out)
		for _, line := range []string{`sentinel_notify_incidents_untold_total{why="brief"} 1`, `sentinel_notify_incidents_untold_total{why="late"} 1`} {
			if !strings.Contains(out.String(), line) {
				t.Errorf("metrics do not say %s", line)
			}
		}
	})
}

// TestP27ChangesBesideASlowReceiverAreAllTold: what begins and ends while a message is
// on its way comes after it.
func TestP27ChangesBesideASlowReceiverAreAllTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, j := newBench(t, instant), &journal{}
		b.a.fail = func(_ *notify.Notification, try int) error {
			if try < 4 {
				return errors.New("busy")
			}
			return nil
		}
		b.run()
		defer b.stop()
		var want []string
		for range 3 {
			x := alert("x")
			want = append(want, said(x))
			b.put(j.write(x))
			after(2 * time.Second)
			want = append(want, said(ended(x)))
			b.put(j.write(ended(x)))
			after(2 * time.Second)
		}
		after(5 * time.Minute)
		if got, _ := told(t, b.a, "x"); !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
	})
}
