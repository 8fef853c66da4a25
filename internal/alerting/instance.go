package alerting

import (
	"maps"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// instance is one rule for one series of one agent: its window and its incident.
type instance struct {
	Machine
	rule   *Rule
	agent  *agent
	series string // in Prometheus' notation; empty where the rule is about absence
	labels []sentinel.Label
	kept   map[string]string // labels of an imported incident whose series was not seen yet
	window *window

	at      int64 // event time of the last sample
	judged  int64 // event time up to which the owner before has judged
	present int64 // observed time at which a metric was last there, for its absence

	said, was State
	reason    Reason
	told      Machine // as it was when it was last spoken of
	last      result
	raw       float64
	listed    bool
}

// idle reports whether there is no incident.
func (in *instance) idle() bool { return in.said == Inactive && in.State == Inactive }

// enlist keeps the agent's list of active instances.
func (in *instance) enlist() {
	if !in.listed && !in.idle() {
		in.listed = true
		in.agent.active = append(in.agent.active, in)
	}
}

func (in *instance) ofAgent() bool { return in.rule.Kind == Absence && in.rule.ofAgent() }

func key(ruleID, series string) string { return ruleID + "\x00" + series }

// instance returns the agent's instance of a rule for a series, made where there is none.
func (a *agent) instance(r *Rule, series string) *instance {
	k := key(r.ID(), series)
	in := a.instances[k]
	if in == nil {
		in = &instance{rule: r, agent: a, series: series, said: Inactive, Machine: Machine{State: Inactive}}
		if r.Kind != Absence && r.Kind != Expr && (r.Kind != Threshold || r.Function != Last) {
			in.window = &window{}
		}
		a.instances[k] = in
	}
	return in
}

// metric returns the name of the series' metric.
func (in *instance) metric() string {
	if in.series == "" {
		return in.rule.Series.Metric
	}
	name, _, _ := strings.Cut(in.series, "{")
	return name
}

// labelSet returns the incident's labels: the agent's, the series' over them, what the
// service sets, and the rule's over all.
func (in *instance) labelSet() map[string]string {
	if in.kept != nil && in.labels == nil {
		return maps.Clone(in.kept)
	}
	set := make(map[string]string, len(in.agent.Labels)+len(in.labels)+len(in.rule.Labels)+4)
	for _, l := range in.agent.Labels {
		set[l.Name] = l.Value
	}
	for _, l := range in.labels {
		set[l.Name] = l.Value
	}
	if in.rule.Kind != Expr {
		set["agent"] = string(in.agent.ID)
		set["hostname"] = in.agent.Hostname
	}
	set["alertname"] = in.rule.Alert
	set["severity"] = in.rule.Severity
	maps.Copy(set, in.rule.Labels)
	return set
}

// values returns the numbers that explain the incident.
func (in *instance) values() map[string]float64 {
	switch in.rule.Kind {
	case Absence:
		return map[string]float64{"value": in.last.value, "threshold": in.rule.Window.Seconds()}
	case Expr:
		return map[string]float64{"value": in.last.value}
	case Anomaly:
		return map[string]float64{"value": in.raw, "threshold": in.rule.Condition.Bound, "deviations": in.last.value, "baseline": in.last.baseline}
	case Forecast:
		set := map[string]float64{"value": in.raw, "threshold": in.rule.Condition.Bound, "forecast": in.last.value}
		if in.last.eta >= 0 {
			set["eta"] = in.last.eta
		}
		return set
	}
	return map[string]float64{"value": in.last.value, "threshold": in.rule.Condition.Bound}
}

// incident returns the instance's incident, fit for another engine.
func (e *Engine) incident(in *instance) Incident {
	id := in.rule.ID()
	hash := e.hashes[in.rule]
	if hash == "" { // the rule is on its way out
		hash = in.rule.Hash()
	}
	m, lost := in.Machine, in.agent.lost
	if in.ofAgent() {
		lost = e.lost
	}
	if m.State == Pending {
		m.Since += lost
	}
	if m.Quiet != 0 {
		m.Quiet += lost
	}
	judged := time.Time{}
	if !in.ofAgent() {
		judged = at(max(in.at, in.judged))
	}
	return Incident{Version: incidentVersion, Fingerprint: Fingerprint(id, in.agent.ID, in.series), Rule: id, RuleHash: hash,
		Agent: in.agent.ID, Series: in.series, Labels: in.labelSet(), State: in.said, Was: in.was, Reason: in.reason,
		StartsAt: at(in.told.Start), FiredAt: at(in.told.Fired), Value: in.values()["value"], Judged: judged, Machine: m}
}

// collectorsOf names the collectors that a metric may come from: ours, and what
// node_exporter calls them.
func collectorsOf(metric string) []string {
	name, ok := strings.CutPrefix(metric, "node_")
	if !ok {
		return nil
	}
	word, _, _ := strings.Cut(name, "_")
	switch word {
	case "memory":
		return []string{"memory", "meminfo"}
	case "load1", "load5", "load15":
		return []string{"load", "loadavg"}
	case "disk":
		return []string{"disk", "diskstats"}
	case "network":
		if strings.Contains(name, "_receive_") || strings.Contains(name, "_transmit_") && name != "network_transmit_queue_length" {
			return []string{"network", "netdev"}
		}
		return []string{"netclass"}
	case "boot", "context", "forks", "intr", "procs":
		return []string{"stat"}
	case "nf":
		return []string{"conntrack"}
	}
	return []string{word}
}

// whereabouts says why a metric that the agent had is not there while other data of
// the agent is: its collector fails, or it succeeds without it.
func (a *agent) whereabouts(in *instance) Reason {
	metric := in.metric()
	known := false
	for _, name := range collectorsOf(metric) {
		succeeded, there := a.collectors[name]
		if there && !succeeded {
			return CollectorFailed
		}
		known = known || there
	}
	if known {
		return SeriesGone
	}
	for _, other := range a.instances { // other series of the same metric are there
		if other.at == a.mark && other != in && other.metric() == metric && other.rule.Kind != Absence {
			return SeriesGone
		}
	}
	if a.mark-in.at > MaxWindow.Milliseconds() { // nothing will ever tell
		return SeriesGone
	}
	return CollectorFailed
}
