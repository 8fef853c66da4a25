package sentinel

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// longUnits are the hours of the units that Go's durations lack; they are Prometheus'.
var longUnits = map[byte]uint64{'d': 24, 'w': 7 * 24, 'y': 365 * 24}

var longPart = regexp.MustCompile(`[0-9.]+[dwy]`)

// ParseDuration reads a duration as people write it everywhere in Sentinel: as Go does,
// such as 500ms or 1h30m, or also with whole days, weeks and years, such as 30d or
// 1w12h. A day is 24 hours, a year 365 days. Errors are Invalid.
func ParseDuration(text string) (time.Duration, error) {
	inHours := longPart.ReplaceAllStringFunc(text, func(part string) string {
		end := len(part) - 1
		n, err := strconv.ParseUint(part[:end], 10, 32)
		if err != nil {
			return part // no whole number, or too large for any duration
		}
		return strconv.FormatUint(n*longUnits[part[end]], 10) + "h"
	})
	d, err := time.ParseDuration(inHours)
	if err != nil {
		return 0, Errorf(Invalid, "want a duration such as 30s, 5m or 30d, not %.40q", text)
	}
	return d, nil
}

// FormatDuration writes a duration as short as ParseDuration reads it: two days or more
// as days where they are whole, and no units of which there are none.
func FormatDuration(d time.Duration) string {
	if d%day == 0 && d.Abs() >= 2*day {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
