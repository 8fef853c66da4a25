// Package notifytest holds what tests of notifications need: a store in memory, a
// notifier that takes notes, and messages to send.
package notifytest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Store is a notify.Store in memory. The zero value is empty.
type Store struct {
	mu      sync.Mutex
	entries map[string]notify.Entry
	last    uint64
	// Fault, if set, is asked before every operation; its error is returned.
	Fault func(op, key string) error
	// Lost, if set, says which writes happen and are answered with an error.
	Lost func(key string) bool
}

// All implements notify.Store.
func (s *Store) All(_ context.Context, prefix string) ([]notify.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Fault != nil {
		if err := s.Fault("all", prefix); err != nil {
			return nil, err
		}
	}
	var out []notify.Entry
	for k, e := range s.entries {
		if strings.HasPrefix(k, prefix) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b notify.Entry) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// Put implements notify.Store.
func (s *Store) Put(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Fault != nil {
		if err := s.Fault("put", key); err != nil {
			return 0, err
		}
	}
	if s.entries[key].Revision != revision {
		return 0, sentinel.Errorf(sentinel.Conflict, "revision is %d", s.entries[key].Revision)
	}
	if s.entries == nil {
		s.entries = map[string]notify.Entry{}
	}
	s.last++
	s.entries[key] = notify.Entry{Key: key, Value: slices.Clone(value), Revision: s.last}
	if s.Lost != nil && s.Lost(key) {
		return 0, sentinel.Errorf(sentinel.Unavailable, "no answer")
	}
	return s.last, nil
}

// Delete implements notify.Store.
func (s *Store) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Fault != nil {
		if err := s.Fault("delete", key); err != nil {
			return err
		}
	}
	delete(s.entries, key)
	return nil
}

// Message returns a message about alerts with the given labels (name, value, …) of the
// first of them; see notify.TestMessage for one without alerts.
func Message(alerts ...notify.Alert) *notify.Notification {
	n := &notify.Notification{Key: "0123456789abcdef0123456789abcdef", Reason: notify.ReasonFirst, Receiver: "ops",
		GroupKey: `{}:{alertname="DiskFull"}`, GroupLabels: map[string]string{"alertname": "DiskFull"}, Alerts: alerts,
		Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), ExternalURL: "https://sentinel.example.org"}
	return n
}

// Alert returns an alert that fires on a host since 11:58.
func Alert(host string) notify.Alert {
	return notify.Alert{Fingerprint: "fp-" + host, State: notify.Firing, StartsAt: time.Date(2026, 11, 24, 11, 58, 0, 0, time.UTC),
		Labels:      map[string]string{"alertname": "DiskFull", "instance": host, "severity": "critical"},
		Annotations: map[string]string{"summary": "The disk of " + host + " is 97 % full", "description": "/var fills up by 1 GB an hour."},
		Runbook:     "https://runbooks.example.org/disk", Source: "https://sentinel.example.org/rules/disk"}
}

// Ended returns the alert as it stands after its end at 11:59.
func Ended(a notify.Alert) notify.Alert {
	a.State, a.EndsAt = notify.Resolved, time.Date(2026, 11, 24, 11, 59, 0, 0, time.UTC)
	return a
}

// Hostile returns an alert whose texts hold what breaks markup, headers and formats.
func Hostile() notify.Alert {
	a := Alert("db1")
	a.Labels["instance"] = "db1\r\nBcc: eve@example.org\r\n\r\n<script>alert(1)</script>"
	a.Labels["quote"] = `"}],"x":"y` + "\x00\x1b[31m"
	a.Annotations["summary"] = "{{ $labels.instance }} {{ range . }} ${jndi:ldap://x} <!channel> @everyone *_`~|[x](javascript:1) <b>&lt; \r\nSubject: x"
	a.Annotations["description"] = "\u202e\u2028 %s %d %n \\u0000 \\"
	return a
}
