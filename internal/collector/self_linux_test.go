package collector

import (
	"testing"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestWhatTheAgentSaysOfItself(t *testing.T) {
	n := 0.0
	s := newSet(t, DefaultConfig(), WithSelf(func(set func(string, float64, ...string)) {
		n++
		set("sentinel_agent_wal_bytes", 100*n)
		set("sentinel_agent_dropped_total", n, "reason", "age")
		set("sentinel_agent_dropped_total", 2*n, "reason", "bytes")
	}))
	collect(t, s)
	snap := collect(t, s)
	wantValues(t, byName(t, snap), map[string]float64{
		"sentinel_agent_wal_bytes": 200, `sentinel_agent_dropped_total{reason="age"}`: 2, `sentinel_agent_dropped_total{reason="bytes"}`: 4,
		`node_scrape_collector_success{collector="agent"}`: 1,
	})
	for _, series := range layoutOf(t, snap) {
		switch series.Name {
		case "sentinel_agent_wal_bytes":
			if series.Kind != sentinel.Gauge || series.Unit != "bytes" {
				t.Errorf("%s is a %s in %q", series, series.Kind, series.Unit)
			}
		case "sentinel_agent_dropped_total":
			if series.Kind != sentinel.Counter {
				t.Errorf("%s is a %s", series, series.Kind)
			}
		}
	}
}
