package notify

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	maxDepth  = 16
	maxRoutes = 10_000
)

// RouteConfig is a node of the routing tree, in Alertmanager's words. What is not set
// is the parent's, except for matchers, continue and the time intervals.
type RouteConfig struct {
	Receiver string `yaml:"receiver"`
	// Matchers must all pass; each text may hold several, separated by commas.
	Matchers []string `yaml:"matchers"`
	// Continue lets the routes after this one look at an alert that this one took.
	Continue bool `yaml:"continue"`
	// GroupBy names the labels that a group shares; ['...'] makes every alert a group
	// and [] puts all alerts of a route into one.
	GroupBy        []string       `yaml:"group_by"`
	GroupWait      *time.Duration `yaml:"group_wait"`
	GroupInterval  *time.Duration `yaml:"group_interval"`
	RepeatInterval *time.Duration `yaml:"repeat_interval"`
	// MuteTimeIntervals and ActiveTimeIntervals name time intervals.
	MuteTimeIntervals   []string `yaml:"mute_time_intervals"`
	ActiveTimeIntervals []string `yaml:"active_time_intervals"`
	// Escalations tell further receivers of alerts that nobody has acknowledged.
	Escalations []EscalationConfig `yaml:"escalations"`
	// FlapDamping is off unless it is set.
	FlapDamping *FlapConfig   `yaml:"flap_damping"`
	Routes      []RouteConfig `yaml:"routes"`
}

// EscalationConfig is one step of an escalation.
type EscalationConfig struct {
	// After is counted from the first notification of the alert.
	After    time.Duration `yaml:"after"`
	Receiver string        `yaml:"receiver"`
}

// FlapConfig holds back alerts that change all the time and sends a digest instead.
type FlapConfig struct {
	// Changes within Window begin the damping; a Window without a change ends it.
	Changes int           `yaml:"changes"`
	Window  time.Duration `yaml:"window"`
	// Digest is how often a summary of the damped alerts is sent.
	Digest time.Duration `yaml:"digest_interval"`
}

// SetDefaults sets what damping does where it is on.
func (c *FlapConfig) SetDefaults() {
	*c = FlapConfig{Changes: 6, Window: time.Hour, Digest: 30 * time.Minute}
}

// Validate says which key is wrong and what is allowed.
func (c *FlapConfig) Validate() error {
	switch {
	case c.Changes < 2 || c.Changes > 100:
		return sentinel.Errorf(sentinel.Invalid, "changes: %d, want 2 to 100", c.Changes)
	case c.Window < time.Second:
		return sentinel.Errorf(sentinel.Invalid, "window: %s, want at least 1s", c.Window)
	case c.Digest < time.Second:
		return sentinel.Errorf(sentinel.Invalid, "digest_interval: %s, want at least 1s", c.Digest)
	}
	return nil
}

// InhibitConfig holds back the alerts that match Target while one that matches Source
// fires and has the same values of the labels in Equal.
type InhibitConfig struct {
	Name           string   `yaml:"name"`
	SourceMatchers []string `yaml:"source_matchers"`
	TargetMatchers []string `yaml:"target_matchers"`
	Equal          []string `yaml:"equal"`
}

// IntervalConfig gives a set of times a name.
type IntervalConfig struct {
	Name          string         `yaml:"name"`
	TimeIntervals []TimeInterval `yaml:"time_intervals"`
}

// Config is the routing part of a notification file. The receivers stand beside it and
// are known by their names only.
type Config struct {
	Route         RouteConfig      `yaml:"route"`
	InhibitRules  []InhibitConfig  `yaml:"inhibit_rules"`
	TimeIntervals []IntervalConfig `yaml:"time_intervals"`
}

// Routing is a Config that was found good. It does not change.
type Routing struct {
	root      *Route
	receivers map[string]bool
	intervals map[string][]TimeInterval
	inhibit   []inhibitRule
}

// Compile checks a configuration as a whole. The error is Invalid and begins with the
// path of the key that is wrong.
func (c Config) Compile(receivers []string) (*Routing, error) {
	r := &Routing{receivers: map[string]bool{}, intervals: map[string][]TimeInterval{}}
	for _, name := range receivers {
		r.receivers[name] = true
	}
	for i, ti := range c.TimeIntervals {
		at := fmt.Sprintf("time_intervals[%d].name", i)
		if ti.Name == "" {
			return nil, sentinel.Errorf(sentinel.Invalid, "%s: is missing", at)
		}
		if _, ok := r.intervals[ti.Name]; ok {
			return nil, sentinel.Errorf(sentinel.Invalid, "%s: %q stands there twice", at, ti.Name)
		}
		r.intervals[ti.Name] = ti.TimeIntervals
	}
	for i, ic := range c.InhibitRules {
		rule, err := ic.compile()
		if err != nil {
			return nil, sentinel.Errorf(sentinel.Invalid, "inhibit_rules[%d].%w", i, err)
		}
		r.inhibit = append(r.inhibit, rule)
	}
	root, left := c.Route, maxRoutes
	switch {
	case root.Receiver == "":
		return nil, sentinel.Errorf(sentinel.Invalid, "route.receiver: is missing; alerts that no other route takes go there")
	case len(root.Matchers) > 0:
		return nil, sentinel.Errorf(sentinel.Invalid, "route.matchers: the root takes every alert; put matchers into routes below it")
	case len(root.MuteTimeIntervals)+len(root.ActiveTimeIntervals) > 0:
		return nil, sentinel.Errorf(sentinel.Invalid, "route: the root must not have time intervals; put them into routes below it")
	case root.Continue:
		return nil, sentinel.Errorf(sentinel.Invalid, "route.continue: there is nothing after the root")
	}
	defaults := &Route{Wait: 30 * time.Second, Interval: 5 * time.Minute, Repeat: 4 * time.Hour}
	var err error
	if r.root, err = r.compile(root, defaults, "route", 0, &left); err != nil {
		return nil, err
	}
	r.root.parent = nil
	return r, nil
}

