package notify

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Route is a node of the routing tree with everything that it inherits.
type Route struct {
	parent *Route
	path   string

	Receiver   string
	Matchers   Matchers
	Continue   bool
	GroupBy    []string // sorted
	GroupByAll bool

	Wait, Interval, Repeat time.Duration

	Mute, Active []string // names of time intervals
	Escalations  []EscalationConfig
	Flap         *FlapConfig
	Routes       []*Route
}

// Root returns the route that all others are below.
func (r *Routing) Root() *Route { return r.root }

// Match returns the routes that an alert with these labels takes, in the order of the
// file: depth first, the first that matches of those on one level and those after it
// where it says continue, a route itself where none below it matches.
func (r *Routing) Match(labels map[string]string) []*Route { return r.root.match(labels) }

func (rt *Route) match(labels map[string]string) []*Route {
	if !rt.Matchers.Matches(labels) {
		return nil
	}
	var all []*Route
	for _, child := range rt.Routes {
		found := child.match(labels)
		all = append(all, found...)
		if found != nil && !child.Continue {
			break
		}
	}
	if len(all) == 0 {
		return []*Route{rt}
	}
	return all
}

// Path returns where the route stands in the configuration, such as route.routes[2].
func (rt *Route) Path() string { return rt.path }

// key is the route in group keys, Alertmanager's form. Two routes may share one.
func (rt *Route) key() string {
	if rt.parent == nil || rt.parent.path == "" {
		return rt.Matchers.String()
	}
	return rt.parent.key() + "/" + rt.Matchers.String()
}

// groupLabels returns the labels that the alert's group shares.
func (rt *Route) groupLabels(labels map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		if rt.GroupByAll || slices.Contains(rt.GroupBy, k) {
			out[k] = v
		}
	}
	return out
}

// GroupKey names the group that an alert with these labels belongs to on this route:
// the matchers on the way and the group's labels.
func (rt *Route) GroupKey(labels map[string]string) string {
	return rt.key() + ":" + labelText(rt.groupLabels(labels))
}

// labelText writes labels as {a="b", c="d"}, sorted.
func labelText(labels map[string]string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, k := range sortedKeys(labels) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(k + "=" + strconv.Quote(labels[k]))
	}
	b.WriteByte('}')
	return b.String()
}

// mutedBy returns the time intervals that hold the route back at t: those that mute
// it, or the active ones where t is in none of them.
func (r *Routing) mutedBy(rt *Route, t time.Time) []string {
	in := func(name string) bool {
		return slices.ContainsFunc(r.intervals[name], func(ti TimeInterval) bool { return ti.Contains(t) })
	}
	var by []string
	for _, name := range rt.Mute {
		if in(name) {
			by = append(by, name)
		}
	}
	if len(rt.Active) > 0 && !slices.ContainsFunc(rt.Active, in) {
		by = append(by, rt.Active...)
	}
	return by
}

// Explanation says what would happen to an alert on one of its routes.
type Explanation struct {
	Path           string   `json:"path"`  // where the route stands, such as route.routes[2]
	Trail          []string `json:"trail"` // the matchers on the way, from the root on
	Receiver       string   `json:"receiver"`
	GroupKey       string   `json:"group_key"`
	GroupWait      string   `json:"group_wait"`
	GroupInterval  string   `json:"group_interval"`
	RepeatInterval string   `json:"repeat_interval"`
	MutedBy        []string `json:"muted_by,omitempty"`    // time intervals, now
	SilencedBy     []string `json:"silenced_by,omitempty"` // silences, now
	InhibitedBy    string   `json:"inhibited_by,omitempty"`
	Escalations    []string `json:"escalations,omitempty"`
}

// Explain says where an alert with these labels would go at t, and which time
// intervals would hold it back.
func (r *Routing) Explain(labels map[string]string, t time.Time) []Explanation {
	labels = cleanMap(labels, maxLabel)
	var out []Explanation
	for _, rt := range r.Match(labels) {
		e := Explanation{Path: rt.path, Receiver: rt.Receiver, GroupKey: rt.GroupKey(labels), GroupWait: sentinel.FormatDuration(rt.Wait),
			GroupInterval: sentinel.FormatDuration(rt.Interval), RepeatInterval: sentinel.FormatDuration(rt.Repeat), MutedBy: r.mutedBy(rt, t)}
		for at := rt; at != nil && at.path != ""; at = at.parent {
			e.Trail = append(e.Trail, at.Matchers.String())
		}
		slices.Reverse(e.Trail)
		for _, esc := range rt.Escalations {
			e.Escalations = append(e.Escalations, "after "+sentinel.FormatDuration(esc.After)+": "+esc.Receiver)
		}
		out = append(out, e)
	}
	return out
}
