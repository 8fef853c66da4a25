// Package gotify sends messages to a server of Gotify.
package gotify

import (
	"context"
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
)

const (
	maxTitle = 250
	maxText  = 8000
)

// Config is one application of Gotify.
type Config struct {
	notify.HTTPChannel `yaml:",inline"`
	// URL is the server's.
	URL string `yaml:"url"`
	// Token is the application's.
	Token     notify.Secret `yaml:"token"`
	TokenFile string        `yaml:"token_file"`
}

// Validate says which key is wrong and what is allowed.
func (c *Config) Validate() error {
	if err := notify.CheckURL("url", c.URL); err != nil {
		return err
	}
	return notify.CheckSecret("token", c.Token, c.TokenFile, true)
}

// New returns the notifier of a channel.
func New(cfg Config) (notify.Notifier, error) { return notify.NewHTTP(cfg.Transport, cfg.send) }

type payload struct {
	Title    string         `json:"title"`
	Message  string         `json:"message"`
	Priority int            `json:"priority"`
	Extras   map[string]any `json:"extras"`
}

func (c *Config) payload(n *notify.Notification) payload {
	p := payload{Title: n.Title(c.Title, maxTitle), Message: n.Text(maxText, notify.Plain), Priority: 3,
		Extras: map[string]any{"client::display": map[string]string{"contentType": "text/plain"}}}
	if n.State() == notify.Firing {
		p.Priority = map[string]int{"critical": 10, "error": 8, "warning": 5, "info": 2}[n.Severity()]
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
	_, err = client.Do(ctx, notify.Request{URL: strings.TrimSuffix(c.URL, "/") + "/message", Body: body,
		Header: map[string]string{"X-Gotify-Key": token.Reveal()}, Secrets: []notify.Secret{token}})
	return err
}
