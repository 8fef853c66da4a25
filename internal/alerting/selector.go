package alerting

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Bounds of what one selector may hold.
const (
	maxMatchers     = 16
	maxPatternBytes = 1024
)

// Matcher compares one label. A label that is not there is the empty text.
type Matcher struct {
	Label string
	Op    string // =, !=, =~ or !~; patterns match the whole value, as in Prometheus
	Value string

	pattern *regexp.Regexp
}

// Matches reports whether a label's value is what the matcher asks for.
func (m Matcher) Matches(value string) bool {
	switch m.Op {
	case "=":
		return value == m.Value
	case "!=":
		return value != m.Value
	case "=~":
		return m.pattern.MatchString(value)
	}
	return !m.pattern.MatchString(value)
}

// Selector chooses series or agents: a metric's name and matchers of labels, in
// Prometheus' notation, name{label="value",label=~"pattern"}. Every part may be left
// out. The zero Selector chooses everything.
type Selector struct {
	Metric   string // the exact name, or empty
	Matchers []Matcher
}

// ParseSelector reads a selector. Errors are Invalid.
func ParseSelector(text string) (Selector, error) {
	var s Selector
	rest := strings.TrimSpace(text)
	name := rest[:prefix(rest, true)]
	rest = strings.TrimSpace(rest[len(name):])
	s.Metric = name
	if rest == "" {
		return s, nil
	}
	if rest[0] != '{' {
		return s, sentinel.Errorf(sentinel.Invalid, `want a selector such as name{label="value"}, not %.60q`, text)
	}
	rest = rest[1:]
	for {
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "}") {
			if strings.TrimSpace(rest[1:]) != "" {
				return s, sentinel.Errorf(sentinel.Invalid, "%.40q stands after the selector's }", rest[1:])
			}
			return s, nil
		}
		m, after, err := parseMatcher(rest)
		if err != nil {
			return s, err
		}
		if s.Matchers = append(s.Matchers, m); len(s.Matchers) > maxMatchers {
			return s, sentinel.Errorf(sentinel.Invalid, "more than %d matchers in one selector", maxMatchers)
		}
		rest = strings.TrimSpace(after)
		if strings.HasPrefix(rest, ",") {
			rest = rest[1:]
		} else if !strings.HasPrefix(rest, "}") {
			return s, sentinel.Errorf(sentinel.Invalid, "want , or } in the selector, not %.40q", rest)
		}
	}
}

func parseMatcher(text string) (m Matcher, rest string, err error) {
	m.Label = text[:prefix(text, false)]
	if m.Label == "" {
		return m, "", sentinel.Errorf(sentinel.Invalid, `want a matcher such as label="value", not %.40q`, text)
	}
	rest = strings.TrimSpace(text[len(m.Label):])
	for _, op := range [...]string{"=~", "!~", "!=", "="} {
		if strings.HasPrefix(rest, op) {
			m.Op = op
			break
		}
	}
	if m.Op == "" {
		return m, "", sentinel.Errorf(sentinel.Invalid, "want =, !=, =~ or !~ after label %.40q", m.Label)
	}
	rest = strings.TrimSpace(rest[len(m.Op):])
	quoted, err := strconv.QuotedPrefix(rest)
	if err == nil {
		m.Value, err = strconv.Unquote(quoted)
	}
	if err != nil {
		return m, "", sentinel.Errorf(sentinel.Invalid, `the value of label %.40q stands in no "quotes"`, m.Label)
	}
	if m.Op == "=~" || m.Op == "!~" {
		if len(m.Value) > maxPatternBytes {
			return m, "", sentinel.Errorf(sentinel.Invalid, "the pattern of label %.40q is longer than %d bytes", m.Label, maxPatternBytes)
		}
		if m.pattern, err = regexp.Compile("^(?s:" + m.Value + ")$"); err != nil {
			return m, "", sentinel.Errorf(sentinel.Invalid, "the pattern of label %.40q: %w", m.Label, err)
		}
	}
	return m, rest[len(quoted):], nil
}

// prefix returns how many bytes of s are a name; a metric's may hold a colon.
func prefix(s string, colon bool) int {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == ':' && colon, c >= '0' && c <= '9' && i > 0:
		default:
			return i
		}
	}
	return len(s)
}

// UnmarshalText is ParseSelector.
func (s *Selector) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSelector(string(text))
	return err
}

// MarshalText returns the selector as ParseSelector reads it.
func (s Selector) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the selector as ParseSelector reads it.
func (s Selector) String() string {
	if len(s.Matchers) == 0 {
		return s.Metric
	}
	return s.Metric + "{" + s.matchers() + "}"
}

func (s Selector) matchers() string {
	var parts []string
	for _, m := range s.Matchers {
		parts = append(parts, m.Label+m.Op+strconv.Quote(m.Value))
	}
	return strings.Join(parts, ",")
}

// MatchesSeries reports whether the selector chooses a series.
func (s Selector) MatchesSeries(series sentinel.Series) bool {
	if s.Metric != "" && s.Metric != series.Name {
		return false
	}
	for _, m := range s.Matchers {
		if m.Label == "__name__" {
			if !m.Matches(series.Name) {
				return false
			}
		} else if !m.Matches(labelOf(series.Labels, m.Label)) {
			return false
		}
	}
	return true
}

// MatchesAgent reports whether the selector chooses an agent. Beside the agent's own
// labels it knows hostname and agent, the identity.
func (s Selector) MatchesAgent(a Agent) bool {
	for _, m := range s.Matchers {
		value := ""
		switch m.Label {
		case "hostname":
			value = a.Hostname
		case "agent":
			value = string(a.ID)
		default:
			value = labelOf(a.Labels, m.Label)
		}
		if !m.Matches(value) {
			return false
		}
	}
	return true
}

func labelOf(labels []sentinel.Label, name string) string {
	for _, l := range labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}
