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

type notifier struct {
	cfg    Config
	client *notify.Client
}

// New returns the notifier of a channel.
func New(cfg Config) (notify.Notifier, error) {
	client, err := notify.NewClient(cfg.Transport)
	if err != nil {
		return nil, err
	}
	return &notifier{cfg, client}, nil
}

type payload struct {
	Topic    string   `json:"topic"`
	Title    string   `json:"title"`
	Message  string   `json:"message"`
	Priority int      `json:"priority"`
	Tags     []string `json:"tags"`
	Click    string   `json:"click,omitempty"`
}

func (t *notifier) payload(n *notify.Notification) payload {
	p := payload{Topic: t.cfg.Topic, Title: n.Title(t.cfg.Title, maxTitle), Message: n.Text(maxText, notify.Plain), Priority: 3,
		Tags: []string{"white_check_mark"}, Click: n.ExternalURL}
	if n.State() == notify.Firing {
		p.Priority = map[string]int{"critical": 5, "error": 4, "warning": 3, "info": 2}[n.Severity()]
		p.Tags = []string{"rotating_light"}
	}
	return p
}

// Notify implements notify.Notifier.
func (t *notifier) Notify(ctx context.Context, n *notify.Notification) error {
	token, err := notify.ReadSecret("token", t.cfg.Token, t.cfg.TokenFile)
	if err != nil {
		return err
	}
	body, err := notify.JSON(t.payload(n))
	if err != nil {
		return err
	}
	header := map[string]string{}
	if token.Reveal() != "" {
		header["Authorization"] = "Bearer " + token.Reveal()
	}
	_, err = t.client.Do(ctx, notify.Request{URL: t.cfg.URL, Header: header, Body: body, Secrets: []notify.Secret{token}})
	return err
}
