package exposition

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Limits bound what a Parser takes. Its memory is that of one line, whatever comes.
type Limits struct {
	Bytes int64 // all together
	Line  int   // bytes of one line
}

// DefaultLimits returns limits that hold what the largest exporters say.
func DefaultLimits() Limits { return Limits{Bytes: 8 << 20, Line: 64 << 10} }

// Parser reads samples from a stream. It is for one goroutine.
type Parser struct {
	in   *bufio.Reader
	left *budget
	lim  Limits
	line int
	long []byte // of a line that is larger than in's buffer
	err  error

	open bool // the format ends with EOF
	over bool // EOF was read

	family family
}

// family is what the last TYPE and UNIT lines said.
type family struct {
	name  []byte
	of    kind
	unit  string
	whose []byte // the family of unit
}

// kind is a type of the format.
type kind uint8

const (
	untyped kind = iota
	gauge
	counter
	histogram
	summary
	gaugeHistogram
	info
	stateSet
)

// NewParser reads from r. Where openMetrics is set, that format is promised: it must
// end with a line "# EOF", so that what was cut off is not taken for all.
func NewParser(r io.Reader, openMetrics bool, lim Limits) *Parser {
	left := &budget{in: r, left: lim.Bytes, most: lim.Bytes}
	return &Parser{in: bufio.NewReaderSize(left, 4<<10), left: left, lim: lim, open: openMetrics}
}

// Next returns the next sample. The error is io.EOF at the end, and else Invalid with
// the line's number, or the reader's. After an error it stays.
func (p *Parser) Next() (s Sample, err error) {
	for p.err == nil {
		var line []byte
		if line, p.err = p.readLine(); p.err != nil {
			break
		}
		line = skipBlanks(bytes.TrimRight(line, " \t\r\n"))
		switch {
		case len(line) == 0:
			continue
		case p.over:
			p.err = p.wrong("there is more after # EOF")
		case line[0] == '#':
			p.comment(line)
		default:
			s, why := p.sample(line)
			if why == "" {
				return s, nil
			}
			p.err = p.wrong(why)
		}
	}
	return s, p.err
}

// readLine returns the next line with its end, where it has one.
func (p *Parser) readLine() ([]byte, error) {
	p.line++
	p.long = p.long[:0]
	for {
		part, err := p.in.ReadSlice('\n')
		if len(p.long)+len(part) > p.lim.Line {
			return nil, p.wrong(fmt.Sprintf("is longer than %d bytes", p.lim.Line))
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			p.long = append(p.long, part...)
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		}
		if len(p.long) > 0 {
			p.long = append(p.long, part...)
			part = p.long
		}
		if err != nil {
			return nil, p.end(part)
		}
		return part, nil
	}
}

// end judges what stands behind the last LF: nothing, or OpenMetrics' last line. A
// value without an end may be a part of itself.
func (p *Parser) end(rest []byte) error {
	rest = bytes.TrimRight(rest, " \t\r")
	switch {
	case p.open && !p.over && string(rest) != "# EOF":
		return p.wrong("the end comes before # EOF")
	case len(rest) > 0 && (!p.open || p.over):
		return p.wrong("has no end: the text was cut off")
	}
	return io.EOF
}

func (p *Parser) wrong(why string) error {
	return sentinel.Errorf(sentinel.Invalid, "line %d: %s", p.line, why)
}

// comment takes a line that begins with '#'.
func (p *Parser) comment(line []byte) {
	word, rest := cutWord(line[1:])
	switch string(word) {
	case "EOF":
		p.over = p.open
	case "TYPE":
		name, rest, ok := familyName(rest)
		if !ok {
			p.err = p.wrong("TYPE without a name")
			return
		}
		of, known := kindOf(rest)
		if !known {
			p.err = p.wrong(fmt.Sprintf("type %.40q is not known", rest))
			return
		}
		p.family.name, p.family.of = append(p.family.name[:0], name...), of
	case "UNIT":
		if name, rest, ok := familyName(rest); ok {
			p.family.whose, p.family.unit = append(p.family.whose[:0], name...), string(rest)
		}
	}
}

// familyName returns the name at the start of b, which may stand in quotes.
func familyName(b []byte) (name, rest []byte, ok bool) {
	if len(b) > 0 && b[0] == '"' {
		name, rest, ok = cutQuoted(b)
		return plainName(name, true), skipBlanks(rest), ok
	}
	name, rest = cutName(b, true)
	return name, skipBlanks(rest), len(name) > 0
}

func kindOf(b []byte) (of kind, known bool) {
	switch string(b) {
	case "counter":
		return counter, true
	case "gauge":
		return gauge, true
	case "histogram":
		return histogram, true
	case "summary":
		return summary, true
	case "untyped", "unknown":
		return untyped, true
	case "gaugehistogram":
		return gaugeHistogram, true
	case "info":
		return info, true
	case "stateset":
		return stateSet, true
	}
	return untyped, false
}

