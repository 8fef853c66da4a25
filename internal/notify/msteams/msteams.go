// Package msteams posts Adaptive Cards to a webhook of Microsoft Teams' workflows ("When
// a Teams webhook request is received").
package msteams

import (
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// Teams takes messages of 28 KB.
const (
	maxTitle = 250
	maxText  = 12000
)

// Config is one channel of Teams.
type Config = notify.URLChannel

// New returns the notifier of a channel.
func New(cfg Config) (notify.Notifier, error) {
	return cfg.Poster(func(n *notify.Notification) any { return makePayload(n, cfg.Title) })
}

type payload struct {
	Type        string       `json:"type"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	ContentType string  `json:"contentType"`
	ContentURL  *string `json:"contentUrl"`
	Content     card    `json:"content"`
}

type card struct {
	Schema  string      `json:"$schema"`
	Type    string      `json:"type"`
	Version string      `json:"version"`
	Body    []textBlock `json:"body"`
	Actions []action    `json:"actions,omitempty"`
}

type textBlock struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Wrap   bool   `json:"wrap"`
	Size   string `json:"size,omitempty"`
	Weight string `json:"weight,omitempty"`
	Color  string `json:"color,omitempty"`
}

type action struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

// escape keeps a text from being read as Markdown; a line stays a line.
func escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "#", `\#`, "<", "&lt;", ">", "&gt;")

func makePayload(n *notify.Notification, title string) payload {
	color := "Good"
	if n.State() == notify.Firing {
		color = "Attention"
	}
	c := card{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4", Body: []textBlock{
		{Type: "TextBlock", Text: escape(n.Title(title, maxTitle)), Wrap: true, Size: "Large", Weight: "Bolder", Color: color},
		{Type: "TextBlock", Text: strings.ReplaceAll(n.Text(maxText, escape), "\n", "\n\n"), Wrap: true}}}
	if n.ExternalURL != "" {
		c.Actions = []action{{"Action.OpenUrl", "Open Sentinel", n.ExternalURL}}
	}
	return payload{"message", []attachment{{"application/vnd.microsoft.card.adaptive", nil, c}}}
}
