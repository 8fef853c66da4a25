package notify

import (
	"fmt"
	"slices"
	"time"
)

// flaps is when an alert changed on one route. It is not kept over a restart.
type flaps struct {
	times  []time.Time
	damped bool
}

func flapKey(rt *Route, fingerprint string) string { return rt.path + ":" + fingerprint }

// flapped takes note of a change.
func (d *Dispatcher) flapped(rt *Route, fingerprint string, now time.Time) {
	f := d.flaps[flapKey(rt, fingerprint)]
	if f == nil {
		f = &flaps{}
		d.flaps[flapKey(rt, fingerprint)] = f
	}
	f.times = append(f.times, now)
	if len(f.times) > 2*rt.Flap.Changes {
		f.times = slices.Delete(f.times, 0, len(f.times)-2*rt.Flap.Changes)
	}
	f.trim(rt.Flap, now)
}

func (f *flaps) trim(c *FlapConfig, now time.Time) {
	f.times = slices.DeleteFunc(f.times, func(t time.Time) bool { return now.Sub(t) >= c.Window })
	switch {
	case len(f.times) >= c.Changes:
		f.damped = true
	case len(f.times) == 0:
		f.damped = false
	}
}

// damped reports whether an alert is held back because it changes all the time.
func (d *Dispatcher) damped(rt *Route, fingerprint string, now time.Time) bool {
	if rt.Flap == nil {
		return false
	}
	f := d.flaps[flapKey(rt, fingerprint)]
	if f == nil {
		return false
	}
	f.trim(rt.Flap, now)
	if len(f.times) == 0 {
		delete(d.flaps, flapKey(rt, fingerprint))
	}
	return f.damped
}

// digest sends a summary of what is damped, at most once in the digest interval.
func (d *Dispatcher) digest(g *group, now time.Time) {
	if g.route.Flap == nil || len(d.routing.mutedBy(g.route, now)) > 0 {
		return
	}
	var list []Alert
	changes := 0
	for _, a := range g.sorted() {
		if !d.damped(g.route, a.Fingerprint, now) || len(d.silences.silencedBy(a.Labels, now)) > 0 || d.inhibited(a.Labels) {
			continue
		}
		changes += len(d.flaps[flapKey(g.route, a.Fingerprint)].times)
		list = append(list, *a)
	}
	if len(list) == 0 {
		return
	}
	for _, ch := range d.channels[g.route.Receiver] {
		dl := d.delivery(ch, g.key+"#digest")
		if dl.busy || now.Sub(dl.rec.At) < g.route.Flap.Digest || now.Sub(dl.rec.FailedAt) < g.route.Flap.Digest {
			continue
		}
		n := d.message(g, ch, dl, ReasonDigest, list, now)
		n.Note = fmt.Sprintf("These alerts keep changing and are held back: at least %d changes in %s. They are told of again once they are stable for %s.",
			changes, g.route.Flap.Window, g.route.Flap.Window)
		d.start(g, ch, dl, &pending{Notification: n})
	}
}
