package query

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// Labels that every series has.
const (
	agentLabel    = "agent"    // the agent's id; nothing else may set it
	instanceLabel = "instance" // the agent's hostname, unless the series or the agent says otherwise
	jobLabel      = "job"      // defaultJob, likewise
	defaultJob    = "node"     // as the samples of a host are called where node_exporter collects them
)

// fallback returns what a label has where neither the series nor its agent says it.
func fallback(label string) postgres.Default {
	switch label {
	case instanceLabel:
		return postgres.Default{Hostname: true}
	case jobLabel:
		return postgres.Default{Text: defaultJob}
	}
	return postgres.Default{}
}

// labelsOf returns the labels of a series as PromQL sees them: its own, then those
// of its agent that it does not have itself, then the fallbacks.
func labelsOf(b *labels.ScratchBuilder, s postgres.FoundSeries) labels.Labels {
	b.Reset()
	b.Add(model.MetricNameLabel, s.Name)
	b.Add(agentLabel, string(s.Agent.Name))
	instance, job := false, false
	add := func(name, value string) {
		instance, job = instance || name == instanceLabel, job || name == jobLabel
		b.Add(name, value)
	}
	for _, l := range s.Labels {
		if usable(l.Name, l.Value) {
			add(l.Name, l.Value)
		}
	}
	for _, l := range s.Agent.Labels {
		if usable(l.Name, l.Value) && own(s, l.Name) == "" {
			add(l.Name, l.Value)
		}
	}
	if !instance {
		b.Add(instanceLabel, hostname(s.Agent))
	}
	if !job {
		b.Add(jobLabel, defaultJob)
	}
	b.Sort()
	return b.Labels()
}

// usable reports whether a label of a series or an agent is shown: an empty one is
// none, and agent and what begins with two underscores belong to the service.
func usable(name, value string) bool {
	return value != "" && name != agentLabel && !strings.HasPrefix(name, "__")
}

func own(s postgres.FoundSeries, name string) string {
	for _, l := range s.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

func hostname(a *postgres.SeriesAgent) string {
	if a.Hostname == "" {
		return string(a.Name)
	}
	return a.Hostname
}

// pushDown returns the conditions that the database can check. They may let
// through too much: what it finds is matched once more.
func pushDown(matchers []*labels.Matcher) []postgres.SeriesMatch {
	var out []postgres.SeriesMatch
	for _, m := range matchers {
		c := postgres.SeriesMatch{Field: postgres.FieldLabel, Label: m.Name, Default: fallback(m.Name)}
		switch {
		case m.Name == model.MetricNameLabel:
			c = postgres.SeriesMatch{Field: postgres.FieldName}
		case m.Name == agentLabel:
			c = postgres.SeriesMatch{Field: postgres.FieldAgent}
		case strings.HasPrefix(m.Name, "__"):
			continue
		}
		switch m.Type {
		case labels.MatchEqual, labels.MatchNotEqual:
			c.Values, c.Not = []string{m.Value}, m.Type == labels.MatchNotEqual
		case labels.MatchRegexp, labels.MatchNotRegexp:
			c.Not = m.Type == labels.MatchNotRegexp
			switch set, prefix := m.SetMatches(), m.Prefix(); {
			case strings.Contains(m.Value, "(?"): // what these stand for may be in another case
				continue
			case len(set) > 0:
				c.Values = set
			case prefix != "" && !c.Not:
				c.Prefix = prefix
			default:
				continue
			}
		}
		out = append(out, c)
	}
	return out
}

func matches(ls labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}
