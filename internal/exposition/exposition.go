// Package exposition reads and writes Prometheus' text format, version 0.0.4, and
// reads OpenMetrics 1.0:
// https://prometheus.io/docs/instrumenting/exposition_formats/ and
// https://prometheus.io/docs/specs/om/open_metrics_spec/.
//
// One grammar serves both. It is lenient in what cannot be misunderstood: blanks
// between the parts of a line, a comma after the last label, comments, CR before LF,
// exemplars in either format. Whatever else is not a line of the format is an error
// that names the line.
//
//   - Times of samples are checked and passed over: whoever asks decides what time a
//     sample has.
//   - Names in quotes, which may hold any UTF-8, are brought into the classic alphabet:
//     each character outside it becomes "_", as Prometheus' own escaping to
//     underscores has it.
//   - A sample's kind follows from the last TYPE line, where its name belongs to that
//     family: counters, and the buckets, counts and sums of histograms and summaries,
//     are sentinel.Counter, all else is sentinel.Gauge. Without a type, a name that ends
//     in _total is a counter.
package exposition

import (
	"bytes"
	"unicode/utf8"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// ContentType is what Write's output is served as.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Accept is the Accept header of a client that reads with Parser. The plain format
// comes first: what OpenMetrics adds to it is passed over here.
const Accept = "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"

// Sample is one line with a value. Key, Name and what Labels reads belong to the
// Parser again at its next call.
type Sample struct {
	// Key is the series as the line spells it: the same bytes are the same series.
	Key []byte
	// Name is the metric's name, in the classic alphabet.
	Name  []byte
	Kind  sentinel.Kind
	Unit  string // of the family, from a UNIT line; mostly empty
	Value float64

	labels []byte // between the braces, checked
}

// Labels appends the sample's labels to dst in the line's order, unescaped. Names are
// in the classic alphabet but for those that the line gives twice, which stand twice;
// values may be any bytes.
func (s Sample) Labels(dst []sentinel.Label) []sentinel.Label {
	rest := s.labels
	for {
		var l label
		var ok bool
		if l, rest, ok = cutLabel(rest); !ok || l.name == nil {
			return dst
		}
		if !l.metric {
			dst = append(dst, sentinel.Label{Name: labelName(l), Value: unescape(l.value)})
		}
	}
}

// label is one part of what stands between braces.
type label struct {
	name, value []byte // without quotes, still escaped
	quoted      bool   // the name was
	metric      bool   // it is the metric's name, quoted and alone
}

// cutLabel returns the first label of b and what follows it and its comma. At the end
// the label has no name. It reports false where b is not labels.
func cutLabel(b []byte) (l label, rest []byte, ok bool) {
	b = skipBlanks(b)
	if len(b) == 0 {
		return l, nil, true
	}
	if b[0] == '"' {
		l.quoted = true
		if l.name, b, ok = cutQuoted(b); !ok {
			return l, nil, false
		}
	} else if l.name, b = cutName(b, false); len(l.name) == 0 {
		return l, nil, false
	}
	b = skipBlanks(b)
	if len(b) > 0 && b[0] == '=' {
		if l.value, b, ok = cutQuoted(skipBlanks(b[1:])); !ok {
			return l, nil, false
		}
		b = skipBlanks(b)
	} else if l.metric = l.quoted; !l.metric {
		return l, nil, false
	}
	if len(b) > 0 {
		if b[0] != ',' {
			return l, nil, false
		}
		b = b[1:]
	}
	return l, b, true
}

// cutQuoted returns what stands between the quotes at the start of b.
func cutQuoted(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[1:i], b[i+1:], true
		}
	}
	return nil, nil, false
}

// cutName returns the name in the classic alphabet at the start of b, empty where
// there is none.
func cutName(b []byte, colon bool) (name, rest []byte) {
	i := 0
	for i < len(b) && nameByte(b[i], i > 0, colon) {
		i++
	}
	return b[:i], b[i:]
}

func nameByte(c byte, digit, colon bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= '0' && c <= '9' && digit || c == ':' && colon
}

func labelName(l label) string {
	if l.quoted {
		return string(plainName(l.name, false))
	}
	return string(l.name)
}

// plainName brings a quoted name into the classic alphabet.
func plainName(name []byte, colon bool) []byte {
	var out []byte
	for text := []byte(unescape(name)); len(text) > 0; {
		_, n := utf8.DecodeRune(text)
		c := text[0]
		if n > 1 || !nameByte(c, len(out) > 0, colon) {
			c = '_'
		}
		out, text = append(out, c), text[n:]
	}
	if out == nil {
		return []byte{'_'}
	}
	return out
}

// unescape undoes the format's three escapes. A backslash before anything else is
// itself, as Prometheus reads it.
func unescape(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '\\' && i+1 < len(b) {
			switch b[i+1] {
			case '\\', '"':
				i++
				c = b[i]
			case 'n':
				i++
				c = '\n'
			}
		}
		out = append(out, c)
	}
	return string(out)
}

func skipBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// cutWord returns what stands before the next blank, and what follows that.
func cutWord(b []byte) (word, rest []byte) {
	b = skipBlanks(b)
	if i := bytes.IndexAny(b, " \t"); i >= 0 {
		return b[:i], skipBlanks(b[i:])
	}
	return b, nil
}
