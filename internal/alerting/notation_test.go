package alerting

import (
	"fmt"
	"testing"
	"time"
)

func TestNotation(t *testing.T) {
	for in, want := range map[string]string{
		"": "[]", "1 2 3": "[1 2 3]", "0+10x3": "[0 10 20 30]", "5-1x2": "[5 4 3]", "1x2": "[1 1 1]", "-2-2x1": "[-2 -4]", "-3": "[-3]",
		"_ 1 _x2": "[NaN 1 NaN NaN]", "1e3x1": "[1000 1000]", "1e-3+1e-3x1": "[0.001 0.002]", "0.5 stale": "[0.5 NaN]",
	} {
		if got, err := expand(in); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: got %v, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"x", "1x", "1x-1", "a", "1+x3", "1xx", "1x999999999", "Inf", "NaN", "1+Infx2"} {
		if got, err := expand(in); err == nil {
			t.Errorf("%q: got %d values, want an error", in, len(got))
		}
	}
	for in, want := range map[string]time.Duration{"0": 0, "90s": 90 * time.Second, "1d12h": 36 * time.Hour, "1w": 7 * 24 * time.Hour, "5ms": 5 * time.Millisecond} {
		var s span
		if err := s.UnmarshalText([]byte(in)); err != nil || time.Duration(s) != want {
			t.Errorf("%q: got %v, %v", in, time.Duration(s), err)
		}
	}
	for _, in := range []string{"", "1", "m", "2y", "401d", "999999999w", "9999999999s", "1m ", "-1m"} {
		if err := new(span).UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q: want an error", in)
		}
	}
}
