package alerting

import (
	"math"
	"strconv"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Condition compares a value with a bound. The zero Condition is not set.
type Condition struct {
	Op    Op
	Bound float64
}

// Op is how a Condition compares.
type Op uint8

// What conditions can ask. Outside and Inside look at the value without its sign.
const (
	NoOp Op = iota
	Above
	AtLeast
	Below
	AtMost
	Equal
	NotEqual
	Outside
	Inside
)

var opWords = [...]string{"", "above", "at least", "below", "at most", "equal to", "not", "outside", "inside"}
var opSigns = [...]string{"", ">", ">=", "<", "<=", "==", "!=", "", ""}

// Holds reports whether v fulfils the condition.
func (c Condition) Holds(v float64) bool {
	switch c.Op {
	case Above:
		return v > c.Bound
	case AtLeast:
		return v >= c.Bound
	case Below:
		return v < c.Bound
	case AtMost:
		return v <= c.Bound
	case Equal:
		return v == c.Bound
	case NotEqual:
		return v != c.Bound
	case Outside:
		return math.Abs(v) > c.Bound
	case Inside:
		return math.Abs(v) < c.Bound
	}
	return false
}

// upward reports whether a larger value only makes the condition hold more.
func (c Condition) upward() bool { return c.Op == Above || c.Op == AtLeast }

// downward reports whether a smaller value only makes the condition hold more.
func (c Condition) downward() bool { return c.Op == Below || c.Op == AtMost }

// String returns the condition in words, "above 90".
func (c Condition) String() string {
	if c.Op == NoOp {
		return ""
	}
	return opWords[c.Op] + " " + strconv.FormatFloat(c.Bound, 'g', -1, 64)
}

// MarshalText returns the condition in words.
func (c Condition) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads "above 90" or "> 90". Errors are Invalid.
func (c *Condition) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "" {
		*c = Condition{}
		return nil
	}
	for op := Inside; op > NoOp; op-- {
		for _, word := range [...]string{opWords[op], opSigns[op]} {
			rest, ok := strings.CutPrefix(s, word)
			if word == "" || !ok {
				continue
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil || v-v != 0 {
				continue
			}
			*c = Condition{op, v}
			return nil
		}
	}
	return sentinel.Errorf(sentinel.Invalid, `want a condition such as "above 90", "at most 0.1", "equal to 0" or "> 90", not %.60q`, s)
}
