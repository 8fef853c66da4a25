// Package telegram sends messages as a bot of Telegram.
package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Telegram takes messages of 4096 characters.
const (
	maxTitle = 250
	maxText  = 3500
)

// Config is one chat.
type Config struct {
	notify.HTTPChannel `yaml:",inline"`
	// Token is the bot's.
	Token     notify.Secret `yaml:"token"`
	TokenFile string        `yaml:"token_file"`
	// ChatID is a number, or a name such as @channel.
	ChatID string `yaml:"chat_id"`
	// ThreadID is a topic of the chat; 0 for none.
	ThreadID int `yaml:"thread_id"`
	// URL is the API's.
	URL string `yaml:"url"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.HTTPChannel.SetDefaults()
	c.URL = "https://api.telegram.org"
}

// Validate says which key is wrong and what is allowed.
func (c *Config) Validate() error {
	if c.ChatID == "" {
		return sentinel.Errorf(sentinel.Invalid, "chat_id: is missing")
	}
	if err := notify.CheckURL("url", c.URL); err != nil {
		return err
	}
	return notify.CheckSecret("token", c.Token, c.TokenFile, true)
}

// New returns the notifier of a channel.
func New(cfg Config) (notify.Notifier, error) { return notify.NewHTTP(cfg.Transport, cfg.send) }

type payload struct {
	ChatID    string  `json:"chat_id"`
	ThreadID  int     `json:"message_thread_id,omitempty"`
	Text      string  `json:"text"`
	ParseMode string  `json:"parse_mode"`
	Preview   preview `json:"link_preview_options"`
}

type preview struct {
	Disabled bool `json:"is_disabled"`
}

func escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (c *Config) payload(n *notify.Notification) payload {
	return payload{ChatID: c.ChatID, ThreadID: c.ThreadID, ParseMode: "HTML", Preview: preview{true},
		Text: "<b>" + escape(n.Title(c.Title, maxTitle)) + "</b>\n" + n.Text(maxText, escape)}
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
	answer, err := client.Do(ctx, notify.Request{URL: strings.TrimSuffix(c.URL, "/") + "/bot" + url.PathEscape(token.Reveal()) + "/sendMessage",
		Body: body, Secrets: []notify.Secret{token}})
	var f *notify.Failure
	if errors.As(err, &f) && f.After == 0 { // Telegram says in the body how long to wait
		var said struct {
			Parameters struct {
				RetryAfter int `json:"retry_after"`
			} `json:"parameters"`
		}
		if json.Unmarshal(answer, &said) == nil && said.Parameters.RetryAfter > 0 {
			f.After = time.Duration(min(said.Parameters.RetryAfter, 86400)) * time.Second
		}
	}
	return err
}
