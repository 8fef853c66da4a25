package notify

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// maxLate is for how long after its end people are told that something fired, where
// nobody was there to tell them in time. Who is woken later is woken for nothing.
const maxLate = 5 * time.Minute

// Position is where a change of an alert stands in the log that it was read from.
type Position struct {
	Log string `json:"log,omitempty"` // another one where the numbers begin anew
	Seq uint64 `json:"seq,omitempty"` // grows with every change; 0: not known
}

// within reports whether who knows everything up to q knows of p.
func (p Position) within(q Position) bool { return p.Log == q.Log && p.Seq <= q.Seq }

// member is an alert in a group. One that changes is another member.
type member struct {
	Alert
	wait time.Duration // from the change to the flush that it waits for
	// looked says that a flush has seen it, shown that nothing held it back then, and
	// settled that every channel knows.
	looked, shown, settled bool
	brief                  bool // it ended before it was to be told
}

// due reports whether people had to be told of m before it changed again at a time.
// That is asked of the times of the changes, not of ours: nobody may have been here.
func (m *member) due(changed time.Time) bool {
	if m.looked {
		return m.shown
	}
	return !changed.Before(m.Changed.Add(m.wait))
}

// follow makes m the state of its alert in the group. What was there before and has
// still to be told stays in line before it.
func (g *group) follow(m *member) {
	old := g.members[m.Fingerprint]
	g.members[m.Fingerprint] = m
	if m.Position.Log != g.last.Log || m.Position.Seq > g.last.Seq {
		g.last = m.Position
	}
	switch {
	case old == nil:
	case old.State == m.State && old.StartsAt.Equal(m.StartsAt):
		m.wait, m.looked, m.shown, m.settled, m.brief = old.wait, old.looked, old.shown, old.settled, old.brief
		if m.Changed = old.Changed; m.Position.Log == old.Position.Log {
			m.Position = old.Position
		}
	case old.settled:
	case old.due(m.Changed):
		if g.earlier == nil {
			g.earlier = map[string][]*member{}
		}
		g.earlier[m.Fingerprint] = append(g.earlier[m.Fingerprint], old)
	case m.State == Resolved:
		m.brief = true
	}
}

// tooLate drops from the lines what fired and ended too long ago to tell of it, and
// returns how many there were. The end of what was told is never too late.
func (g *group) tooLate(now time.Time) (dropped int) {
	for fp, line := range g.earlier {
		kept := line[:0]
		for i, m := range line {
			next := g.members[fp]
			if i+1 < len(line) {
				next = line[i+1]
			}
			if m.State == Firing && !m.shown && next != nil && now.Sub(next.Changed) > maxLate {
				dropped++
				continue
			}
			kept = append(kept, m)
		}
		if g.earlier[fp] = kept; len(kept) == 0 {
			delete(g.earlier, fp)
		}
	}
	return dropped
}

// present returns how a channel is to see the alerts of list that knows everything up
// to a position: where changes wait in line, the first that it does not know. upto is
// what it knows after that, and more says that there is more to tell then.
func (g *group) present(list []Alert, known Position) (out []Alert, upto Position, more bool) {
	upto = g.last
	if upto.within(known) {
		upto = known
	}
	if len(g.earlier) == 0 {
		return list, upto, false
	}
	out = slices.Clone(list)
	for i, a := range list {
		line := g.earlier[a.Fingerprint]
		n := slices.IndexFunc(line, func(m *member) bool { return !m.Position.within(known) })
		if n < 0 {
			continue
		}
		out[i] = line[n].Alert
		next := a.Position
		if n+1 < len(line) {
			next = line[n+1].Position
		}
		if next.Seq--; !more || next.Seq < upto.Seq {
			upto = next
		}
		more = true
	}
	slices.SortFunc(out, func(a, b Alert) int { return order(&a, &b) })
	return out, upto, more
}

// order is firing ones first, then by fingerprint.
func order(a, b *Alert) int {
	return cmp.Or(strings.Compare(string(a.State), string(b.State)), strings.Compare(a.Fingerprint, b.Fingerprint))
}

// Floor returns the position from which changes have to be put again after a crash:
// everything before it was told, as far as it was to be told, or is the last that is
// known of its alert. next is what comes after the last change that was put.
func (d *Dispatcher) Floor(next Position) Position {
	d.mu.Lock()
	defer d.mu.Unlock()
	lower := func(m *member) {
		if m.Position.Log == next.Log && m.Position.Seq > 0 && m.Position.Seq < next.Seq {
			next = m.Position
		}
	}
	for _, g := range d.groups {
		for _, m := range g.members {
			if !m.settled {
				lower(m)
			}
		}
		for _, line := range g.earlier {
			for _, m := range line {
				lower(m)
			}
		}
	}
	return next
}