func (r *Routing) compile(c RouteConfig, parent *Route, path string, depth int, left *int) (*Route, error) {
	bad := func(key, format string, args ...any) error {
		return sentinel.Errorf(sentinel.Invalid, "%s: %s", join(path, key), fmt.Sprintf(format, args...))
	}
	if *left--; *left < 0 || depth > maxDepth {
		return nil, bad("routes", "the tree has more than %d routes or is deeper than %d", maxRoutes, maxDepth)
	}
	rt := &Route{parent: parent, path: path, Receiver: parent.Receiver, GroupBy: parent.GroupBy, GroupByAll: parent.GroupByAll,
		Wait: parent.Wait, Interval: parent.Interval, Repeat: parent.Repeat, Escalations: parent.Escalations, Flap: parent.Flap,
		Continue: c.Continue, Mute: c.MuteTimeIntervals, Active: c.ActiveTimeIntervals}
	ms, err := parseMatcherList(join(path, "matchers"), c.Matchers)
	if err != nil {
		return nil, err
	}
	rt.Matchers = ms.sorted()
	if c.Receiver != "" {
		rt.Receiver = c.Receiver
	}
	if !r.receivers[rt.Receiver] {
		return nil, bad("receiver", "there is no receiver %q; known are %q", rt.Receiver, slices.Sorted(maps.Keys(r.receivers)))
	}
	if c.GroupBy != nil {
		if rt.GroupBy, rt.GroupByAll, err = groupBy(c.GroupBy); err != nil {
			return nil, bad("group_by", "%s", err)
		}
	}
	for _, d := range []struct {
		key string
		set *time.Duration
		to  *time.Duration
		min time.Duration
	}{
		{"group_wait", c.GroupWait, &rt.Wait, 0}, {"group_interval", c.GroupInterval, &rt.Interval, time.Second},
		{"repeat_interval", c.RepeatInterval, &rt.Repeat, time.Second},
	} {
		if d.set == nil {
			continue
		}
		if *d.set < d.min {
			return nil, bad(d.key, "%s, want at least %s", *d.set, d.min)
		}
		*d.to = *d.set
	}
	for key, names := range map[string][]string{"mute_time_intervals": c.MuteTimeIntervals, "active_time_intervals": c.ActiveTimeIntervals} {
		for i, name := range names {
			if _, ok := r.intervals[name]; !ok {
				return nil, bad(fmt.Sprintf("%s[%d]", key, i), "there is no time interval %q", name)
			}
		}
	}
	if c.FlapDamping != nil {
		rt.Flap = c.FlapDamping
	}
	if c.Escalations != nil {
		rt.Escalations = c.Escalations
	}
	for i, e := range c.Escalations {
		if !r.receivers[e.Receiver] {
			return nil, bad(fmt.Sprintf("escalations[%d].receiver", i), "there is no receiver %q", e.Receiver)
		}
		if e.After < time.Second {
			return nil, bad(fmt.Sprintf("escalations[%d].after", i), "%s, want at least 1s", e.After)
		}
	}
	for i, sub := range c.Routes {
		child, err := r.compile(sub, rt, fmt.Sprintf("%s.routes[%d]", path, i), depth+1, left)
		if err != nil {
			return nil, err
		}
		rt.Routes = append(rt.Routes, child)
	}
	return rt, nil
}

func groupBy(names []string) ([]string, bool, error) {
	out := []string{}
	for _, n := range names {
		switch {
		case n == "...":
			if len(names) > 1 {
				return nil, false, sentinel.Errorf(sentinel.Invalid, "'...' means all labels; no other may stand beside it")
			}
			return nil, true, nil
		case !labelName(n):
			return nil, false, sentinel.Errorf(sentinel.Invalid, "%.60q is no label name", n)
		case slices.Contains(out, n):
			return nil, false, sentinel.Errorf(sentinel.Invalid, "%q stands there twice", n)
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, false, nil
}

func join(path, key string) string { return path + "." + key }
