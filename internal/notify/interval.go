package notify

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// TimeInterval is a set of times, in Alertmanager's words. A time is in it where it is
// in one range of every list that is not empty.
type TimeInterval struct {
	Times       []TimeRange     `yaml:"times"`
	Weekdays    []WeekdayRange  `yaml:"weekdays"`
	DaysOfMonth []MonthdayRange `yaml:"days_of_month"`
	Months      []MonthRange    `yaml:"months"`
	Years       []YearRange     `yaml:"years"`
	Location    Location        `yaml:"location"`
}

// TimeRange is from a time of day up to and without another, such as 09:00 to 17:30;
// 24:00 is the end of the day.
type TimeRange struct {
	Start string `yaml:"start_time"`
	End   string `yaml:"end_time"`
}

// Range is closed. From alone is a range of one.
type Range struct{ From, To int }

func (r Range) holds(n int) bool { return r.From <= n && n <= r.To }

type (
	// WeekdayRange is a range of days such as monday:friday; it ends in the week
	// that it begins in, and weeks begin on sunday.
	WeekdayRange struct{ Range }
	// MonthdayRange is a range of days of the month, 1 to 31, or -31 to -1 counted
	// from the month's end.
	MonthdayRange struct{ Range }
	// MonthRange is a range of months by name or number, such as may:august.
	MonthRange struct{ Range }
	// YearRange is a range of years such as 2026:2028.
	YearRange struct{ Range }
)

// Location is a place of the IANA time zone database; UTC where it is not set.
type Location struct{ loc *time.Location }

// UnmarshalText reads a name such as Europe/Berlin, UTC or Local.
func (l *Location) UnmarshalText(text []byte) error {
	loc, err := time.LoadLocation(string(text))
	if err != nil || len(text) == 0 {
		return sentinel.Errorf(sentinel.Invalid, "%.60q is no time zone, want a name such as Europe/Berlin", text)
	}
	l.loc = loc
	return nil
}

// UnmarshalText reads a weekday or two with a colon between them.
func (r *WeekdayRange) UnmarshalText(text []byte) (err error) {
	r.Range, err = parseRange(string(text), "a weekday or a range such as monday:friday", func(s string) (int, bool) {
		for d := time.Sunday; d <= time.Saturday; d++ {
			if strings.EqualFold(s, d.String()) {
				return int(d), true
			}
		}
		return 0, false
	})
	if err == nil && r.From > r.To {
		return sentinel.Errorf(sentinel.Invalid, "%s: weeks begin on sunday; write two ranges", text)
	}
	return err
}

// UnmarshalText reads a day of the month or two with a colon between them.
func (r *MonthdayRange) UnmarshalText(text []byte) (err error) {
	r.Range, err = parseRange(string(text), "a day of the month, 1 to 31 or -31 to -1, or a range such as 1:7 or -3:-1", func(s string) (int, bool) {
		n, err := strconv.Atoi(s)
		return n, err == nil && n != 0 && n >= -31 && n <= 31
	})
	if err != nil {
		return err
	}
	from, to := r.From, r.To
	if from < 0 {
		from += 28 // the shortest month: what is wrong there is wrong in all
	}
	if to < 0 {
		to += 28
	}
	if r.From < 0 && r.To > 0 || from > to {
		return sentinel.Errorf(sentinel.Invalid, "%s: ends before it begins", text)
	}
	return nil
}

// UnmarshalText reads a month or two with a colon between them.
func (r *MonthRange) UnmarshalText(text []byte) (err error) {
	r.Range, err = parseRange(string(text), "a month or a range such as may:august or 5:8", func(s string) (int, bool) {
		for m := time.January; m <= time.December; m++ {
			if strings.EqualFold(s, m.String()) {
				return int(m), true
			}
		}
		n, err := strconv.Atoi(s)
		return n, err == nil && n >= 1 && n <= 12
	})
	return ordered(r.Range, text, err)
}

// UnmarshalText reads a year or two with a colon between them.
func (r *YearRange) UnmarshalText(text []byte) (err error) {
	r.Range, err = parseRange(string(text), "a year or a range such as 2026:2028", func(s string) (int, bool) {
		n, err := strconv.Atoi(s)
		return n, err == nil && n >= 0 && n <= 9999
	})
	return ordered(r.Range, text, err)
}

func ordered(r Range, text []byte, err error) error {
	if err == nil && r.From > r.To {
		return sentinel.Errorf(sentinel.Invalid, "%s: ends before it begins", text)
	}
	return err
}

func parseRange(s, want string, member func(string) (int, bool)) (Range, error) {
	from, to, two := strings.Cut(s, ":")
	a, ok := member(from)
	b := a
	if two {
		var known bool
		b, known = member(to)
		ok = ok && known
	}
	if !ok {
		return Range{}, sentinel.Errorf(sentinel.Invalid, "want %s, not %.40q", want, s)
	}
	return Range{a, b}, nil
}

// Validate says what is wrong with the times.
func (r TimeRange) Validate() error {
	start, err := minuteOfDay("start_time", r.Start)
	if err != nil {
		return err
	}
	end, err := minuteOfDay("end_time", r.End)
	if err != nil {
		return err
	}
	if start >= end {
		return sentinel.Errorf(sentinel.Invalid, "end_time: %s is not after %s; a range over midnight is two ranges", r.End, r.Start)
	}
	return nil
}

func minuteOfDay(key, s string) (int, error) {
	var h, m int
	if len(s) == 5 && s[2] == ':' {
		if _, err := fmt.Sscanf(s, "%02d:%02d", &h, &m); err == nil && h >= 0 && m >= 0 && m < 60 && (h < 24 || h == 24 && m == 0) &&
			fmt.Sprintf("%02d:%02d", h, m) == s {
			return h*60 + m, nil
		}
	}
	return 0, sentinel.Errorf(sentinel.Invalid, "%s: want a time of day such as 09:00, not %.20q", key, s)
}

func (r TimeRange) holds(minute int) bool {
	start, err := minuteOfDay("", r.Start)
	end, err2 := minuteOfDay("", r.End)
	return err == nil && err2 == nil && start <= minute && minute < end
}

// Contains reports whether t is in the interval.
func (ti TimeInterval) Contains(t time.Time) bool {
	t = t.UTC()
	if ti.Location.loc != nil {
		t = t.In(ti.Location.loc)
	}
	length := time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return oneOf(ti.Times, func(r TimeRange) bool { return r.holds(t.Hour()*60 + t.Minute()) }) &&
		oneOf(ti.DaysOfMonth, func(r MonthdayRange) bool { return r.in(length).holds(t.Day()) }) &&
		oneOf(ti.Months, func(r MonthRange) bool { return r.holds(int(t.Month())) }) &&
		oneOf(ti.Weekdays, func(r WeekdayRange) bool { return r.holds(int(t.Weekday())) }) &&
		oneOf(ti.Years, func(r YearRange) bool { return r.holds(t.Year()) })
}

// in returns the range in a month of so many days.
func (r MonthdayRange) in(length int) Range {
	out := r.Range
	if out.From < 0 {
		out.From += length + 1
	}
	if out.To < 0 {
		out.To += length + 1
	}
	return out
}

// oneOf reports whether one of the ranges holds, or there is none.
func oneOf[R any](ranges []R, holds func(R) bool) bool {
	for _, r := range ranges {
		if holds(r) {
			return true
		}
	}
	return len(ranges) == 0
}
