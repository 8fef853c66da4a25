package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/app/notifiers"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Desk is what the REST interface asks about alerts: an api.Alerting. Make it with
// NewDesk.
type Desk struct {
	DB     *postgres.DB
	Vault  *sign.Vault
	Broker *broker.Broker
	Query  *query.Engine

	playing chan struct{} // holds a token while a backtest is played
}

// NewDesk returns a desk.
func NewDesk(db *postgres.DB, vault *sign.Vault, b *broker.Broker, engine *query.Engine) Desk {
	return Desk{db, vault, b, engine, make(chan struct{}, 1)}
}

// ReadRules implements api.Alerting.
func (Desk) ReadRules(yaml string) ([]postgres.AlertRule, error) { return Rows("yaml", []byte(yaml)) }

// ReadRule implements api.Alerting. Lines are counted as the caller wrote them.
func (Desk) ReadRule(group, yaml string) (postgres.AlertRule, error) {
	r, err := alerting.ParseRule("yaml", group, []byte(yaml))
	if err == nil {
		err = (&alerting.RuleSet{Rules: []*alerting.Rule{r}}).CheckExprs("yaml", query.CheckAlert)
	}
	if err != nil {
		return postgres.AlertRule{}, err
	}
	return postgres.AlertRule{Group: r.Group, Name: r.Alert, YAML: r.YAML()}, nil
}

// Rule implements api.Alerting.
func (Desk) Rule(row postgres.AlertRule) api.Rule {
	out := api.Rule{Group: row.Group, Alert: row.Name, YAML: row.YAML, Version: row.Version, ChangedAt: row.ChangedAt, ChangedBy: row.ChangedBy}
	r, err := alerting.ParseRule("yaml", row.Group, []byte(row.YAML))
	if err != nil { // it was written by another version
		out.Sentence = err.Error()
		return out
	}
	out.Kind, out.Severity, out.Sentence, out.Series, out.DividedBy, out.Minus = string(r.Kind), r.Severity, r.String(), r.Series.String(), r.DividedBy, r.Minus
	out.Agents, out.Function, out.Condition, out.Recovery = r.Agents.String(), string(r.Function), r.Condition.String(), r.Recovery.String()
	out.Labels, out.Annotations, out.Runbook, out.Expr = r.Labels, r.Annotations, r.Runbook, r.Expr
	for to, d := range map[*string]time.Duration{&out.Window: r.Window, &out.Interval: r.Interval, &out.For: r.For, &out.KeepFiringFor: r.KeepFiringFor} {
		if d != 0 {
			*to = d.String()
		}
	}
	return out
}

// Asked implements api.Alerting.
func (d Desk) Asked(ctx context.Context) (map[string]api.RuleAsked, error) {
	all, err := live.ReadAsked(ctx, d.Broker)
	out := make(map[string]api.RuleAsked, len(all))
	for id, a := range all {
		one := api.RuleAsked{At: a.Tried, TookMS: a.Took.Milliseconds(), Series: a.Series, Error: a.Error}
		if !a.At.IsZero() {
			one.AnsweredAt = &a.At
		}
		out[id] = one
	}
	return out, err
}

func matchersOf(texts []string) (all notify.Matchers, err error) {
	for i, text := range texts {
		ms, err := notify.ParseMatchers(text)
		if err != nil {
			return nil, sentinel.Errorf(sentinel.Invalid, "matchers[%d]: %w", i, err)
		}
		all = append(all, ms...)
	}
	return all, nil
}

// Matches implements api.Alerting.
func (Desk) Matches(texts []string) (func(map[string]string) bool, error) {
	ms, err := matchersOf(texts)
	if err == nil && len(ms) == 0 {
		err = sentinel.Errorf(sentinel.Invalid, "there is none")
	}
	return ms.Matches, err
}

// NewSilence implements api.Alerting.
func (Desk) NewSilence(s api.Silence) (row postgres.Silence, err error) {
	sil := notify.Silence{ID: "sil-" + sentinel.RandomName(10), Author: s.Author, Comment: s.Comment, StartsAt: s.StartsAt, EndsAt: s.EndsAt, UpdatedAt: s.UpdatedAt}
	if sil.Matchers, err = matchersOf(s.Matchers); err == nil {
		err = sil.Validate()
	}
	if err != nil {
		return row, err
	}
	return silenceRow(sil)
}

// EndSilence implements api.Alerting.
func (Desk) EndSilence(row postgres.Silence, now time.Time) (postgres.Silence, error) {
	var sil notify.Silence
	if err := json.Unmarshal(row.Body, &sil); err != nil {
		return row, fmt.Errorf("read a silence: %w", err)
	}
	if sil.State(now) == "pending" {
		sil.StartsAt = now.Add(-time.Millisecond)
	}
	sil.EndsAt, sil.UpdatedAt = now, now
	return silenceRow(sil)
}

