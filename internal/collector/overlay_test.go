package collector

import (
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// TestOverlayKeepsBelowTheCeiling: whatever a service says, the host has the last
// word, and what comes out is a configuration that holds.
func TestOverlayKeepsBelowTheCeiling(t *testing.T) {
	host := DefaultConfig()
	host.Collectors["hwmon"] = false
	host.Intervals["processes"] = time.Minute
	limit := Ceiling{Enabled: true, MinInterval: 5 * time.Second}
	var o Overlay
	if got := o.Over(host, limit); got.Interval != host.Interval || got.Timeout != host.Timeout || got.Intervals["processes"] != time.Minute {
		t.Errorf("nothing said, and it became %+v", got)
	}
	o = Overlay{Interval: time.Second, Timeout: 30 * time.Second, Intervals: map[string]time.Duration{"processes": 2 * time.Second, "load": 20 * time.Second},
		Collectors: map[string]bool{"hwmon": true, "cpu": false}}
	got := o.Over(host, limit)
	if got.Interval != 5*time.Second || got.Intervals["processes"] != 5*time.Second || got.Intervals["load"] != 20*time.Second {
		t.Errorf("intervals %s, %v", got.Interval, got.Intervals)
	}
	if got.Collectors["hwmon"] || got.Collectors["cpu"] || !got.Collectors["memory"] {
		t.Errorf("collectors %v", got.Collectors)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	if !host.Collectors["cpu"] || host.Intervals["load"] != 0 {
		t.Error("the host's own configuration was changed")
	}
	// A host that collects more often than its own ceiling goes on doing so.
	host.Interval = 2 * time.Second
	if got := (Overlay{Interval: 2 * time.Second}).Over(host, limit); got.Interval != 2*time.Second {
		t.Errorf("interval %s", got.Interval)
	}
}

func TestOverlayRefuses(t *testing.T) {
	for name, o := range map[string]Overlay{
		"interval":  {Interval: time.Millisecond},
		"negative":  {Interval: -time.Second},
		"intervals": {Intervals: map[string]time.Duration{"cpu": 0}},
		"long":      {Interval: 48 * time.Hour},
		"timeout":   {Timeout: -1},
		"short":     {Timeout: time.Millisecond},
	} {
		if err := o.Validate(); sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
