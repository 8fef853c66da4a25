package sentinel

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Limits bound what one agent may send. They hold at the agent (which splits or
// refuses at the source), at the gateway and again in the pipeline.
type Limits struct {
	MaxSeries       int           // series in one layout
	MaxLabels       int           // labels on one series
	MaxNameBytes    int           // a metric's or label's name
	MaxValueBytes   int           // a label's value
	MaxLayoutBytes  int           // one encoded layout
	MaxPayloadBytes int           // one batch's payload as sent
	MaxCycles       int           // cycles in one batch
	MaxFuture       time.Duration // how far a sample's time may lie ahead
	MaxAge          time.Duration // how old a sample may be
}

// DefaultLimits returns the limits that hold unless a configuration says
// otherwise: far above what a large host needs, far below what hurts a server.
func DefaultLimits() Limits {
	return Limits{
		MaxSeries:       10_000,
		MaxLabels:       32,
		MaxNameBytes:    256,
		MaxValueBytes:   1024,
		MaxLayoutBytes:  1 << 20,
		MaxPayloadBytes: 512 << 10,
		MaxCycles:       128,
		MaxFuture:       10 * time.Minute,
		MaxAge:          30 * 24 * time.Hour,
	}
}

// CheckLayout returns an Invalid error where a layout breaks a limit or a rule:
// names in Prometheus' alphabet, label values in UTF-8 without NUL, labels
// sorted and unique, no label named "agent" (the service adds it), no series
// twice, no unknown kind.
func (l Limits) CheckLayout(layout Layout) error {
	if len(layout) == 0 || len(layout) > l.MaxSeries {
		return Errorf(Invalid, "layout has %d series, want 1 to %d", len(layout), l.MaxSeries)
	}
	seen := make(map[string]struct{}, len(layout))
	for i, s := range layout {
		if err := l.checkSeries(s); err != nil {
			return Errorf(Invalid, "series %d of the layout: %w", i, err)
		}
		id := s.String()
		if _, twice := seen[id]; twice {
			return Errorf(Invalid, "series %d of the layout: %.120s stands there twice", i, id)
		}
		seen[id] = struct{}{}
	}
	return nil
}

func (l Limits) checkSeries(s Series) error {
	if !validName(s.Name, true) || len(s.Name) > l.MaxNameBytes {
		return Errorf(Invalid, "metric name %.80q is not valid", s.Name)
	}
	if s.Kind != Gauge && s.Kind != Counter {
		return Errorf(Invalid, "kind %d is not known", s.Kind)
	}
	if len(s.Unit) > l.MaxNameBytes || !validText(s.Unit) {
		return Errorf(Invalid, "unit %.80q is not valid", s.Unit)
	}
	if len(s.Labels) > l.MaxLabels {
		return Errorf(Invalid, "%d labels, want at most %d", len(s.Labels), l.MaxLabels)
	}
	for i, lb := range s.Labels {
		switch {
		case !validName(lb.Name, false) || len(lb.Name) > l.MaxNameBytes || strings.HasPrefix(lb.Name, "__"):
			return Errorf(Invalid, "label name %.80q is not valid", lb.Name)
		case lb.Name == "agent":
			return Errorf(Invalid, "label name %q is reserved", lb.Name)
		case len(lb.Value) > l.MaxValueBytes || !validText(lb.Value):
			return Errorf(Invalid, "value of label %q is too long or not clean UTF-8", lb.Name)
		case i > 0 && s.Labels[i-1].Name >= lb.Name:
			return Errorf(Invalid, "labels are not sorted, or %q stands there twice", lb.Name)
		}
	}
	return nil
}

// CheckTime returns an Invalid error where t is too far ahead of now or too old.
func (l Limits) CheckTime(t, now time.Time) error {
	if ahead := t.Sub(now); ahead > l.MaxFuture {
		return Errorf(Invalid, "sample time is %s ahead of the service, at most %s is allowed", ahead.Round(time.Second), l.MaxFuture)
	}
	if age := now.Sub(t); age > l.MaxAge {
		return Errorf(Invalid, "sample is %s old, at most %s is allowed", age.Round(time.Second), l.MaxAge)
	}
	return nil
}

// validName checks Prometheus' classic alphabet: [a-zA-Z_:][a-zA-Z0-9_:]*, the
// colon only in metric names.
func validName(s string, colon bool) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == ':' && colon:
		case c >= '0' && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return true
}

// validText reports whether s is UTF-8 that every store accepts (PostgreSQL
// refuses NUL).
func validText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
