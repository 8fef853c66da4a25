// Package mattermost posts messages to an incoming webhook of Mattermost.
package mattermost

import (
	"context"
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// Mattermost takes messages of 16383 characters.
const (
	maxTitle = 250
	maxText  = 15000
)

// Config is one channel of Mattermost.
type Config struct {
	notify.HTTPChannel `yaml:",inline"`
	URL                notify.Secret `yaml:"url"`
	URLFile            string        `yaml:"url_file"`
}

// Validate says which key is wrong and what is allowed.
func (c *Config) Validate() error {
	return notify.CheckSecretURL("url", c.URL, c.URLFile)
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
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	Fallback  string `json:"fallback"`
	Color     string `json:"color"`
	Title     string `json:"title"`
	TitleLink string `json:"title_link,omitempty"`
	Text      string `json:"text"`
}

// escape keeps a text from meaning anything: no markup, no link, no mention.
func escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "~", `\~`, "`", "\\`", "|", `\|`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`, "#", `\#`, "!", `\!`, "@", "@\u200b")

func (m *notifier) payload(n *notify.Notification) payload {
	color := "#2eb886"
	if n.State() == notify.Firing {
		color = "#a30200"
	}
	title := n.Title(m.cfg.Title, maxTitle)
	return payload{[]attachment{{Fallback: escape(title), Color: color, Title: escape(title), TitleLink: n.ExternalURL, Text: n.Text(maxText, escape)}}}
}

// Notify implements notify.Notifier.
func (m *notifier) Notify(ctx context.Context, n *notify.Notification) error {
	url, err := notify.ReadSecret("url", m.cfg.URL, m.cfg.URLFile)
	if err != nil {
		return err
	}
	body, err := notify.JSON(m.payload(n))
	if err != nil {
		return err
	}
	_, err = m.client.Do(ctx, notify.Request{URL: url.Reveal(), Body: body, Secrets: []notify.Secret{url}})
	return err
}
