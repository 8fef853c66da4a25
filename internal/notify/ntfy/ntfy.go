// Package ntfy publishes messages to a topic of ntfy.
package ntfy

import (
	"context"
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// ntfy takes messages of 4096 bytes.
const (
	maxTitle = 250
	maxText  = 4000
)

// Config is one topic.
type Config struct {
	notify.HTTPChannel `yaml:",inline"`
	// URL is the server's.
	URL   string `yaml:"url"`
	Topic string `yaml:"topic"`
	// Token is an access token; a topic without protection needs none.
	Token     notify.Secret `yaml:"token"`
	TokenFile string        `yaml:"token_file"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.HTTPChannel.SetDefaults()
	c.URL = "https://ntfy.sh"
}

// Validate says which key is wrong and what is allowed.
func (c *Config) Validate() error {
	if c.Topic == "" || len(c.Topic) > 64 || strings.ContainsAny(c.Topic, "/?# ") {
		return sentinel.Errorf(sentinel.Invalid, "topic: want a name of 1 to 64 characters")
	}
	if err := notify.CheckURL("url", c.URL); err != nil {
		return err
	}
	return notify.CheckSecret("token", c.Token, c.TokenFile, false)
}

// New returns the notifier of a channel.
func New(cfg Config) (notify.Notifier, error) { return notify.NewHTTP(cfg.Transport, cfg.send) }

type payload struct {
	Topic    string   `json:"topic"`
	Title    string   `json:"title"`
	Message  string   `json:"message"`
	Priority int      `json:"priority"`
	Tags     []string `json:"tags"`
	Click    string   `json:"click,omitempty"`
}

func (c *Config) payload(n *notify.Notification) payload {
	p := payload{Topic: c.Topic, Title: n.Title(c.Title, maxTitle), Message: n.Text(maxText, notify.Plain), Priority: 3,
		Tags: []string{"white_check_mark"}, Click: n.ExternalURL}
	if n.State() == notify.Firing {
		p.Priority = map[string]int{"critical": 5, "error": 4, "warning": 3, "info": 2}[n.Severity()]
		p.Tags = []string{"rotating_light"}
	}
	return p
}

func (c *Config) send(ctx context.Context, client *notify.Client, n *notify.Notification) error {
	token, err := notify.ReadSecret("token", c.Token, c.TokenFile)
	if err != nil {
		return err
	}
	body, err := notify.JSON(c.payload(n))
	if err != nil {
		return err
	}
	header := map[string]string{}
	if token.Reveal() != "" {
		header["Authorization"] = "Bearer " + token.Reveal()
	}
	_, err = client.Do(ctx, notify.Request{URL: c.URL, Header: header, Body: body, Secrets: []notify.Secret{token}})
	return err
}
