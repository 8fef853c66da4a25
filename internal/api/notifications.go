package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Alerting reads what people write about alerts, and asks the one that tells them.
type Alerting interface {
	// ReadRules reads a file of rules, ReadRule one rule of a group. Errors are Invalid
	// and name line, rule and field.
	ReadRules(yaml string) ([]postgres.AlertRule, error)
	ReadRule(group, yaml string) (postgres.AlertRule, error)
	// Rule describes a rule. Asked says how expressions were answered last, by group/alert.
	Rule(row postgres.AlertRule) Rule
	Asked(ctx context.Context) (map[string]RuleAsked, error)

	// Matches reads matchers of labels. NewSilence and EndSilence make what is kept.
	Matches(matchers []string) (func(labels map[string]string) bool, error)
	NewSilence(s Silence) (postgres.Silence, error)
	EndSilence(row postgres.Silence, now time.Time) (postgres.Silence, error)

	// SealNotification checks a notification file and seals it; ShowNotification opens it
	// and hides its secrets.
	SealNotification(yaml string) (sealed []byte, masterKeyID string, err error)
	ShowNotification(sealed []byte) (yaml string, root Route, receivers []Receiver, err error)

	// Backtest plays rules over stored history. The error is ResourceExhausted where
	// another one runs.
	Backtest(ctx context.Context, q BacktestQuery) (Backtest, error)

	// The rest is asked of the notifier that works. The error is Unavailable where none
	// does.
	Explain(ctx context.Context, labels map[string]string) ([]RouteExplanation, error)
	TestReceiver(ctx context.Context, channel string) error
	Undelivered(ctx context.Context) ([]Undelivered, error)
	Redeliver(ctx context.Context, id string) error
	Discard(ctx context.Context, id string) error
}

// NotificationConfig is the notification file. docs/notifications.md describes it.
type NotificationConfig struct {
	YAML      string     `json:"yaml" doc:"Its secrets are never shown: <secret> stands for each"`
	Version   int64      `json:"version" doc:"0 where nobody has written one: then nobody is told"`
	ChangedAt *time.Time `json:"changed_at,omitempty"`
	ChangedBy string     `json:"changed_by,omitempty"`
	Route     Route      `json:"route" doc:"The root of the tree of routes, with what each inherits"`
}

// Route is one route of the notification file and those below it.
type Route struct {
	Path           string   `json:"path" doc:"Where it stands, such as route.routes[2]"`
	Receiver       string   `json:"receiver"`
	Matchers       string   `json:"matchers" doc:"{} matches everything"`
	Continue       bool     `json:"continue,omitempty"`
	GroupBy        []string `json:"group_by,omitempty" doc:"... makes every alert a group of its own"`
	GroupWait      string   `json:"group_wait"`
	GroupInterval  string   `json:"group_interval"`
	RepeatInterval string   `json:"repeat_interval"`
	Mute           []string `json:"mute,omitempty" doc:"Names of time intervals"`
	Active         []string `json:"active,omitempty"`
	Escalations    []string `json:"escalations,omitempty"`
	Routes         []Route  `json:"routes,omitempty"`
}

// NewNotificationConfig is what changing it needs.
type NewNotificationConfig struct {
	YAML    string `json:"yaml" minLength:"1" maxLength:"900000"`
	Version *int64 `json:"version,omitempty" doc:"The version that it was made from; a file that has changed since is left alone"`
}

// Receiver is a name for channels.
type Receiver struct {
	Name     string    `json:"name"`
	Channels []Channel `json:"channels"`
}

// Channel is one way to tell somebody.
type Channel struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
}

// ReceiverList are all receivers.
type ReceiverList struct {
	Receivers []Receiver `json:"receivers"`
}

// RouteExplanation says what would happen to an alert on one of its routes.
type RouteExplanation struct {
	Path           string   `json:"path" doc:"Where the route stands, such as route.routes[2]"`
	Trail          []string `json:"trail" doc:"The matchers on the way"`
	Receiver       string   `json:"receiver"`
	GroupKey       string   `json:"group_key"`
	GroupWait      string   `json:"group_wait"`
	GroupInterval  string   `json:"group_interval"`
	RepeatInterval string   `json:"repeat_interval"`
	MutedBy        []string `json:"muted_by,omitempty"`
	SilencedBy     []string `json:"silenced_by,omitempty"`
	InhibitedBy    string   `json:"inhibited_by,omitempty"`
	Escalations    []string `json:"escalations,omitempty"`
}

// ExplanationList are the routes that an alert takes.
type ExplanationList struct {
	Routes []RouteExplanation `json:"routes"`
}

// Delivery is one attempt to tell somebody.
type Delivery struct {
	ID       int64     `json:"id"`
	At       time.Time `json:"at"`
	Channel  string    `json:"channel"`
	Key      string    `json:"key" doc:"The message's: the same for every attempt"`
	GroupKey string    `json:"group_key"`
	Reason   string    `json:"reason"`
	Alerts   int32     `json:"alerts"`
	Attempt  int32     `json:"attempt"`
	TookMS   int64     `json:"took_ms"`
	Error    string    `json:"error,omitempty"`
	GaveUp   bool      `json:"gave_up,omitempty"`
}

