package notify

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Matcher judges one label. A label that is not there counts as empty. Regular
// expressions are RE2 and match whole values.
type Matcher struct {
	Name, Op, Value string // Op is one of = != =~ !~
	re              *regexp.Regexp
}

// NewMatcher returns a matcher, or an Invalid error.
func NewMatcher(name, op, value string) (Matcher, error) {
	m := Matcher{Name: name, Op: op, Value: value}
	switch {
	case !labelName(name):
		return m, sentinel.Errorf(sentinel.Invalid, "%.60q is no label name", name)
	case !utf8.ValidString(value):
		return m, sentinel.Errorf(sentinel.Invalid, "the value for %s is not valid UTF-8", name)
	case len(value) > maxLabel:
		return m, sentinel.Errorf(sentinel.Invalid, "the value for %s has %d bytes, want at most %d", name, len(value), maxLabel)
	case op == "=" || op == "!=":
		return m, nil
	case op != "=~" && op != "!~":
		return m, sentinel.Errorf(sentinel.Invalid, "%.10q is no operator, want =, !=, =~ or !~", op)
	}
	re, err := regexp.Compile("^(?:" + value + ")$")
	if err != nil {
		return m, sentinel.Errorf(sentinel.Invalid, "%s: %w", name, err)
	}
	m.re = re
	return m, nil
}

func labelName(s string) bool {
	for i, r := range s {
		if r != '_' && r != ':' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// Matches reports whether the labels pass.
func (m Matcher) Matches(labels map[string]string) bool {
	v := labels[m.Name]
	switch m.Op {
	case "=":
		return v == m.Value
	case "!=":
		return v != m.Value
	case "=~":
		return m.re.MatchString(v)
	}
	return !m.re.MatchString(v)
}

// String returns the matcher as ParseMatcher reads it.
func (m Matcher) String() string {
	return m.Name + m.Op + `"` + valueEscaper.Replace(m.Value) + `"`
}

var valueEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// MarshalText makes matchers stand as text in JSON.
func (m Matcher) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText has written.
func (m *Matcher) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMatcher(string(text))
	return err
}

// Matchers pass what each of them passes; none pass everything.
type Matchers []Matcher

// Matches reports whether the labels pass all matchers.
func (ms Matchers) Matches(labels map[string]string) bool {
	return !slices.ContainsFunc(ms, func(m Matcher) bool { return !m.Matches(labels) })
}

// String returns the matchers in braces, in their order.
func (ms Matchers) String() string {
	texts := make([]string, len(ms))
	for i, m := range ms {
		texts[i] = m.String()
	}
	return "{" + strings.Join(texts, ",") + "}"
}

var matcherForm = regexp.MustCompile(`^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|=|!=|!~)\s*((?s).*?)\s*$`)

// ParseMatcher reads one matcher in Alertmanager's classic form: a name, an operator
// and a value, which may stand in double quotes with \" \n and \\ escaped.
func ParseMatcher(s string) (Matcher, error) {
	part := matcherForm.FindStringSubmatch(s)
	if part == nil {
		return Matcher{}, sentinel.Errorf(sentinel.Invalid, "%.80q is no matcher, want one such as severity=\"critical\" or host=~\"db.*\"", s)
	}
	value, err := unquote(part[3])
	if err != nil {
		return Matcher{}, err
	}
	return NewMatcher(part[1], part[2], value)
}

func unquote(raw string) (string, error) {
	text, quoted := strings.CutPrefix(raw, `"`)
	open := quoted
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			switch text[i] {
			case 'n':
				b.WriteByte('\n')
			case '"', '\\':
				b.WriteByte(text[i])
			default:
				b.WriteByte('\\')
				b.WriteByte(text[i])
			}
		case c == '"' && open && i == len(text)-1:
			open = false
		case c == '"':
			return "", sentinel.Errorf(sentinel.Invalid, "the value %.60q holds a double quote; write it as \\\"", raw)
		default:
			b.WriteByte(c)
		}
	}
	if open {
		return "", sentinel.Errorf(sentinel.Invalid, "the value %.60q has no closing double quote", raw)
	}
	return b.String(), nil
}

// ParseMatchers reads a list of matchers: separated by commas outside of quotes, with
// or without braces around them, and with or without a comma at the end.
func ParseMatchers(s string) (Matchers, error) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
	ms := Matchers{}
	quoted, escaped, start := false, false, 0
	add := func(token string) error {
		m, err := ParseMatcher(token)
		if err == nil {
			ms = append(ms, m)
		}
		return err
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == ',' && !quoted:
			if err := add(s[start:i]); err != nil {
				return nil, err
			}
			start, escaped = i+1, false
			continue
		case s[i] == '"' && !escaped:
			quoted = !quoted
		}
		escaped = s[i] == '\\' && !escaped
	}
	if strings.TrimSpace(s[start:]) != "" {
		if err := add(s[start:]); err != nil {
			return nil, err
		}
	}
	return ms, nil
}

// parseMatcherList reads the list of a configuration; the error names the element.
func parseMatcherList(key string, texts []string) (Matchers, error) {
	var all Matchers
	for i, text := range texts {
		ms, err := ParseMatchers(text)
		if err != nil {
			return nil, sentinel.Errorf(sentinel.Invalid, "%s[%s]: %w", key, strconv.Itoa(i), err)
		}
		all = append(all, ms...)
	}
	return all, nil
}

// sorted returns the matchers in Alertmanager's order: by name, value and operator.
func (ms Matchers) sorted() Matchers {
	order := map[string]int{"=": 0, "!=": 1, "=~": 2, "!~": 3}
	out := slices.Clone(ms)
	slices.SortStableFunc(out, func(a, b Matcher) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		if c := strings.Compare(a.Value, b.Value); c != 0 {
			return c
		}
		return order[a.Op] - order[b.Op]
	})
	return out
}
