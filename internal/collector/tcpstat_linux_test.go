package collector

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestSocketsBeyondABlockAreCounted(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "proc/net/sockstat", "sockets: used 9\nTCP: inuse 900 orphan 0 tw 100 alloc 900 mem 1\n")
	var b strings.Builder
	b.WriteString("  sl  local_address rem_address   st tx_queue\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "%4d: 0100007F:1F90 0100007F:%04X %02X 00000000:00000000 00:00000000 00000000     0        0 23117 1 0000000000000000 20 4 30 10 -1\n", i, i, 1+5*(i%2))
	}
	write(t, dir, "proc/net/tcp", b.String())
	s := newSet(t, only("tcpstat"), WithRoots(dir+"/proc", dir+"/sys"))
	wantValues(t, byName(t, collect(t, s)), map[string]float64{
		`node_tcp_connection_states{state="established"}`: 500, `node_tcp_connection_states{state="time_wait"}`: 500,
		`node_tcp_connection_states{state="listen"}`: 0,
	})
	write(t, dir, "proc/net/sockstat", "TCP: inuse 900 orphan 0 tw 30000 alloc 30000 mem 1\n")
	wantValues(t, byName(t, collect(t, s)), map[string]float64{
		`node_tcp_connection_states{state="established"}`:    sentinel.Absent(),
		`node_scrape_collector_success{collector="tcpstat"}`: 0,
	})
}

func TestTCPStatIsOffUnlessSwitchedOn(t *testing.T) {
	cfg := DefaultConfig()
	if cfg.runs("tcpstat") || !cfg.runs("cpu") {
		t.Error("the default runs tcpstat, or no cpu")
	}
	cfg.Collectors = map[string]bool{"cpu": false}
	if cfg.runs("tcpstat") || cfg.runs("cpu") || !cfg.runs("memory") {
		t.Error("naming one collector switches another")
	}
	cfg.Collectors["tcpstat"] = true
	if !cfg.runs("tcpstat") {
		t.Error("tcpstat cannot be switched on")
	}
}
