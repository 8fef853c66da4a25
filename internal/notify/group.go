package notify

import (
	"container/heap"
	"slices"
	"strconv"
	"time"
)

// maxMembers bounds a group; what does not fit is continued in another group, so that
// the log's records stay bounded and no alert is refused.
const maxMembers = 5000

// group is a set of alerts that are told together.
type group struct {
	id    string // the route's path and the key: unique
	key   string // as it goes out
	route *Route

	labels  map[string]string
	members map[string]*member   // by fingerprint
	earlier map[string][]*member // by fingerprint: changes before that, which have still to be told
	last    Position             // of all changes so far
	since   map[string]time.Time // when each firing alert was first to be told
	next    time.Time            // of the next flush
	gen     int                  // counts the schedules; only the last one counts
}

// event is something to do at a time.
type event struct {
	at  time.Time
	seq uint64 // keeps the order of events of one time
	run func(now time.Time)
}

// agenda is a heap of events, the earliest first.
type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	if !a[i].at.Equal(a[j].at) {
		return a[i].at.Before(a[j].at)
	}
	return a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(e any)   { *a = append(*a, e.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	(*a)[len(*a)-1] = event{}
	*a = (*a)[:len(*a)-1]
	return last
}

// at does something at a time, or at once where that has passed. The lock is held.
func (d *Dispatcher) at(t time.Time, run func(now time.Time)) {
	d.seq++
	heap.Push(&d.agenda, event{t, d.seq, run})
	d.wakeUp()
}

// insert puts an alert into its group of a route. The lock is held.
func (d *Dispatcher) insert(rt *Route, a *Alert, now time.Time) {
	key := rt.GroupKey(a.Labels)
	for part := 1; ; part++ {
		if part > 1 {
			key = rt.GroupKey(a.Labels) + "/" + strconv.Itoa(part)
		}
		g, wait := d.groups[rt.path+":"+key], time.Duration(0)
		if g == nil {
			g = &group{id: rt.path + ":" + key, key: key, route: rt, labels: rt.groupLabels(a.Labels),
				members: map[string]*member{}, since: map[string]time.Time{}, next: now.Add(rt.Wait)}
			wait = rt.Wait
			if a.StartsAt.Add(rt.Wait).Before(now) {
				g.next = now // it has waited long enough, before a restart for instance
			}
			d.groups[g.id] = g
			d.schedule(g)
		} else {
			wait = max(0, g.next.Sub(now))
		}
		old, there := g.members[a.Fingerprint]
		if !there && len(g.members) >= maxMembers {
			continue
		}
		if rt.Flap != nil && (!there || old.State != a.State || !old.StartsAt.Equal(a.StartsAt)) {
			d.flapped(rt, a.Fingerprint, now)
		}
		if there && !old.StartsAt.Equal(a.StartsAt) {
			delete(g.since, a.Fingerprint)
		}
		g.follow(&member{Alert: *a, wait: wait})
		return
	}
}

// schedule makes the group flush at its next time, or escalate before that.
func (d *Dispatcher) schedule(g *group) {
	g.gen++
	gen, at := g.gen, g.next
	if due, ok := d.escalationDue(g); ok && due.Before(at) {
		at = due
	}
	d.at(at, func(now time.Time) {
		if g.gen != gen || d.groups[g.id] != g {
			return
		}
		if now.Before(g.next) {
			d.escalate(g, d.tellable(g, now), now)
		} else {
			g.next = now.Add(g.route.Interval)
			d.flush(g, now)
		}
		if d.groups[g.id] == g {
			d.schedule(g)
		}
	})
}

// sorted returns the members, firing ones first, then by fingerprint.
func (g *group) sorted() []*Alert {
	out := make([]*Alert, 0, len(g.members))
	for _, m := range g.members {
		out = append(out, &m.Alert)
	}
	slices.SortFunc(out, order)
	return out
}

// tellable returns the alerts of a group that nothing holds back.
func (d *Dispatcher) tellable(g *group, now time.Time) []Alert {
	if len(d.routing.mutedBy(g.route, now)) > 0 {
		d.metrics.suppressed("time_interval").Add(len(g.members))
		return nil
	}
	list := make([]Alert, 0, len(g.members))
	for _, a := range g.sorted() {
		switch {
		case len(d.silences.silencedBy(a.Labels, now)) > 0:
			d.metrics.suppressed("silence").Inc()
		case d.inhibited(a.Labels):
			d.metrics.suppressed("inhibition").Inc()
		case d.damped(g.route, a.Fingerprint, now):
			d.metrics.suppressed("flapping").Inc()
		default:
			list = append(list, *a)
		}
	}
	return list
}

func (d *Dispatcher) inhibited(labels map[string]string) bool {
	by, _ := d.inhibitor.inhibits(labels)
	return by != ""
}

// flush tells the channels of a group what they have to know.
func (d *Dispatcher) flush(g *group, now time.Time) {
	for _, m := range g.members {
		m.looked = true
	}
	for _, line := range g.earlier {
		for _, m := range line {
			m.looked = true
		}
	}
	list := d.tellable(g, now)
	for _, a := range list {
		g.members[a.Fingerprint].shown = true
		if _, ok := g.since[a.Fingerprint]; !ok && a.State == Firing {
			g.since[a.Fingerprint] = d.firstTold(g, a, now)
		}
	}
	for _, ch := range d.channels[g.route.Receiver] {
		d.offer(g, ch, list, now)
	}
	d.escalate(g, list, now)
	d.digest(g, now)
	d.settle(g, now)
}

// firstTold returns when the incident was first told according to the log, or now.
func (d *Dispatcher) firstTold(g *group, a Alert, now time.Time) time.Time {
	for _, ch := range d.channels[g.route.Receiver] {
		if since, ok := d.delivery(ch, g.key).rec.Firing[hashed(a.Fingerprint)]; ok && since >= a.StartsAt.Unix() {
			now = minTime(now, time.Unix(since, 0))
		}
	}
	return now
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// settle takes note that every channel has been told of what flushes have looked at,
// removes what of it has ended, and the group when nothing is left in it.
func (d *Dispatcher) settle(g *group, now time.Time) {
	if d.groups[g.id] != g || d.unsettled(g) {
		return
	}
	for fp, m := range g.members {
		if m.settled = m.settled || m.looked; !m.settled || m.State == Firing {
			continue
		}
		if d.damped(g.route, fp, now) {
			continue
		}
		if m.brief {
			d.metrics.untold("brief").Inc()
		}
		delete(g.members, fp)
		delete(g.since, fp)
	}
	for fp, line := range g.earlier {
		if line = slices.DeleteFunc(line, func(m *member) bool { return m.looked }); len(line) == 0 {
			delete(g.earlier, fp)
		} else {
			g.earlier[fp] = line
		}
	}
	if len(g.members) == 0 {
		delete(d.groups, g.id)
	}
}

func (d *Dispatcher) unsettled(g *group) bool {
	return slices.ContainsFunc(d.channelsOf(g), func(ch *channel) bool {
		dl := d.deliveries[logKey(ch.ID, g.key)]
		return dl != nil && dl.busy
	})
}

// channelsOf returns the channels of the group's receiver and of its escalations.
func (d *Dispatcher) channelsOf(g *group) []*channel {
	all := slices.Clone(d.channels[g.route.Receiver])
	for _, e := range g.route.Escalations {
		all = append(all, d.channels[e.Receiver]...)
	}
	return all
}

// escalationDue returns when the next alert of the group has to be escalated.
func (d *Dispatcher) escalationDue(g *group) (time.Time, bool) {
	var due time.Time
	for _, e := range g.route.Escalations {
		for fp, since := range g.since {
			a := g.members[fp]
			if a == nil || a.State != Firing || d.acked(a.Alert) {
				continue
			}
			// What was due before and is held back now is looked at again with the next flush.
			if t := since.Add(e.After); t.After(time.Now()) && (due.IsZero() || t.Before(due)) {
				due = t
			}
		}
	}
	return due, !due.IsZero()
}

// escalate tells the further receivers of alerts that fire for long enough without
// anybody having acknowledged them, and of everything that becomes of those.
func (d *Dispatcher) escalate(g *group, list []Alert, now time.Time) {
	for _, e := range g.route.Escalations {
		for _, ch := range d.channels[e.Receiver] {
			dl := d.delivery(ch, g.key)
			if dl.busy {
				dl.missed = true
				continue
			}
			var those []Alert
			for _, a := range list {
				_, knows := dl.rec.Firing[hashed(a.Fingerprint)]
				since, ok := g.since[a.Fingerprint]
				due := ok && a.State == Firing && !d.acked(a) && !now.Before(since.Add(e.After))
				if knows || due {
					those = append(those, a)
				}
			}
			if len(those) > 0 {
				d.offer(g, ch, those, now)
			}
		}
	}
}

func (d *Dispatcher) acked(a Alert) bool {
	_, ok := d.acks.of(a)
	return ok
}
