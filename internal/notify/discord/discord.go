// Package discord posts messages to a webhook of Discord.
package discord

import (
	"context"
	"strings"

	"github.com/sentinelgo/sentinel/internal/notify"
)

// Discord takes titles of 256 and descriptions of 4096 characters.
const (
	maxTitle = 250
	maxText  = 4000
)

// Config is one channel of Discord.
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

func (d *notifier) payload(n *notify.Notification) payload {
	color := 0x2eb886
	if n.State() == notify.Firing {
		color = 0xa30200
	}
	return payload{Embeds: []embed{{Title: n.Title(d.cfg.Title, maxTitle), Description: n.Text(maxText, escape), URL: n.ExternalURL, Color: color}},
		AllowedMentions: mentions{Parse: []string{}}}
}

// Notify implements notify.Notifier.
func (d *notifier) Notify(ctx context.Context, n *notify.Notification) error {
	url, err := notify.ReadSecret("url", d.cfg.URL, d.cfg.URLFile)
	if err != nil {
		return err
	}
	body, err := notify.JSON(d.payload(n))
	if err != nil {
		return err
	}
	_, err = d.client.Do(ctx, notify.Request{URL: url.Reveal(), Body: body, Secrets: []notify.Secret{url}})
	return err
}
