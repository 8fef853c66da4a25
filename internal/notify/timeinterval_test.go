package notify_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
	"gopkg.in/yaml.v2"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/notify"
)

// TestTimeIntervalsAsAlertmanager compares thousands of times in random intervals, and
// what both refuse.
func TestTimeIntervalsAsAlertmanager(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	agreed, refusedBoth, inside := 0, 0, 0
	for range 1500 {
		text := ""
		if r.IntN(2) == 0 {
			text += fmt.Sprintf("times: [{start_time: '%s', end_time: '%s'}]\n", pick("00:00", "09:00", "12:30", "24:00", "9:00", "25:00", "23:59"), pick("24:00", "17:00", "12:31", "08:60", "00:00"))
		}
		if r.IntN(2) == 0 {
			text += fmt.Sprintf("weekdays: ['%s', '%s']\n", pick("monday:friday", "sunday", "Saturday", "friday:monday", "mon", "0"), pick("tuesday", "sunday:saturday", "wednesday:thursday"))
		}
		zones := []string{"Europe/Berlin", "America/St_Johns", "UTC", "Australia/Lord_Howe", "Nowhere/Land"}
		if r.IntN(2) == 0 {
			// Alertmanager takes a month in which the clocks go forward for a day too short.
			zones = []string{"Asia/Tokyo", "Asia/Kolkata", "UTC"}
			text += fmt.Sprintf("days_of_month: ['%s']\n", pick("1", "1:15", "-1", "-7:-1", "25:-1", "31", "30:31", "-31:-20", "0", "32", "-1:1", "5:3", "29:-1", "-3:-5"))
		}
		if r.IntN(2) == 0 {
			text += fmt.Sprintf("months: ['%s']\n", pick("january", "may:august", "2", "11:12", "12:1", "february:April", "foo"))
		}
		if r.IntN(3) == 0 {
			text += fmt.Sprintf("years: ['%s']\n", pick("2026", "2024:2027", "2027:2024", "x"))
		}
		if r.IntN(2) == 0 {
			text += "location: " + pick(zones...) + "\n"
		}
		var ours struct {
			Interval notify.TimeInterval `yaml:"interval"`
		}
		var theirs timeinterval.TimeInterval
		err := config.Decode("t", []byte("interval:\n  "+strings.ReplaceAll(strings.TrimSpace(text+"years: []"), "\n", "\n  ")), &ours)
		if strings.Contains(text, "years") {
			err = config.Decode("t", []byte("interval:\n  "+strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")), &ours)
		}
		amErr := yaml.UnmarshalStrict([]byte(text), &theirs)
		if (err == nil) != (amErr == nil) {
			t.Fatalf("%s\nerror %v, Alertmanager's %v", text, err, amErr)
		}
		if err != nil {
			refusedBoth++
			continue
		}
		for range 200 {
			at := time.Date(2024+r.IntN(4), time.Month(1+r.IntN(12)), 1+r.IntN(31), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
			if g, w := ours.Interval.Contains(at), theirs.ContainsTime(at); g != w {
				t.Fatalf("%s\n%s is in: %v, Alertmanager: %v", text, at, g, w)
			} else if g {
				inside++
			}
			agreed++
		}
	}
	if agreed < 50_000 || refusedBoth < 100 || inside < 1000 {
		t.Errorf("agreed on %d times, %d of them inside, and on %d mistakes", agreed, inside, refusedBoth)
	}
}
