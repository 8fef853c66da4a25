package alerting

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Bounds of annotations. What comes out is cut at maxAnnotation.
const (
	maxPlaceholders = 64
	maxAnnotation   = 4096
)

// template is an annotation's text in pieces: literal text, or a value and how it is
// written. It has no loops, calls nothing and reads nothing but what it is given, so
// writing it out takes time and space in proportion to its length.
type template []piece

type piece struct {
	text   string // literal, where name is empty
	name   string // value, threshold, …, or labels.NAME
	format string
}

// knownValue reports whether a template may name a value; which values are there
// depends on the rule's kind.
func knownValue(name string) bool {
	switch name {
	case "value", "threshold", "baseline", "deviations", "forecast", "eta":
		return true
	}
	return false
}

// formatOf returns how a format writes a number, or nil.
func formatOf(name string) func(float64) string {
	switch name {
	case "":
		return figure
	case "humanize":
		return humanize
	case "percent":
		return func(v float64) string { return figure(v) + "%" }
	case "ratio":
		return func(v float64) string { return figure(v*100) + "%" }
	case "bytes":
		return bytesText
	case "duration":
		return durationText
	}
	return nil
}

// parseTemplate reads an annotation. {{ NAME }} and {{ NAME | FORMAT }} are replaced;
// a $ before a name is allowed, as in Prometheus. Errors are Invalid.
func parseTemplate(text string) (template, error) {
	if len(text) > maxTextBytes {
		return nil, sentinel.Errorf(sentinel.Invalid, "is longer than %d bytes", maxTextBytes)
	}
	if !clean(text) {
		return nil, sentinel.Errorf(sentinel.Invalid, "holds bytes that are no text")
	}
	var t template
	for {
		before, rest, found := strings.Cut(text, "{{")
		if before != "" {
			t = append(t, piece{text: before})
		}
		if !found {
			return t, nil
		}
		inner, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return nil, sentinel.Errorf(sentinel.Invalid, "{{ without }}")
		}
		p, err := parsePlaceholder(inner)
		if err != nil {
			return nil, err
		}
		if t = append(t, p); len(t) > 2*maxPlaceholders {
			return nil, sentinel.Errorf(sentinel.Invalid, "more than %d placeholders", maxPlaceholders)
		}
		text = after
	}
}

func parsePlaceholder(inner string) (piece, error) {
	name, format, _ := strings.Cut(inner, "|")
	p := piece{name: strings.TrimPrefix(strings.TrimSpace(name), "$"), format: strings.TrimSpace(format)}
	label, isLabel := strings.CutPrefix(p.name, "labels.")
	switch {
	case isLabel && label != "" && prefix(label, false) == len(label):
		if strings.Contains(inner, "|") {
			return p, sentinel.Errorf(sentinel.Invalid, "{{%.40s}}: a label has no format", inner)
		}
	case !knownValue(p.name):
		return p, sentinel.Errorf(sentinel.Invalid, "{{%.40s}}: want value, threshold, baseline, deviations, forecast, eta or labels.NAME", inner)
	case formatOf(p.format) == nil || p.format == "" && strings.Contains(inner, "|"):
		return p, sentinel.Errorf(sentinel.Invalid, "{{%.40s}}: want percent, ratio, bytes, duration or humanize after |", inner)
	}
	return p, nil
}

// write fills the template in. What is not known is a question mark, or nothing for a
// label; control characters in labels become spaces.
func (t template) write(values map[string]float64, labels map[string]string) string {
	var b strings.Builder
	for _, p := range t {
		switch label, isLabel := strings.CutPrefix(p.name, "labels."); {
		case p.name == "":
			b.WriteString(p.text)
		case isLabel:
			b.WriteString(strings.Map(printable, labels[label]))
		default:
			if v, ok := values[p.name]; ok && !math.IsNaN(v) {
				b.WriteString(formatOf(p.format)(v))
			} else {
				b.WriteByte('?')
			}
		}
		if b.Len() > maxAnnotation {
			return strings.ToValidUTF8(b.String()[:maxAnnotation], "") + "…"
		}
	}
	return b.String()
}

func printable(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// figure writes a number with up to four digits that matter.
func figure(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	if size := math.Abs(v); size >= 1000 && size < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

func humanize(v float64) string {
	return scaled(v, 1000, [...]string{"", "k", "M", "G", "T", "P", "E"})
}

func bytesText(v float64) string {
	return scaled(v, 1024, [...]string{" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"})
}

func scaled(v, base float64, units [7]string) string {
	i := 0
	for math.Abs(v) >= base && i < len(units)-1 {
		v /= base
		i++
	}
	return figure(v) + units[i]
}

// durationText writes seconds with the two largest units: 1d2h, 3m4s.
func durationText(v float64) string {
	if math.Abs(v) >= 100*365*86400 {
		return "more than 100 years"
	}
	if math.Abs(v) < 1 {
		return figure(v) + "s"
	}
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	d := time.Duration(v * float64(time.Second)).Round(time.Second)
	units := [...]struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	var parts []string
	for _, u := range units {
		if n := d / u.size; n > 0 && len(parts) < 2 {
			parts = append(parts, strconv.FormatInt(int64(n), 10)+u.name)
			d -= n * u.size
		} else if len(parts) > 0 {
			break
		}
	}
	return sign + strings.Join(parts, "")
}
