package sentinel_test

import (
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestDurationsAreReadWithDays(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute, "-2m": -2 * time.Minute,
		"30d": 30 * day, "1w": 7 * day, "1w2d": 9 * day, "2y": 730 * day, "1d12h": 36 * time.Hour, "12h1d": 36 * time.Hour, "-1d": -day, "1d1w1d": 9 * day,
	} {
		if got, err := sentinel.ParseDuration(text); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "5", "1 d", "1.5d", "1D", "0x1d", "1d2", "soon", "99999999999d", "4000000000y", "300y", "1d\n", "١d"} {
		if got, err := sentinel.ParseDuration(text); sentinel.CodeOf(err) != sentinel.Invalid || got != 0 {
			t.Errorf("%q is %s, %v, want an Invalid error", text, got, err)
		}
	}
}

func TestDurationsAreWrittenShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "90ms": 90 * time.Millisecond, "1m30s": 90 * time.Second, "5m": 5 * time.Minute, "1h1m1s": 3661 * time.Second,
		"24h": 24 * time.Hour, "36h": 36 * time.Hour, "2d": 48 * time.Hour, "730d": 17520 * time.Hour, "-2d": -48 * time.Hour, "49h": 49 * time.Hour,
	} {
		if got := sentinel.FormatDuration(d); got != want {
			t.Errorf("%s is written as %s, want %s", d, got, want)
		}
	}
}

func FuzzDurations(f *testing.F) {
	for _, seed := range []string{"1w2d3h", "-1.5h", "30d", "9223372036854775807ns", "1y1y1y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := sentinel.ParseDuration(text)
		if err != nil {
			return
		}
		if again, err := sentinel.ParseDuration(sentinel.FormatDuration(d)); err != nil || again != d {
			t.Errorf("%q is %s, written as %s, and read again as %s, %v", text, d, sentinel.FormatDuration(d), again, err)
		}
		if goes, err := time.ParseDuration(text); err == nil && goes != d {
			t.Errorf("%q is %s, for Go it is %s", text, d, goes)
		}
	})
}