// DeliveryPage is one page of attempts, newest first.
type DeliveryPage struct {
	Deliveries []Delivery `json:"deliveries"`
	Next       string     `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
}

// Undelivered is a message that was given up.
type Undelivered struct {
	ID      string    `json:"id"`
	Channel string    `json:"channel"`
	Error   string    `json:"error"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
	Alerts  []string  `json:"alerts" doc:"The first few, by name and host"`
}

// UndeliveredList are messages that were given up, newest first.
type UndeliveredList struct {
	Messages []Undelivered `json:"messages"`
}

func (r resources) notifications() {
	r.notificationConfig()
	type explainInput struct {
		Labels []string `query:"label,explode" required:"true" doc:"name=value; may stand there several times"`
	}
	type explainOutput struct{ Body ExplanationList }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/notifications/explain", "explain-route", "Show where an alert with these labels would go now"),
		func(ctx context.Context, in *explainInput) (*explainOutput, error) {
			labels, err := labelPairs("query.label", in.Labels)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			list, err := r.deps.Alerting.Explain(ctx, labels)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			return &explainOutput{ExplanationList{list}}, nil
		})

	type testInput struct {
		Body struct {
			Channel string `json:"channel" minLength:"1" maxLength:"255" doc:"Such as ops/webhook/0"`
		}
	}
	test := operation(postgres.Operator, http.MethodPost, "/notifications/test", "test-receiver", "Send a test message through a channel, and say what came of it")
	huma.Register(r.api, test, func(ctx context.Context, in *testInput) (*struct{}, error) {
		if err := clean("body.channel", in.Body.Channel); err != nil {
			return nil, r.fail(ctx, err)
		}
		return nil, r.audited(ctx, "receiver.test", in.Body.Channel, func() error { return r.deps.Alerting.TestReceiver(ctx, in.Body.Channel) })
	})

	type deliveriesInput struct {
		Channel string `query:"channel" maxLength:"255" doc:"A channel or a receiver"`
		Failed  bool   `query:"failed" doc:"Only attempts that failed"`
		After   string `query:"after" doc:"The cursor that the page before gave as next"`
		Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	type deliveriesOutput struct{ Body DeliveryPage }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/notifications/deliveries", "list-deliveries", "List what was sent to whom, newest first"),
		func(ctx context.Context, in *deliveriesInput) (*deliveriesOutput, error) {
			if err := clean("query.channel", in.Channel); err != nil {
				return nil, r.fail(ctx, err)
			}
			before, err := cursor(in.After)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			rows, err := r.deps.DB.Deliveries(ctx, postgres.DeliveryFilter{Channel: in.Channel, Failed: in.Failed, Before: before, Limit: in.Limit})
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			page := DeliveryPage{Deliveries: make([]Delivery, 0, len(rows))}
			for _, d := range rows {
				page.Deliveries = append(page.Deliveries, Delivery(d))
			}
			if len(rows) == in.Limit {
				page.Next = strconv.FormatInt(rows[len(rows)-1].ID, 36)
			}
			return &deliveriesOutput{page}, nil
		})

	type lettersOutput struct{ Body UndeliveredList }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/notifications/undelivered", "list-undelivered", "List messages that were given up, newest first"),
		func(ctx context.Context, _ *struct{}) (*lettersOutput, error) {
			list, err := r.deps.Alerting.Undelivered(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			return &lettersOutput{UndeliveredList{list}}, nil
		})
	type letterInput struct {
		ID string `path:"message" pattern:"^[0-9a-z]{1,64}$"`
	}
	huma.Register(r.api, operation(postgres.Operator, http.MethodPost, "/notifications/undelivered/{message}/replay", "replay-undelivered", "Send a message that was given up once more"),
		func(ctx context.Context, in *letterInput) (*struct{}, error) {
			return nil, r.audited(ctx, "undelivered.replay", in.ID, func() error { return r.deps.Alerting.Redeliver(ctx, in.ID) })
		})
	huma.Register(r.api, operation(postgres.Operator, http.MethodDelete, "/notifications/undelivered/{message}", "discard-undelivered", "Remove a message that was given up"),
		func(ctx context.Context, in *letterInput) (*struct{}, error) {
			return nil, r.audited(ctx, "undelivered.discard", in.ID, func() error { return r.deps.Alerting.Discard(ctx, in.ID) })
		})
}

// labelPairs reads name=value.
func labelPairs(where string, texts []string) (map[string]string, error) {
	labels := make(map[string]string, len(texts))
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, wrong(where, "want name=value, not %.80q", text)
		}
		if err := clean(where, text); err != nil {
			return nil, err
		}
		labels[name] = value
	}
	return labels, nil
}

