// Package slack posts messages to a Slack incoming webhook.
package slack

import (
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// Slack's limits for a text of a section and of a header are 3000 and 150 characters.
const (
	maxText  = 2900
	maxTitle = 140
)

// Config is one channel of Slack.
type Config = notify.URLChannel

// New returns the notifier of a channel.
func New(cfg Config) (notify.Notifier, error) {
	return cfg.Poster(func(n *notify.Notification) any { return makePayload(n, cfg.Title) })
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

func makePayload(n *notify.Notification, title string) payload {
	color := "#2eb886"
	if n.State() == notify.Firing {
		color = "#a30200"
		if sev := n.Severity(); sev == "warning" || sev == "info" {
			color = "#daa038"
		}
	}
	title, no := n.Title(title, maxTitle), false
	return payload{Text: Escape(title), Attachments: []attachment{{Color: color, Blocks: []block{
		{Type: "header", Text: text{Type: "plain_text", Text: title, Emoji: &no}},
		{Type: "section", Text: text{Type: "mrkdwn", Text: n.Text(maxText, Escape)}},
	}}}}
}
