package alerting

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Bounds of a test: the samples of one series, and any duration.
const (
	maxTestValues = 100_000
	maxTestSpan   = 400 * 24 * time.Hour
)

// expand reads promtool's notation of a series of values: numbers separated by spaces,
// 0+10x20 (start, step and how many more), 5x3 (5, four times), _ (no sample) and _x5.
// Errors are Invalid.
func expand(text string) ([]float64, error) {
	var out []float64
	for _, word := range strings.Fields(text) {
		body, count, repeated := strings.Cut(word, "x")
		n := 0
		if repeated {
			var err error
			if n, err = strconv.Atoi(count); err != nil || n < 0 || n > maxTestValues {
				return nil, sentinel.Errorf(sentinel.Invalid, "%.40q: want how often after x", word)
			}
		}
		if len(out)+n+1 > maxTestValues {
			return nil, sentinel.Errorf(sentinel.Invalid, "more than %d values", maxTestValues)
		}
		if body == "_" || body == "stale" {
			if repeated {
				n-- // _x5 is five, unlike 1x5
			}
			for range n + 1 {
				out = append(out, sentinel.Absent())
			}
			continue
		}
		start, step, err := startAndStep(body)
		if err != nil {
			return nil, sentinel.Errorf(sentinel.Invalid, "%.40q: want a number, _ or an expansion such as 0+10x20", word)
		}
		for i := range n + 1 {
			out = append(out, start+float64(i)*step)
		}
	}
	return out, nil
}

func startAndStep(body string) (start, step float64, err error) {
	// The sign between start and step is the last + or - that is no exponent's.
	for i := len(body) - 1; i > 0; i-- {
		if (body[i] == '+' || body[i] == '-') && body[i-1] != 'e' && body[i-1] != 'E' {
			if step, err = strconv.ParseFloat(body[i:], 64); err != nil {
				return 0, 0, err
			}
			body = body[:i]
			break
		}
	}
	if start, err = strconv.ParseFloat(body, 64); err != nil {
		return 0, 0, err
	}
	if math.IsNaN(start+step) || math.IsInf(start+step, 0) {
		return 0, 0, strconv.ErrRange
	}
	return start, step, nil
}

// span is a duration in a test, 0 to maxTestSpan.
type span time.Duration

// UnmarshalText reads 90s, 1h30m, 1d or 0. Errors are Invalid.
func (s *span) UnmarshalText(text []byte) error {
	d, err := sentinel.ParseDuration(string(text))
	if err != nil || d < 0 || d > maxTestSpan {
		return sentinel.Errorf(sentinel.Invalid, "want a duration such as 30s, 5m or 1d, up to %s, not %.40q", sentinel.FormatDuration(maxTestSpan), text)
	}
	*s = span(d)
	return nil
}
