// Package notify brings alerts to people: it routes them as Alertmanager does,
// groups them, holds back what is inhibited, silenced or muted, and hands the rest to
// the notifiers, each of which has a folder of its own below this one.
//
// What may be relied upon: every change of an incident that is not held back is
// delivered at least once, and twice only where the process died between sending and
// writing that down, then with the same Key. Changes of one incident reach a channel
// in their order; a resolved never overtakes its firing. A channel that hangs holds
// up itself alone. No broker and no database is in here: what must survive goes
// through a Store, and alerts go out while the Store is down.
package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// State says whether an alert's condition holds.
type State string

const (
	Firing   State = "firing"
	Resolved State = "resolved"
)

// Alert is one incident as it stands. (Fingerprint, StartsAt) names the incident, the
// Fingerprint what it is about: it is a function of the labels alone.
type Alert struct {
	Fingerprint string            `json:"fingerprint"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	State       State             `json:"state"`
	StartsAt    time.Time         `json:"starts_at"`
	EndsAt      time.Time         `json:"ends_at,omitzero"` // zero while it fires
	Runbook     string            `json:"runbook,omitempty"`
	Source      string            `json:"source,omitempty"` // a link to where the alert comes from

	Changed  time.Time `json:"-"` // when it came to stand so, by the service's clock; zero: when it is put
	Position Position  `json:"-"` // of that change
}

// Name returns the label alertname.
func (a Alert) Name() string { return a.Labels["alertname"] }

// Reason says why a notification is sent.
type Reason string

const (
	ReasonFirst        Reason = "first"        // a group that the channel knows nothing of
	ReasonFiring       Reason = "firing"       // further alerts fire
	ReasonResolved     Reason = "resolved"     // some or all alerts have ended
	ReasonRepeat       Reason = "repeat"       // nothing changed for the repeat interval
	ReasonAcknowledged Reason = "acknowledged" // somebody has taken the incident on
	ReasonDigest       Reason = "digest"       // a summary of alerts that are damped
	ReasonTest         Reason = "test"
	ReasonWatchdog     Reason = "watchdog" // the pipeline lives
)

// Notification is one message for one channel. It is never changed once it was made.
type Notification struct {
	// Key is the same for every attempt to deliver this message, across restarts,
	// and of no other message: 32 hexadecimal digits.
	Key         string            `json:"key"`
	Reason      Reason            `json:"reason"`
	Receiver    string            `json:"receiver"`
	GroupKey    string            `json:"group_key"`
	GroupLabels map[string]string `json:"group_labels,omitempty"`
	// Alerts are sorted by their fingerprint, firing ones first.
	Alerts []Alert `json:"alerts"`
	// Truncated counts the alerts that did not fit.
	Truncated   int       `json:"truncated,omitempty"`
	Time        time.Time `json:"time"`
	ExternalURL string    `json:"external_url,omitempty"` // where people find Sentinel; may be empty
	// Note is a line for people: who acknowledged, or how often a damped alert changed.
	Note string `json:"note,omitempty"`
}

// State returns Firing while any alert fires.
func (n *Notification) State() State {
	if slices.ContainsFunc(n.Alerts, func(a Alert) bool { return a.State == Firing }) {
		return Firing
	}
	return Resolved
}

// Count returns how many alerts are in a state.
func (n *Notification) Count(s State) int {
	c := 0
	for _, a := range n.Alerts {
		if a.State == s {
			c++
		}
	}
	return c
}

// CommonLabels returns the labels that all alerts share.
func (n *Notification) CommonLabels() map[string]string {
	return common(n.Alerts, func(a Alert) map[string]string { return a.Labels })
}

// CommonAnnotations returns the annotations that all alerts share.
func (n *Notification) CommonAnnotations() map[string]string {
	return common(n.Alerts, func(a Alert) map[string]string { return a.Annotations })
}

func common(alerts []Alert, of func(Alert) map[string]string) map[string]string {
	shared := map[string]string{}
	for i, a := range alerts {
		if i == 0 {
			for k, v := range of(a) {
				shared[k] = v
			}
			continue
		}
		for k, v := range shared {
			if w, ok := of(a)[k]; !ok || w != v {
				delete(shared, k)
			}
		}
	}
	return shared
}

// IncidentKey names what the notification is about for services that keep incidents
// of their own: it is the same from the first firing to the resolve of a group, 40
// hexadecimal digits.
func (n *Notification) IncidentKey() string {
	sum := sha256.Sum256([]byte(n.GroupKey))
	return hex.EncodeToString(sum[:20])
}

// Notifier delivers messages to one destination.
type Notifier interface {
	// Notify tries once to deliver n, within ctx. An error is worth another try unless
	// it is Permanent. No error may hold a secret. Safe for concurrent use.
	Notify(ctx context.Context, n *Notification) error
}

// Failure is why a delivery did not come about.
type Failure struct {
	Err error
	// Permanent means that the same message will be refused again.
	Permanent bool
	// After is how long the service asked to be left alone.
	After time.Duration
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Permanent marks an error that another try does not mend.
func Permanent(err error) error { return &Failure{Err: err, Permanent: true} }

func failureOf(err error) Failure {
	var f *Failure
	if errors.As(err, &f) {
		return *f
	}
	return Failure{Err: err}
}

const (
	maxLabels     = 64
	maxName       = 256
	maxLabel      = 4 << 10
	maxAnnotation = 16 << 10
	maxKey        = 128
)

// clean returns the alert with valid, bounded texts: nothing downstream needs to care
// what a label may hold.
func (a Alert) clean() Alert {
	a.Fingerprint = Truncate(a.Fingerprint, maxKey)
	a.Labels = cleanMap(a.Labels, maxLabel)
	a.Annotations = cleanMap(a.Annotations, maxAnnotation)
	a.Runbook, a.Source = Truncate(a.Runbook, maxLabel), Truncate(a.Source, maxLabel)
	a.StartsAt, a.EndsAt = a.StartsAt.UTC(), a.EndsAt.UTC()
	if a.State == Firing {
		a.EndsAt = time.Time{}
	}
	return a
}

func cleanMap(m map[string]string, limit int) map[string]string {
	out := make(map[string]string, min(len(m), maxLabels))
	for _, k := range sortedKeys(m) {
		if len(out) == maxLabels {
			break
		}
		if v := m[k]; v != "" { // an empty label is no label
			out[Truncate(k, maxName)] = Truncate(v, limit)
		}
	}
	return out
}

// Truncate returns s as valid UTF-8 without NUL in at most limit bytes; what was cut
// ends in "…". A limit under 3 cuts without the mark.
func Truncate(s string, limit int) string {
	cut := len(s) > limit
	if cut {
		s = s[:limit] // before anything that costs by length
	}
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		if cut { // do not take half a character for a wrong one
			for i := 1; i < utf8.UTFMax && i <= len(s); i++ {
				if utf8.RuneStart(s[len(s)-i]) {
					if !utf8.FullRuneInString(s[len(s)-i:]) {
						s = s[:len(s)-i]
					}
					break
				}
			}
		}
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		cut = cut || len(s) > limit
	}
	if !cut {
		return s
	}
	mark := "…"
	if limit < len(mark) {
		mark = ""
	}
	end := min(limit-len(mark), len(s))
	for end > 0 && end < len(s) && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:max(end, 0)] + mark
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
