// Package pushover sends messages to people or groups of Pushover.
package pushover

import (
	"context"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// Pushover takes titles of 250 and messages of 1024 characters.
const (
	maxTitle = 250
	maxText  = 1024
)

// Config is one user or group.
type Config struct {
	notify.HTTPChannel `yaml:",inline"`
	// Token is the application's.
	Token     notify.Secret `yaml:"token"`
	TokenFile string        `yaml:"token_file"`
	// User is the key of a user or a group.
	User     notify.Secret `yaml:"user"`
	UserFile string        `yaml:"user_file"`
	// URL is the API's.
	URL string `yaml:"url"`
	// Emergency makes critical alerts ring until somebody confirms them there.
	Emergency bool `yaml:"emergency"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.HTTPChannel.SetDefaults()
	c.URL = "https://api.pushover.net/1/messages.json"
}

// Validate says which key is wrong and what is allowed.
func (c *Config) Validate() error {
	if err := notify.CheckURL("url", c.URL); err != nil {
		return err
	}
	if err := notify.CheckSecret("user", c.User, c.UserFile, true); err != nil {
		return err
	}
	return notify.CheckSecret("token", c.Token, c.TokenFile, true)
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
	Token    string `json:"token"`
	User     string `json:"user"`
	Title    string `json:"title"`
	Message  string `json:"message"`
	Priority int    `json:"priority"`
	Retry    int    `json:"retry,omitempty"`
	Expire   int    `json:"expire,omitempty"`
	URL      string `json:"url,omitempty"`
}

func (p *notifier) payload(n *notify.Notification) payload {
	out := payload{Title: notify.Runes(n.Title(p.cfg.Title, 4*maxTitle), maxTitle), Message: n.Text(maxText, notify.Plain), URL: n.ExternalURL}
	if out.Message == "" {
		out.Message = out.Title // an empty one is refused
	}
	if n.State() == notify.Firing {
		out.Priority = map[string]int{"critical": 1, "error": 1, "warning": 0, "info": -1}[n.Severity()]
		if p.cfg.Emergency && n.Severity() == "critical" {
			out.Priority, out.Retry, out.Expire = 2, 60, 3600
		}
	}
	return out
}

// Notify implements notify.Notifier.
func (p *notifier) Notify(ctx context.Context, n *notify.Notification) error {
	token, err := notify.ReadSecret("token", p.cfg.Token, p.cfg.TokenFile)
	if err != nil {
		return err
	}
	user, err := notify.ReadSecret("user", p.cfg.User, p.cfg.UserFile)
	if err != nil {
		return err
	}
	out := p.payload(n)
	out.Token, out.User = token.Reveal(), user.Reveal()
	body, err := notify.JSON(out)
	if err != nil {
		return err
	}
	_, err = p.client.Do(ctx, notify.Request{URL: p.cfg.URL, Body: body, Secrets: []notify.Secret{token, user}})
	return err
}
