// Package opsgenie creates, acknowledges and closes alerts in Opsgenie: one for each
// group.
package opsgenie

import (
	"context"
	"slices"
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// Opsgenie takes messages of 130, descriptions of 15000 and tags of 50 characters.
const (
	maxTitle = 130
	maxText  = 14000
	maxTag   = 50
	maxTags  = 20
)

// Config is one integration of Opsgenie.
type Config struct {
	notify.HTTPChannel `yaml:",inline"`
	APIKey             notify.Secret `yaml:"api_key"`
	APIKeyFile         string        `yaml:"api_key_file"`
	// URL is the API's; https://api.eu.opsgenie.com for European accounts.
	URL string `yaml:"url"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.HTTPChannel.SetDefaults()
	c.SendAcknowledged = true
	c.URL = "https://api.opsgenie.com"
}

// Validate says which key is wrong and what is allowed.
func (c *Config) Validate() error {
	if err := notify.CheckURL("url", c.URL); err != nil {
		return err
	}
	return notify.CheckSecret("api_key", c.APIKey, c.APIKeyFile, true)
}

// New returns the notifier of a channel.
func New(cfg Config) (notify.Notifier, error) { return notify.NewHTTP(cfg.Transport, cfg.send) }

type create struct {
	Message     string   `json:"message"`
	Alias       string   `json:"alias"`
	Description string   `json:"description"`
	Source      string   `json:"source"`
	Priority    string   `json:"priority"`
	Tags        []string `json:"tags,omitempty"`
}

type change struct {
	Source string `json:"source"`
	Note   string `json:"note,omitempty"`
}

type request struct {
	path string
	body any
}

// requests returns what a message means to Opsgenie. A digest opens no alert, and a
// test opens one and closes it again.
func (c *Config) requests(n *notify.Notification) []request {
	alias := n.IncidentKey()
	at := func(verb string) request {
		return request{"/v2/alerts/" + alias + "/" + verb + "?identifierType=alias", change{"Sentinel", n.Note}}
	}
	switch {
	case n.Reason == notify.ReasonDigest:
		return nil
	case n.Reason == notify.ReasonAcknowledged:
		return []request{at("acknowledge")}
	case n.Reason != notify.ReasonTest && n.State() == notify.Resolved:
		return []request{at("close")}
	}
	priorities := map[string]string{"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}
	var tags []string
	for k, v := range n.CommonLabels() {
		tags = append(tags, notify.Runes(k+"="+v, maxTag))
	}
	slices.Sort(tags)
	open := request{"/v2/alerts", create{Message: notify.Runes(n.Title(c.Title, 4*maxTitle), maxTitle), Alias: alias,
		Description: n.Text(maxText, notify.Plain), Source: "Sentinel", Priority: priorities[n.Severity()], Tags: tags[:min(len(tags), maxTags)]}}
	if n.Reason == notify.ReasonTest {
		return []request{open, at("close")}
	}
	return []request{open}
}

func (c *Config) send(ctx context.Context, client *notify.Client, n *notify.Notification) error {
	key, err := notify.ReadSecret("api_key", c.APIKey, c.APIKeyFile)
	if err != nil {
		return err
	}
	for _, r := range c.requests(n) {
		body, err := notify.JSON(r.body)
		if err != nil {
			return err
		}
		if _, err := client.Do(ctx, notify.Request{URL: strings.TrimSuffix(c.URL, "/") + r.path, Body: body,
			Header: map[string]string{"Authorization": "GenieKey " + key.Reveal()}, Secrets: []notify.Secret{key}}); err != nil {
			return err
		}
	}
	return nil
}
