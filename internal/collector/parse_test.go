package collector

import (
	"bytes"
	"math"
	"strconv"
	"testing"
)

func TestParseNumbers(t *testing.T) {
	for in, want := range map[string]uint64{"0": 0, "007": 7, "18446744073709551615": math.MaxUint64} {
		if v, ok := parseUint([]byte(in)); !ok || v != want {
			t.Errorf("parseUint(%q) = %d, %v", in, v, ok)
		}
	}
	for _, in := range []string{"", "-1", "+1", "1 ", "0x1", "1.0", "18446744073709551616", "99999999999999999999", "1\x00"} {
		if v, ok := parseUint([]byte(in)); ok {
			t.Errorf("parseUint(%q) = %d, want no value", in, v)
		}
	}
	for in, want := range map[string]float64{"0.08": 0.08, "12.34": 12.34, "-1.5": -1.5, "7": 7, "0.000000001": 1e-9} {
		if v, ok := parseDecimal([]byte(in)); !ok || v != want {
			t.Errorf("parseDecimal(%q) = %v, %v", in, v, ok)
		}
	}
	for _, in := range []string{"", ".", "1.", ".5", "1.0000000001", "1e5", "1..2", "--1"} {
		if v, ok := parseDecimal([]byte(in)); ok {
			t.Errorf("parseDecimal(%q) = %v, want no value", in, v)
		}
	}
}

func FuzzParseNumbers(f *testing.F) {
	for _, s := range []string{"0", "-1", "18446744073709551615", "9223372036854775808", "12.34", "a", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, ok := parseUint(b); ok {
			if want, err := strconv.ParseUint(string(b), 10, 64); err != nil || want != v {
				t.Errorf("parseUint(%q) = %d, strconv: %d, %v", b, v, want, err)
			}
		}
		if v, ok := parseInt(b); ok {
			if want, err := strconv.ParseInt(string(b), 10, 64); err != nil || want != v {
				t.Errorf("parseInt(%q) = %d, strconv: %d, %v", b, v, want, err)
			}
		}
		if v, ok := parseDecimal(b); ok {
			if want, err := strconv.ParseFloat(string(b), 64); err != nil || want != v {
				t.Errorf("parseDecimal(%q) = %v, strconv: %v, %v", b, v, want, err)
			}
		}
		line, rest := cutLine(b)
		if len(line)+len(rest) > len(b) || bytes.IndexByte(line, '\n') >= 0 {
			t.Errorf("cutLine(%q) = %q, %q", b, line, rest)
		}
	})
}
