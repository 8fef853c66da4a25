// Package pagerduty sends events to PagerDuty's Events API, version 2: one incident
// for each group, which is triggered, acknowledged and resolved.
package pagerduty

import (
	"context"
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// The API takes summaries of 1024 characters and events of 512 KB.
const (
	maxSummary = 1000
	maxText    = 64 << 10
)

// Config is one service of PagerDuty.
type Config struct {
	notify.HTTPChannel `yaml:",inline"`
	// RoutingKey is the integration's.
	RoutingKey     notify.Secret `yaml:"routing_key"`
	RoutingKeyFile string        `yaml:"routing_key_file"`
	// URL is the API's; https://events.eu.pagerduty.com/v2/enqueue for European accounts.
	URL string `yaml:"url"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.ChannelConfig = notify.DefaultChannelConfig()
	c.SendAcknowledged = true
	c.URL = "https://events.pagerduty.com/v2/enqueue"
}

// Validate says which key is wrong and what is allowed.
func (c Config) Validate() error {
	if err := notify.CheckURL("url", c.URL); err != nil {
		return err
	}
	return notify.CheckSecret("routing_key", c.RoutingKey, c.RoutingKeyFile, true)
}

// New returns the notifier of a service.
func New(cfg Config) (notify.Notifier, error) { return notify.NewHTTP(cfg.Transport, cfg.send) }

type event struct {
	RoutingKey string   `json:"routing_key"`
	Action     string   `json:"event_action"`
	DedupKey   string   `json:"dedup_key"`
	Client     string   `json:"client,omitempty"`
	ClientURL  string   `json:"client_url,omitempty"`
	Links      []link   `json:"links,omitempty"`
	Payload    *payload `json:"payload,omitempty"`
}

type link struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type payload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp string            `json:"timestamp,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   map[string]string `json:"custom_details"`
}

// events returns what a message means to PagerDuty. A digest opens no incident, and a
// test opens one and closes it again.
func (c *Config) events(n *notify.Notification, key notify.Secret) []event {
	e := event{RoutingKey: key.Reveal(), DedupKey: n.IncidentKey(), Action: "trigger"}
	switch {
	case n.Reason == notify.ReasonDigest:
		return nil
	case n.Reason == notify.ReasonAcknowledged:
		e.Action = "acknowledge"
		return []event{e}
	case n.Reason != notify.ReasonTest && n.State() == notify.Resolved:
		e.Action = "resolve"
		return []event{e}
	}
	e.Client, e.ClientURL = "Sentinel", n.ExternalURL
	common := n.CommonLabels()
	source := common["instance"]
	if source == "" {
		source = n.Title("", 200)
	}
	e.Payload = &payload{Summary: n.Title(c.Title, maxSummary), Source: source, Severity: n.Severity(), Class: common["alertname"],
		Details: map[string]string{"alerts": n.Text(maxText, notify.Plain)}}
	for _, a := range n.Alerts {
		if strings.HasPrefix(a.Runbook, "https://") || strings.HasPrefix(a.Runbook, "http://") {
			e.Links = []link{{a.Runbook, "Runbook"}}
			break
		}
	}
	if n.Reason == notify.ReasonTest {
		return []event{e, {RoutingKey: key.Reveal(), DedupKey: e.DedupKey, Action: "resolve"}}
	}
	return []event{e}
}

func (c *Config) send(ctx context.Context, client *notify.Client, n *notify.Notification) error {
	key, err := notify.ReadSecret("routing_key", c.RoutingKey, c.RoutingKeyFile)
	if err != nil {
		return err
	}
	for _, e := range c.events(n, key) {
		body, err := notify.JSON(e)
		if err != nil {
			return err
		}
		if _, err := client.Do(ctx, notify.Request{URL: c.URL, Body: body, Secrets: []notify.Secret{key}}); err != nil {
			return err
		}
	}
	return nil
}
