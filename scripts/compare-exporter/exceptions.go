//go:build linux && bench

package main

import (
	"math"
	"regexp"
)

// exception is a difference that is as it should be.
type exception struct {
	name   string  // regular expression, of the whole metric's name
	what   string  // the difference; empty is any
	drift  float64 // how far a value may lie outside; 0 is any way
	reason string
}

// What may differ.
const (
	value        = "value"
	missingHere  = "missing here"
	missingThere = "missing there"
	zeroHere     = "0 here, missing there"
	nameMissing  = "name missing there"
)

func exceptions() []exception {
	return []exception{
		{"node_memory_.*", nameMissing, 0, "every line of meminfo has a series here, there the ones that it knows"},
		{"node_cpu_guest_seconds_total", missingHere, 0, "a kernel before 2.6.33 has no such time; it is 0 there"},
		{"node_processes_state", zeroHere, 0, "a state without a process is 0 here, so that its first makes no new layout"},
		{"node_processes_state|node_procs_(running|blocked)", value, 3, "each is running itself when it looks"},
		{"node_tcp_connection_states", zeroHere, 0, "a state without a socket is 0 here"},
		{"node_tcp_connection_states", missingHere, 0, "bytes in queues are no state"},
		{"node_systemd_units", missingHere, 0, "without a selection only units that failed are asked for"},
		{"node_systemd_unit_state", "", 0, "without a selection only units that failed are named, and none by its type"},
		{"node_systemd_.*", nameMissing, 0, "that collector needs its manager on the bus of the system's user"},
	}
}

// reasonOf returns why a difference is as it should be, or nothing.
func (c *comparison) reasonOf(d difference) string {
	if c.recorded && d.name == "node_network_speed_bytes" && d.what == missingHere {
		return "an empty file stands for one that refuses to be read, there it is 0"
	}
	for _, e := range exceptions() {
		if e.drift > 0 && math.Abs(d.theirs-min(max(d.theirs, min(d.before, d.after)), max(d.before, d.after))) > e.drift {
			continue
		}
		if (e.what == "" || e.what == d.what) && regexp.MustCompile("^(?:"+e.name+")$").MatchString(d.name) {
			return e.reason
		}
	}
	return ""
}