// sample takes a line with a value, or says why it is none.
func (p *Parser) sample(line []byte) (s Sample, why string) {
	name, rest := cutName(line, true)
	s.Name = name
	after := skipBlanks(rest)
	s.Key = name
	if len(after) > 0 && after[0] == '{' {
		end := closing(after)
		if end < 0 {
			return s, "the labels have no end"
		}
		s.labels, rest = after[1:end], after[end+1:]
		s.Key = line[:len(line)-len(rest)]
		if why = p.checkLabels(&s); why != "" {
			return s, why
		}
	} else if len(rest) == len(after) {
		return s, fmt.Sprintf("%.40q is not a sample", line)
	}
	if len(s.Name) == 0 {
		return s, fmt.Sprintf("%.40q has no name", line)
	}
	word, rest := cutWord(rest)
	var ok bool
	if s.Value, ok = parseValue(word); !ok {
		return s, fmt.Sprintf("%.40q is not a value", word)
	}
	if len(rest) > 0 && rest[0] != '#' {
		word, rest = cutWord(rest)
		if _, ok := parseValue(word); !ok {
			return s, fmt.Sprintf("%.40q is not a time", word)
		}
	}
	if len(rest) > 0 && !exemplar(rest) {
		return s, fmt.Sprintf("%.40q stands after the value", rest)
	}
	s.Kind, s.Unit = p.kindOf(s.Name)
	return s, ""
}

// checkLabels checks what stands between the braces and takes a metric's name that
// is there.
func (p *Parser) checkLabels(s *Sample) (why string) {
	for rest := s.labels; ; {
		var l label
		var ok bool
		switch l, rest, ok = cutLabel(rest); {
		case !ok:
			return fmt.Sprintf("the labels %.80q are not labels", s.labels)
		case l.name == nil:
			return ""
		case l.metric && len(s.Name) > 0:
			return "there are two names"
		case l.metric:
			s.Name = plainName(l.name, true)
		}
	}
}

// closing returns where the brace that b begins with is closed, quotes heeded, or -1.
func closing(b []byte) int {
	quoted := false
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '}' && !quoted:
			return i
		}
	}
	return -1
}

// exemplar reports whether b, which follows a value, is one: # {labels} value time.
func exemplar(b []byte) bool {
	b = skipBlanks(b[1:])
	if len(b) == 0 || b[0] != '{' {
		return false
	}
	end := closing(b)
	if end < 0 {
		return false
	}
	word, rest := cutWord(b[end+1:])
	_, ok := parseValue(word)
	if len(rest) > 0 && ok {
		_, ok = parseValue(rest)
	}
	return ok
}

// parseValue reads what the format calls a float: decimal, NaN, Inf with or without
// sign. Go's hexadecimals and underscores are not in it.
func parseValue(b []byte) (float64, bool) {
	if len(b) == 0 || len(b) > 400 || bytes.ContainsAny(b, "xXpP_") {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(b), 64)
	return v, err == nil
}

// kindOf returns how a sample of that name counts, and in what unit.
func (p *Parser) kindOf(name []byte) (sentinel.Kind, string) {
	suffix, mine := bytes.CutPrefix(name, p.family.name)
	if !mine || len(p.family.name) == 0 {
		return loose(name), ""
	}
	unit := ""
	if bytes.Equal(p.family.whose, p.family.name) && string(suffix) != "_count" && string(suffix) != "_bucket" {
		unit = p.family.unit
	}
	of, tail := p.family.of, string(suffix)
	switch {
	case of == counter && (tail == "" || tail == "_total"),
		of == histogram && (tail == "_bucket" || tail == "_count" || tail == "_sum"),
		of == summary && (tail == "_count" || tail == "_sum"):
		return sentinel.Counter, unit
	case of == untyped && tail == "":
		return loose(name), unit
	case tail == "", tail == "_created", of == gaugeHistogram, of == info:
		return sentinel.Gauge, unit
	}
	return loose(name), "" // another family, whose name begins alike
}

// loose returns the kind of a sample without a type.
func loose(name []byte) sentinel.Kind {
	if bytes.HasSuffix(name, []byte("_total")) {
		return sentinel.Counter
	}
	return sentinel.Gauge
}

// budget passes most bytes on and then fails, unlike io.LimitedReader, which ends as
// if that were all.
type budget struct {
	in         io.Reader
	left, most int64
}

func (r *budget) Read(b []byte) (int, error) {
	if int64(len(b)) > r.left+1 {
		b = b[:r.left+1]
	}
	n, err := r.in.Read(b)
	if int64(n) > r.left {
		return 0, sentinel.Errorf(sentinel.Invalid, "there are more than %d bytes", r.most)
	}
	r.left -= int64(n)
	return n, err
}
