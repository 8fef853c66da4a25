package alerts

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/backoff"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

const (
	historyGroup = 256
	historyWait  = 2 * time.Second
)

// History takes the changes of incidents from the stream to the database. Any number
// may run and share the work: what is kept already is left alone, and an older change
// never takes the place of a newer one. While the database is out the changes wait in
// the stream.
type History struct {
	DB      *postgres.DB
	Broker  *broker.Broker
	Metrics *telemetry.Registry
	Log     *slog.Logger
}

// Run works until ctx ends; then it returns nil.
func (h History) Run(ctx context.Context) error {
	consumer := h.Broker.AlertConsumer(live.HistoryDurable)
	kept, refused := h.Metrics.Counter("sentinel_history_changes_total"), h.Metrics.Counter("sentinel_history_changes_refused_total")
	wait := backoff.Backoff{Base: 200 * time.Millisecond, Max: 5 * time.Second}
	for ctx.Err() == nil {
		msgs, err := consumer.Fetch(ctx, historyGroup, historyWait)
		if err == nil && len(msgs) > 0 {
			err = h.keep(ctx, msgs, refused)
		}
		if err == nil {
			for _, m := range msgs {
				_ = m.Ack() // else it comes again, and is kept already
			}
			kept.Add(len(msgs))
			wait.Reset()
			continue
		}
		for _, m := range msgs {
			_ = m.Nak(time.Second) // else it comes again by itself, half a minute later
		}
		if ctx.Err() == nil && wait.Tries()%20 == 0 {
			h.Log.Warn("changes of incidents cannot be kept, they wait", "error", err)
		}
		if wait.Wait(ctx) != nil {
			return nil
		}
	}
	return nil
}

// keep writes the changes. What the database refuses for itself is counted and left out.
func (h History) keep(ctx context.Context, msgs []broker.Message, refused telemetry.Counter) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var changes []postgres.IncidentChange
	for _, m := range msgs {
		c, err := live.ParseChange(m.Data)
		if err != nil {
			refused.Inc()
			h.Log.Error("a change in the stream cannot be read", "error", err)
			continue
		}
		changes = append(changes, row(c, m.Data))
	}
	err := h.DB.NoteChanges(ctx, changes)
	if err == nil || postgres.Classify(err) != postgres.Poison {
		return err
	}
	for _, c := range changes { // one of them it is
		err := h.DB.NoteChanges(ctx, []postgres.IncidentChange{c})
		if err != nil && postgres.Classify(err) != postgres.Poison {
			return err
		}
		if err != nil {
			refused.Inc()
			h.Log.Error("the database refuses a change of an incident", "fingerprint", c.Fingerprint, "error", err)
		}
	}
	return nil
}

func row(c live.Change, raw []byte) postgres.IncidentChange {
	out := postgres.IncidentChange{At: c.At, From: string(c.From), To: string(c.To), Incident: postgres.Incident{
		Fingerprint: c.Fingerprint, N: c.N, Agent: c.Agent, Hostname: c.Labels["hostname"], Rule: c.Rule, AlertName: c.Labels["alertname"], Severity: c.Severity,
		State: string(c.State), Was: string(c.Was), Reason: string(c.Reason), Over: c.Over(),
		StartsAt: c.StartsAt, FiredAt: c.FiredAt, EndsAt: c.EndsAt, ChangedAt: c.Now, Change: raw}}
	if c.Agent == "" { // of an expression: whom it is about, as far as that is said
		out.Hostname = cmp.Or(c.Labels["hostname"], c.Labels["instance"])
	}
	if c.From == c.To || c.To == alerting.Pending || c.To == alerting.Inactive {
		return out
	}
	out.Event = c.Labels["alertname"]
	if c.Series != "" {
		out.Event += " " + c.Series
	}
	if text := c.Annotations["summary"]; text != "" {
		out.Event += ": " + text
	} else {
		out.Event += " (" + string(c.Reason) + ")"
	}
	return out
}
