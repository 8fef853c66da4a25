package live

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// journal is what one owner writes to the stream ALERTS, under one number of its
// subjects, and remembers of it.
type journal struct {
	broker *broker.Broker
	id     int

	known  map[string]*known // by fingerprint
	recent []said            // in the order in which they were made

	tidiedAt time.Time
	count    telemetry.Counter // of transitions
}

// read returns how incidents stand: by the stream, and where that has lost
// them by the database, from which they are written to the stream again.
func (j *journal) read(ctx context.Context, history History, agents []sentinel.AgentID, log *slog.Logger) ([]alerting.Incident, error) {
	list, err := j.broker.Incidents(ctx, j.id)
	if err != nil {
		return nil, err
	}
	last := map[string]Change{}
	for _, a := range list {
		c, err := ParseChange(a.Data)
		if err != nil {
			log.Error("an incident in the stream cannot be read", "partition", j.id, "fingerprint", a.Fingerprint, "error", err)
			c = Change{}
		}
		j.known[a.Fingerprint] = &known{n: c.N, seq: a.Seq, data: a.Data, over: c.Over(), at: c.Now}
		if err == nil {
			last[a.Fingerprint] = c
		}
	}
	ask, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	stored, err := history.Incidents(ask, agents)
	if err != nil {
		log.Info("the database does not say how incidents stand, the stream counts", "partition", j.id, "error", err)
	}
	var again []said
	for _, raw := range stored {
		c, err := ParseChange(raw)
		if err != nil || c.Over() {
			continue
		}
		k := j.known[c.Fingerprint]
		if k == nil {
			k = &known{}
			j.known[c.Fingerprint] = k
		}
		if c.N <= k.n {
			continue
		}
		k.n, k.data, k.over, k.at = c.N, raw, false, c.Now
		last[c.Fingerprint] = c
		again = append(again, said{c.Fingerprint, c.N, raw, c.Now})
	}
	if len(again) > 0 {
		log.Warn("incidents that the broker has lost are written to it again", "partition", j.id, "incidents", len(again))
	}
	if err := j.publish(ctx, again); err != nil {
		return nil, err
	}
	var out []alerting.Incident
	for _, fp := range slices.Sorted(maps.Keys(last)) {
		out = append(out, last[fp].Incident)
	}
	return out, nil
}

// say writes transitions to the stream, those of one incident in their order, where
// mine says that they are still ours to make. They are remembered first: what cannot be
// written now is written when the session is resumed.
func (j *journal) say(ctx context.Context, mine func() bool, list []alerting.Transition) error {
	if len(list) == 0 {
		return nil
	}
	now := time.Now()
	j.count.Add(len(list))
	for _, tr := range list {
		k := j.known[tr.Fingerprint]
		if k == nil {
			k = &known{}
			j.known[tr.Fingerprint] = k
		}
		c := Change{N: max(k.n+1, now.UnixMilli()), Transition: tr}
		raw, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("encode a change: %w", err)
		}
		k.n, k.data, k.over, k.at = c.N, raw, c.Over(), now
		j.recent = append(j.recent, said{tr.Fingerprint, c.N, raw, now})
	}
	if !mine() {
		return errLost
	}
	return j.publish(ctx, j.recent[len(j.recent)-len(list):])
}

// noted tells a Conflict with another owner's note from one with a store that was wiped.
func noted(ctx context.Context, bucket *broker.Bucket, key string, err error) error {
	if sentinel.CodeOf(err) != sentinel.Conflict {
		return err
	}
	if _, now := bucket.Get(ctx, key); now != nil {
		return sentinel.Errorf(sentinel.Unavailable, "the note %s is gone: %w", key, now)
	}
	return err
}

// publish writes changes wave by wave, so that those of one incident come one after
// the other.
func (j *journal) publish(ctx context.Context, list []said) error {
	for len(list) > 0 {
		var wave []broker.Alert
		var rest []said
		in := map[string]bool{}
		for _, s := range list {
			if in[s.fingerprint] {
				rest = append(rest, s)
				continue
			}
			in[s.fingerprint] = true
			wave = append(wave, broker.Alert{Fingerprint: s.fingerprint, Data: s.data, Seq: j.known[s.fingerprint].seq})
		}
		if err := j.broker.PublishAlerts(ctx, j.id, wave); err != nil {
			return err
		}
		for _, a := range wave {
			j.known[a.Fingerprint].seq = a.Seq
		}
		list = rest
	}
	return nil
}

// again writes what the stream does not have of what was said here. It reports false
// where the stream has what was not said here.
func (j *journal) again(ctx context.Context) (bool, error) {
	list, err := j.broker.Incidents(ctx, j.id)
	if err != nil {
		return false, err
	}
	written := map[string]int64{}
	for _, k := range j.known {
		k.seq = 0
	}
	for _, a := range list {
		c, err := ParseChange(a.Data)
		k := j.known[a.Fingerprint]
		if err != nil || k == nil || c.N > k.n {
			return false, nil //nolint:nilerr // not ours: it is taken over anew
		}
		k.seq, written[a.Fingerprint] = a.Seq, c.N
	}
	var missing []said
	in := map[string]bool{}
	for _, s := range j.recent {
		if s.n > written[s.fingerprint] {
			missing = append(missing, s)
			in[s.fingerprint] = true
		}
	}
	for fp, k := range j.known {
		if k.n > written[fp] && !k.over && !in[fp] {
			missing = append(missing, said{fp, k.n, k.data, k.at})
		}
	}
	return true, j.publish(ctx, missing)
}

// tidy forgets what was said long ago, here and in the stream, once it is in the
// database. It may fail: then it is done later.
func (j *journal) tidy(ctx context.Context, now time.Time) {
	for len(j.recent) > 0 && now.Sub(j.recent[0].at) > remember {
		j.recent = j.recent[1:]
	}
	if now.Sub(j.tidiedAt) < tidyEvery {
		return
	}
	j.tidiedAt = now
	settled, err := j.broker.AlertsSettled(ctx, HistoryDurable)
	if err != nil {
		return
	}
	for fp, k := range j.known {
		if before := min(k.tidy, settled+1); before > 0 && k.tidy > 0 {
			if j.broker.ForgetAlerts(ctx, j.id, fp, before) != nil {
				return
			}
		}
		if k.over && now.Sub(k.at) > keepOver && k.seq <= settled {
			if j.broker.ForgetAlerts(ctx, j.id, fp, k.seq+1) != nil {
				return
			}
			delete(j.known, fp)
			continue
		}
		k.tidy = k.seq
	}
}
