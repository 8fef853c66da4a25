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
	Title    string         `json:"title"`
	Message  string         `json:"message"`
	Priority int            `json:"priority"`
	Extras   map[string]any `json:"extras"`
}

func (g *notifier) payload(n *notify.Notification) payload {
	p := payload{Title: n.Title(g.cfg.Title, maxTitle), Message: n.Text(maxText, notify.Plain), Priority: 3,
		Extras: map[string]any{"client::display": map[string]string{"contentType": "text/plain"}}}
	if n.State() == notify.Firing {
		p.Priority = map[string]int{"critical": 10, "error": 8, "warning": 5, "info": 2}[n.Severity()]
	}
	return p
}

// Notify implements notify.Notifier.
func (g *notifier) Notify(ctx context.Context, n *notify.Notification) error {
	token, err := notify.ReadSecret("token", g.cfg.Token, g.cfg.TokenFile)
	if err != nil {
		return err
	}
	body, err := notify.JSON(g.payload(n))
	if err != nil {
		return err
	}
	_, err = g.client.Do(ctx, notify.Request{URL: strings.TrimSuffix(g.cfg.URL, "/") + "/message", Body: body,
		Header: map[string]string{"X-Gotify-Key": token.Reveal()}, Secrets: []notify.Secret{token}})
	return err
}
