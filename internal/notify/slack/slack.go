// Package slack posts messages to a Slack incoming webhook.
package slack

import (
	"context"
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// Slack's limits for a text of a section and of a header are 3000 and 150 characters.
const (
	maxText  = 2900
	maxTitle = 140
)

// Config is one channel of Slack.
type Config struct {
	notify.HTTPChannel `yaml:",inline"`
	// URL is the incoming webhook's.
	URL     notify.Secret `yaml:"url"`
	URLFile string        `yaml:"url_file"`
}

// Validate says which key is wrong and what is allowed.
func (c Config) Validate() error {
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

type text struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	Emoji *bool  `json:"emoji,omitempty"`
}

type block struct {
	Type string `json:"type"`
	Text text   `json:"text"`
}

type attachment struct {
	Color  string  `json:"color"`
	Blocks []block `json:"blocks"`
}

type payload struct {
	Text        string       `json:"text"` // what stands in push notifications
	UnfurlLinks bool         `json:"unfurl_links"`
	Attachments []attachment `json:"attachments"`
}

// Escape takes Slack's control characters out of a text, so that no mention and no link
// comes from a label; see https://docs.slack.dev/messaging/formatting-message-text.
func Escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (s *notifier) payload(n *notify.Notification) payload {
	color := "#2eb886"
	if n.State() == notify.Firing {
		color = "#a30200"
		if sev := n.Severity(); sev == "warning" || sev == "info" {
			color = "#daa038"
		}
	}
	title, no := n.Title(s.cfg.Title, maxTitle), false
	return payload{Text: Escape(title), Attachments: []attachment{{Color: color, Blocks: []block{
		{Type: "header", Text: text{Type: "plain_text", Text: title, Emoji: &no}},
		{Type: "section", Text: text{Type: "mrkdwn", Text: n.Text(maxText, Escape)}},
	}}}}
}

// Notify implements notify.Notifier.
func (s *notifier) Notify(ctx context.Context, n *notify.Notification) error {
	url, err := notify.ReadSecret("url", s.cfg.URL, s.cfg.URLFile)
	if err != nil {
		return err
	}
	body, err := notify.JSON(s.payload(n))
	if err != nil {
		return err
	}
	_, err = s.client.Do(ctx, notify.Request{URL: url.Reveal(), Body: body, Secrets: []notify.Secret{url}})
	return err
}
