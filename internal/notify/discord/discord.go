// Package discord posts messages to a webhook of Discord.
package discord

import (
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// Discord takes titles of 256 and descriptions of 4096 characters.
const (
	maxTitle = 250
	maxText  = 4000
)

// Config is one channel of Discord.
type Config = notify.URLChannel

// New returns the notifier of a channel.
func New(cfg Config) (notify.Notifier, error) {
	return cfg.Poster(func(n *notify.Notification) any { return makePayload(n, cfg.Title) })
}

type payload struct {
	Embeds          []embed  `json:"embeds"`
	AllowedMentions mentions `json:"allowed_mentions"`
}

type embed struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	URL         string `json:"url,omitempty"`
	Color       int    `json:"color"`
}

// mentions without an entry reach nobody, whatever the text says.
type mentions struct {
	Parse []string `json:"parse"`
}

func escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "~", `\~`, "`", "\\`", "|", `\|`, ">", `\>`, "[", `\[`, "]", `\]`, "#", `\#`, "@", "@\u200b", "<", `\<`)

func makePayload(n *notify.Notification, title string) payload {
	color := 0x2eb886
	if n.State() == notify.Firing {
		color = 0xa30200
	}
	return payload{Embeds: []embed{{Title: n.Title(title, maxTitle), Description: n.Text(maxText, escape), URL: n.ExternalURL, Color: color}},
		AllowedMentions: mentions{Parse: []string{}}}
}
