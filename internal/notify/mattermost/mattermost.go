// Package mattermost posts messages to an incoming webhook of Mattermost.
package mattermost

import (
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// Mattermost takes messages of 16383 characters.
const (
	maxTitle = 250
	maxText  = 15000
)

// Config is one channel of Mattermost.
type Config = notify.URLChannel

// New returns the notifier of a channel.
func New(cfg Config) (notify.Notifier, error) {
	return cfg.Poster(func(n *notify.Notification) any { return makePayload(n, cfg.Title) })
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

func makePayload(n *notify.Notification, title string) payload {
	color := "#2eb886"
	if n.State() == notify.Firing {
		color = "#a30200"
	}
	title = n.Title(title, maxTitle)
	return payload{[]attachment{{Fallback: escape(title), Color: color, Title: escape(title), TitleLink: n.ExternalURL, Text: n.Text(maxText, escape)}}}
}
