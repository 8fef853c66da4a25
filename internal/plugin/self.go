package plugin

import (
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// ownPrefix begins the names of what is said of plugins. No plugin can say such a one.
const ownPrefix = "sentinel_plugin_"

// OwnSeries is how many series are said of a plugin besides its own.
const OwnSeries = 12

// reserved keeps a plugin from saying what is said of it.
type reserved struct{ Sink }

// Define implements Sink.
func (r reserved) Define(key []byte, s sentinel.Series, v float64) {
	if !strings.HasPrefix(s.Name, ownPrefix) {
		r.Sink.Define(key, s, v)
	}
}

// say says of a plugin how it fares.
func (p *Plugin) say(to Sink, n counts, state State) {
	one := func(name string, kind sentinel.Kind, unit string, v float64, labels ...string) {
		key := []byte("\x00" + name) // no record begins so
		if !to.Set(key, v) {
			to.Define(key, sentinel.NewSeries(ownPrefix+name, kind, unit, labels...), v)
		}
	}
	bit := func(is bool) float64 {
		if is {
			return 1
		}
		return 0
	}
	one("info", sentinel.Gauge, "", 1, "version", p.Manifest.Version)
	one("unsigned", sentinel.Gauge, "", bit(p.Signer == ""))
	one("quarantined", sentinel.Gauge, "", bit(state == Quarantined))
	one("runs_total", sentinel.Counter, "", float64(n.runs))
	one("errors_total", sentinel.Counter, "", float64(n.errors))
	one("kills_total", sentinel.Counter, "", float64(n.kills))
	one("starts_total", sentinel.Counter, "", float64(n.starts))
	one("collection_seconds_total", sentinel.Counter, "seconds", n.collectionSeconds)
	one("log_lines_left_out_total", sentinel.Counter, "", float64(n.logsLeft))
	one("emissions_refused_total", sentinel.Counter, "", float64(n.recordsLeft))
	one("memory_bytes", sentinel.Gauge, "bytes", float64(n.memory))
	one("resident_memory_bytes", sentinel.Gauge, "bytes", float64(n.resident))
}
