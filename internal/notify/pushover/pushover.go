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

// New returns the notifier of a channel.
func New(cfg Config) (notify.Notifier, error) { return notify.NewHTTP(cfg.Transport, cfg.send) }

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

func (c *Config) payload(n *notify.Notification) payload {
	out := payload{Title: notify.Runes(n.Title(c.Title, 4*maxTitle), maxTitle), Message: n.Text(maxText, notify.Plain), URL: n.ExternalURL}
	if out.Message == "" {
		out.Message = out.Title // an empty one is refused
	}
	if n.State() == notify.Firing {
		out.Priority = map[string]int{"critical": 1, "error": 1, "warning": 0, "info": -1}[n.Severity()]
		if c.Emergency && n.Severity() == "critical" {
			out.Priority, out.Retry, out.Expire = 2, 60, 3600
		}
	}
	return out
}

func (c *Config) send(ctx context.Context, client *notify.Client, n *notify.Notification) error {
	token, err := notify.ReadSecret("token", c.Token, c.TokenFile)
	if err != nil {
		return err
	}
	user, err := notify.ReadSecret("user", c.User, c.UserFile)
	if err != nil {
		return err
	}
	out := c.payload(n)
	out.Token, out.User = token.Reveal(), user.Reveal()
	body, err := notify.JSON(out)
	if err != nil {
		return err
	}
	_, err = client.Do(ctx, notify.Request{URL: c.URL, Body: body, Secrets: []notify.Secret{token, user}})
	return err
}
