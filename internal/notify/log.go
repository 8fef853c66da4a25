package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// told is what a channel knows of a group.
type told struct {
	// Firing holds the alerts that the channel was last told to be firing and when it
	// was first told so, in Unix seconds. Alerts are named by a hash.
	Firing   map[string]int64 `json:"firing,omitempty"`
	Resolved []string         `json:"resolved,omitempty"`
	// Acked means that the channel knows that all of Firing is acknowledged.
	Acked bool `json:"acked,omitempty"`
	// Upto is the position up to which the channel knows of all changes that it was to know.
	Upto Position `json:"upto,omitzero"`
}

// record is what the notification log keeps of one channel and one group.
type record struct {
	Channel string `json:"channel"`
	Group   string `json:"group"`
	told
	// Seq counts the messages, delivered or given up. It is a part of their keys.
	Seq uint64 `json:"seq"`
	// At is when the last message was delivered.
	At time.Time `json:"at,omitzero"`
	// Failed is the content that was given up last; it waits for the repeat interval.
	Failed   string    `json:"failed,omitempty"`
	FailedAt time.Time `json:"failed_at,omitzero"`
	// Pending is written before a message is sent and removed with its outcome: after
	// a crash it is sent again, the same to the byte.
	Pending *pending `json:"pending,omitempty"`
}

type pending struct {
	Notification *Notification `json:"notification"`
	Told         told          `json:"told"` // once it is delivered
}

// standing is how the alerts of a group stand for one channel.
type standing struct {
	alerts           []Alert
	firing, resolved []string // hashes
	acked            bool     // there are firing alerts and all are acknowledged
}

// hashed is a name for an alert of a fixed, small size.
func hashed(fingerprint string) string {
	sum := sha256.Sum256([]byte(fingerprint))
	return hex.EncodeToString(sum[:8])
}

func standingOf(alerts []Alert, acked func(Alert) bool) standing {
	s := standing{alerts: alerts, acked: true}
	for _, a := range alerts {
		if a.State == Firing {
			s.firing = append(s.firing, hashed(a.Fingerprint))
			s.acked = s.acked && acked(a)
		} else {
			s.resolved = append(s.resolved, hashed(a.Fingerprint))
		}
	}
	s.acked = s.acked && len(s.firing) > 0
	slices.Sort(s.firing)
	slices.Sort(s.resolved)
	return s
}

func (s standing) digest() string {
	return hashed(strings.Join(s.firing, ",") + "/" + strings.Join(s.resolved, ","))
}

// after returns what a channel has been told once it got the standing.
func (r *record) after(s standing, upto Position, now time.Time) told {
	t := told{Firing: make(map[string]int64, len(s.firing)), Resolved: s.resolved, Acked: s.acked, Upto: upto}
	for _, fp := range s.firing {
		t.Firing[fp] = now.Unix()
		if since, ok := r.Firing[fp]; ok {
			t.Firing[fp] = since
		}
	}
	return t
}

// needs returns why the channel has to be told of the standing, or "". The rules are
// those of Alertmanager's notification log, and: what was given up waits for a change
// or the repeat interval, and what is acknowledged is not repeated.
func (r *record) needs(s standing, opts ChannelConfig, repeat time.Duration, now time.Time) Reason {
	if r.Failed != "" && r.Failed == s.digest() && !r.FailedAt.Before(now.Add(-repeat)) {
		return ""
	}
	news := slices.ContainsFunc(s.firing, func(fp string) bool { _, ok := r.Firing[fp]; return !ok })
	switch {
	case news && len(r.Firing) == 0:
		return ReasonFirst
	case news:
		return ReasonFiring
	case len(s.firing) == 0 && len(r.Firing) > 0: // also where nobody wants to hear it: the log must know
		return ReasonResolved
	case len(s.firing) == 0:
		return "" // came and went without the channel having heard of it
	case opts.SendResolved && slices.ContainsFunc(s.resolved, func(fp string) bool { return !slices.Contains(r.Resolved, fp) }):
		return ReasonResolved
	case s.acked && !r.Acked && opts.SendAcknowledged:
		return ReasonAcknowledged
	case r.At.Before(now.Add(-repeat)) && !s.acked:
		return ReasonRepeat
	}
	return ""
}

// key names a message: the channel and the group, how many there were before it, and
// the incidents in it with their states.
func (r *record) key(reason Reason, alerts []Alert) string {
	h := sha256.New()
	part := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	part(r.Channel)
	part(r.Group)
	part(fmt.Sprint(r.Seq))
	part(string(reason))
	for _, a := range alerts {
		part(a.Fingerprint)
		part(string(a.State))
		part(a.StartsAt.Format(time.RFC3339Nano))
		part(a.EndsAt.Format(time.RFC3339Nano))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// storeKey is where the log keeps the record.
func (r *record) storeKey() string { return logKey(r.Channel, r.Group) }

func logKey(channel, group string) string {
	sum := sha256.Sum256([]byte(channel + "\x00" + group))
	return logPrefix + hex.EncodeToString(sum[:20])
}

func (r *record) encode() ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode notification log: %w", err)
	}
	return raw, nil
}

func (r *record) clone() *record {
	c := *r
	c.Firing, c.Resolved = maps.Clone(r.Firing), slices.Clone(r.Resolved)
	return &c
}