func silenceRow(sil notify.Silence) (postgres.Silence, error) {
	raw, err := json.Marshal(sil)
	if err != nil {
		return postgres.Silence{}, fmt.Errorf("encode a silence: %w", err)
	}
	return postgres.Silence{ID: sil.ID, Body: raw, StartsAt: sil.StartsAt, EndsAt: sil.EndsAt}, nil
}

// SealNotification implements api.Alerting.
func (d Desk) SealNotification(yaml string) (sealed []byte, masterKeyID string, err error) {
	if strings.Contains(yaml, notify.Hidden) {
		return nil, "", sentinel.Errorf(sentinel.Invalid, "%s stands for a secret that is not shown: write the secret itself or, better, name a file of it (url_file, token_file, …)", notify.Hidden)
	}
	if _, err := notifiers.Parse("yaml", []byte(yaml)); err != nil {
		return nil, "", err
	}
	return d.Vault.SealText(NotificationPurpose, []byte(yaml)), d.Vault.ID(), nil
}

// ShowNotification implements api.Alerting.
func (d Desk) ShowNotification(sealed []byte) (string, api.Route, []api.Receiver, error) {
	text := NoNotification()
	if len(sealed) > 0 {
		var err error
		if text, err = d.Vault.OpenText(NotificationPurpose, sealed); err != nil {
			return "", api.Route{}, nil, err
		}
	}
	setup, err := notifiers.Parse("notification file", text)
	if err != nil {
		return "", api.Route{}, nil, err
	}
	receivers := []api.Receiver{}
	for _, r := range setup.Names() {
		one := api.Receiver{Name: r, Channels: []api.Channel{}}
		for _, ch := range setup.Receivers[r] {
			one.Channels = append(one.Channels, api.Channel{ID: ch.ID, Kind: ch.Kind})
		}
		receivers = append(receivers, one)
	}
	shown, err := notifiers.Redact(text)
	return shown, toRoute(setup.Routing.Root()), receivers, err
}

func toRoute(rt *notify.Route) api.Route {
	out := api.Route{Path: rt.Path(), Receiver: rt.Receiver, Matchers: rt.Matchers.String(), Continue: rt.Continue, GroupBy: rt.GroupBy,
		GroupWait: sentinel.FormatDuration(rt.Wait), GroupInterval: sentinel.FormatDuration(rt.Interval), RepeatInterval: sentinel.FormatDuration(rt.Repeat), Mute: rt.Mute, Active: rt.Active}
	if rt.GroupByAll {
		out.GroupBy = []string{"..."}
	}
	for _, e := range rt.Escalations {
		out.Escalations = append(out.Escalations, "after "+sentinel.FormatDuration(e.After)+": "+e.Receiver)
	}
	for _, below := range rt.Routes {
		out.Routes = append(out.Routes, toRoute(below))
	}
	return out
}

// Explain implements api.Alerting.
func (d Desk) Explain(ctx context.Context, labels map[string]string) ([]api.RouteExplanation, error) {
	list, err := ask[[]notify.Explanation](ctx, d.Broker, question{Op: opExplain, Labels: labels})
	out := make([]api.RouteExplanation, 0, len(list))
	for _, e := range list {
		out = append(out, api.RouteExplanation(e))
	}
	return out, err
}

// TestReceiver implements api.Alerting.
func (d Desk) TestReceiver(ctx context.Context, channel string) error {
	_, err := ask[struct{}](ctx, d.Broker, question{Op: opTest, ID: channel})
	return err
}

// Undelivered implements api.Alerting.
func (d Desk) Undelivered(ctx context.Context) ([]api.Undelivered, error) {
	list, err := ask[[]notify.Letter](ctx, d.Broker, question{Op: opLetters})
	out := make([]api.Undelivered, 0, len(list))
	for _, l := range list {
		one := api.Undelivered{ID: l.ID, Channel: l.Channel, Error: l.Error, At: l.At, Reason: string(l.Notification.Reason), Alerts: []string{}}
		for _, a := range l.Notification.Alerts {
			one.Alerts = append(one.Alerts, strings.TrimSpace(a.Name()+" "+a.Labels["hostname"]))
		}
		out = append(out, one)
	}
	return out, err
}

// Redeliver implements api.Alerting.
func (d Desk) Redeliver(ctx context.Context, id string) error {
	_, err := ask[struct{}](ctx, d.Broker, question{Op: opReplay, ID: id})
	return err
}

// Discard implements api.Alerting.
func (d Desk) Discard(ctx context.Context, id string) error {
	_, err := ask[struct{}](ctx, d.Broker, question{Op: opDiscard, ID: id})
	return err
}
