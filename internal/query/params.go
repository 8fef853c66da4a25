package query

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	maxForm     = 256 << 10 // bytes of a form
	maxMatchers = 100       // match[] in one request
)

// paramError is an Invalid error about one parameter.
type paramError struct {
	name string
	err  error
}

func (e *paramError) Error() string { return `invalid parameter "` + e.name + `": ` + e.err.Error() }
func (e *paramError) Unwrap() error { return e.err }

// wrong says of which parameter an error is; nil stays nil.
func wrong(name string, err error) error {
	if err == nil || sentinel.CodeOf(err) != sentinel.Invalid {
		return err
	}
	return &paramError{name, err}
}

func invalid(name, format string, args ...any) error {
	return wrong(name, sentinel.Errorf(sentinel.Invalid, format, args...))
}

// params are a request's, from its address and its form.
type params struct {
	url.Values
	label string // of the path
}

func readParams(r *http.Request) (params, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return params{}, invalid("form", "is larger than %d bytes", large.Limit)
		}
		return params{}, invalid("form", "%w", err)
	}
	p := params{r.Form, r.PathValue("name")}
	for name, values := range p.Values {
		for _, v := range values {
			if !utf8.ValidString(v) {
				return params{}, invalid(name, "want UTF-8")
			}
		}
	}
	return p, nil
}

// The times that are understood: what the database and the engine can count with.
const (
	firstTime = -62135596800 // of the year 1, in seconds
	lastTime  = 253402300799 // of the year 9999
)

func (p params) needTime(name string) (time.Time, error) {
	if p.Get(name) == "" {
		return time.Time{}, invalid(name, "is missing")
	}
	return p.time(name, time.Time{})
}

// time reads seconds since 1970 or RFC 3339.
func (p params) time(name string, missing time.Time) (time.Time, error) {
	s := p.Get(name)
	if s == "" {
		return missing, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if !(f >= firstTime && f <= lastTime) { // NaN is neither
			return time.Time{}, invalid(name, "%.40s is out of range", s)
		}
		whole, part := math.Modf(f)
		return time.Unix(int64(whole), int64(math.Round(part*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil && t.Unix() >= firstTime && t.Unix() <= lastTime {
		return t, nil
	}
	return time.Time{}, invalid(name, "want seconds since 1970 or RFC 3339, not %.40q", s)
}

// duration reads seconds, or a duration as PromQL writes it; one that stands there
// is positive.
func (p params) duration(name string, missing time.Duration) (time.Duration, error) {
	s := p.Get(name)
	if s == "" {
		return missing, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if d := f * float64(time.Second); d >= float64(time.Millisecond) && d <= math.MaxInt64/2 {
			return time.Duration(d).Round(time.Millisecond), nil
		}
		return 0, invalid(name, "%.40s is out of range: want 1ms or more", s)
	}
	d, err := model.ParseDuration(s)
	if err != nil || d < model.Duration(time.Millisecond) {
		return 0, invalid(name, "want seconds or a duration such as 5m, of 1ms or more, not %.40q", s)
	}
	return time.Duration(d), nil
}

// limit reads how many results are wanted at most; 0 is all of them.
func (p params) limit() (int, error) {
	s := p.Get("limit")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, invalid("limit", "want a number of 0 or more, not %.40q", s)
	}
	return n, nil
}

func (p params) matchers(e *Engine, need bool) ([][]*labels.Matcher, error) {
	selectors := p.Values["match[]"]
	switch {
	case need && len(selectors) == 0:
		return nil, invalid("match[]", "is missing")
	case len(selectors) > maxMatchers:
		return nil, invalid("match[]", "stands there %d times, at most %d are read", len(selectors), maxMatchers)
	}
	var sets [][]*labels.Matcher
	for _, s := range selectors {
		m, err := e.selector(s)
		if err != nil {
			return nil, wrong("match[]", err)
		}
		sets = append(sets, m)
	}
	return sets, nil
}

func checkRange(from, to time.Time, step time.Duration) error {
	switch {
	case step == 0:
		return invalid("step", "is missing")
	case to.Before(from):
		return invalid("end", "is before start")
	case to.Sub(from)/step >= maxPoints:
		return invalid("step", "more than %d points for each series: ask with a larger step or for less time", maxPoints)
	}
	return nil
}
