package config_test

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/config"
)

// What Dump writes Load reads, whatever stands in the texts.
func FuzzDump(f *testing.F) {
	f.Add("a: b", "x", int64(1), 0.5, true)
	f.Add("#\n\t\"'\\ \u00ad\u2028\x7f", "on", int64(-1), math.SmallestNonzeroFloat64, false)
	f.Add("", "~", int64(math.MinInt64), math.MaxFloat64, false)
	f.Fuzz(func(t *testing.T, name, tag string, n int64, ratio float64, strict bool) {
		if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
			return
		}
		var in, out sample
		in.Agent.Interval, in.Agent.Name = time.Duration(n), string([]rune(name))
		in.Agent.Limit = limit{MaxBytes: n &^ math.MinInt64, Ratio: ratio, Strict: strict}
		in.Agent.Tags = []string{string([]rune(tag)), string([]rune(name))}
		in.Agent.On = map[string]bool{string([]rune(tag)): strict, "x": true}
		in.Agent.Each = map[string]time.Duration{string([]rune(tag)): time.Duration(n), "x": time.Minute}
		var b bytes.Buffer
		if err := config.Dump(&b, in); err != nil {
			t.Fatal(err)
		}
		if err := config.Load(write(t, b.String()), nil, &out); err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		if !reflect.DeepEqual(in, out) {
			t.Errorf("got %+v, want %+v, from\n%s", out, in, b.String())
		}
	})
}

func TestDumpRefusesWhatItCannotWrite(t *testing.T) {
	var bad struct {
		F func() `yaml:"f"`
	}
	if err := config.Dump(new(bytes.Buffer), bad); err == nil || err.Error() != "write configuration: f: a func() has no form in a file" {
		t.Error(err)
	}
}