// audited does what is not done in the database, and leaves an entry. What the
// receiver's service said is for whoever asks to see.
func (r resources) audited(ctx context.Context, action, target string, do func() error) error {
	if err := do(); err != nil {
		if sentinel.CodeOf(err) == sentinel.Unavailable {
			return huma.NewError(http.StatusServiceUnavailable, err.Error())
		}
		return r.fail(ctx, err)
	}
	if err := r.deps.DB.Audit(ctx, entry(ctx, action, target)); err != nil {
		return r.fail(ctx, err)
	}
	return nil
}

func (r resources) notificationConfig() {
	type output struct{ Body NotificationConfig }
	show := func(ctx context.Context) (NotificationConfig, []Receiver, error) {
		row, err := r.deps.DB.NotificationConfig(ctx)
		if err != nil && sentinel.CodeOf(err) != sentinel.NotFound {
			return NotificationConfig{}, nil, err
		}
		text, root, receivers, err := r.deps.Alerting.ShowNotification(row.Sealed)
		return NotificationConfig{YAML: text, Version: row.Version, ChangedAt: timeOrNil(row.ChangedAt), ChangedBy: row.ChangedBy, Route: root}, receivers, err
	}
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/notifications/config", "get-notification-config", "Show the notification file, without its secrets"),
		func(ctx context.Context, _ *struct{}) (*output, error) {
			cfg, _, err := show(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			return &output{cfg}, nil
		})
	type receiversOutput struct{ Body ReceiverList }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/notifications/receivers", "list-receivers", "List who can be told, and how"),
		func(ctx context.Context, _ *struct{}) (*receiversOutput, error) {
			_, receivers, err := show(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			return &receiversOutput{ReceiverList{receivers}}, nil
		})
	type putInput struct{ Body NewNotificationConfig }
	put := operation(postgres.Admin, http.MethodPut, "/notifications/config", "put-notification-config", "Change the notification file")
	put.Description += " It is kept sealed under the master key, and holds within seconds."
	huma.Register(r.api, put, func(ctx context.Context, in *putInput) (*output, error) {
		sealed, master, err := r.deps.Alerting.SealNotification(in.Body.YAML)
		if err != nil {
			return nil, r.fail(ctx, wrong("body.yaml", "%w", err))
		}
		was := int64(-1)
		if in.Body.Version != nil {
			was = *in.Body.Version
		}
		if _, err := r.deps.DB.PutNotificationConfig(ctx, entry(ctx, "notification.put", ""), sealed, master, was); err != nil {
			return nil, r.fail(ctx, err)
		}
		cfg, _, err := show(ctx)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		return &output{cfg}, nil
	})
}

// NotificationConfig returns the notification file, without its secrets.
func (c *Client) NotificationConfig(ctx context.Context) (NotificationConfig, error) {
	var out NotificationConfig
	err := c.call(ctx, http.MethodGet, "/notifications/config", nil, nil, &out)
	return out, err
}

// PutNotificationConfig changes the notification file.
func (c *Client) PutNotificationConfig(ctx context.Context, in NewNotificationConfig) (NotificationConfig, error) {
	var out NotificationConfig
	err := c.call(ctx, http.MethodPut, "/notifications/config", nil, in, &out)
	return out, err
}

// Receivers returns who can be told, and how.
func (c *Client) Receivers(ctx context.Context) ([]Receiver, error) {
	var list ReceiverList
	err := c.call(ctx, http.MethodGet, "/notifications/receivers", nil, nil, &list)
	return list.Receivers, err
}

// TestReceiver sends a test message through a channel.
func (c *Client) TestReceiver(ctx context.Context, channel string) error {
	return c.call(ctx, http.MethodPost, "/notifications/test", nil, map[string]string{"channel": channel}, nil)
}

// ExplainRoute returns the routes that an alert with these labels, name=value, takes.
func (c *Client) ExplainRoute(ctx context.Context, labels []string) ([]RouteExplanation, error) {
	var list ExplanationList
	err := c.call(ctx, http.MethodGet, "/notifications/explain", url.Values{"label": labels}, nil, &list)
	return list.Routes, err
}

// Deliveries returns up to limit attempts to tell somebody, newest first.
func (c *Client) Deliveries(ctx context.Context, channel string, failed bool, limit int) ([]Delivery, error) {
	q := url.Values{"limit": {strconv.Itoa(min(max(1, limit), 1000))}}
	if channel != "" {
		q.Set("channel", channel)
	}
	if failed {
		q.Set("failed", "true")
	}
	var page DeliveryPage
	err := c.call(ctx, http.MethodGet, "/notifications/deliveries", q, nil, &page)
	return page.Deliveries, err
}

// Undelivered returns messages that were given up, newest first.
func (c *Client) Undelivered(ctx context.Context) ([]Undelivered, error) {
	var list UndeliveredList
	err := c.call(ctx, http.MethodGet, "/notifications/undelivered", nil, nil, &list)
	return list.Messages, err
}

// Redeliver sends a message that was given up once more.
func (c *Client) Redeliver(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, "/notifications/undelivered/"+url.PathEscape(id)+"/replay", nil, nil, nil)
}

// Discard removes a message that was given up.
func (c *Client) Discard(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/notifications/undelivered/"+url.PathEscape(id), nil, nil, nil)
}
