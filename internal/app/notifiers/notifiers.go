// Package notifiers reads the notification file and makes what it names: the routing
// and the channels of every receiver. It holds the list of kinds.
package notifiers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/notify/discord"
	"github.com/sentinelgo/sentinel/internal/notify/email"
	"github.com/sentinelgo/sentinel/internal/notify/gotify"
	"github.com/sentinelgo/sentinel/internal/notify/mattermost"
	"github.com/sentinelgo/sentinel/internal/notify/msteams"
	"github.com/sentinelgo/sentinel/internal/notify/ntfy"
	"github.com/sentinelgo/sentinel/internal/notify/opsgenie"
	"github.com/sentinelgo/sentinel/internal/notify/pagerduty"
	"github.com/sentinelgo/sentinel/internal/notify/pushover"
	"github.com/sentinelgo/sentinel/internal/notify/slack"
	"github.com/sentinelgo/sentinel/internal/notify/telegram"
	"github.com/sentinelgo/sentinel/internal/notify/watchdog"
	"github.com/sentinelgo/sentinel/internal/notify/webhook"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// File is the notification file.
type File struct {
	notify.Config `yaml:",inline"`
	Receivers     []Receiver        `yaml:"receivers"`
	Watchdogs     []watchdog.Config `yaml:"watchdogs"`
}

// Receiver is a name for channels of any kind. One without channels tells nobody.
type Receiver struct {
	Name       string              `yaml:"name"`
	Webhook    []webhook.Config    `yaml:"webhook"`
	Email      []email.Config      `yaml:"email"`
	Slack      []slack.Config      `yaml:"slack"`
	Discord    []discord.Config    `yaml:"discord"`
	MSTeams    []msteams.Config    `yaml:"msteams"`
	Telegram   []telegram.Config   `yaml:"telegram"`
	PagerDuty  []pagerduty.Config  `yaml:"pagerduty"`
	Opsgenie   []opsgenie.Config   `yaml:"opsgenie"`
	Ntfy       []ntfy.Config       `yaml:"ntfy"`
	Gotify     []gotify.Config     `yaml:"gotify"`
	Pushover   []pushover.Config   `yaml:"pushover"`
	Mattermost []mattermost.Config `yaml:"mattermost"`
}

// channels makes the receiver's channels, in the order of the list.
func (r Receiver) channels() ([]notify.Channel, error) {
	var out []notify.Channel
	err := errors.Join(
		each(&out, r.Name, "webhook", r.Webhook, webhook.New, func(c webhook.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "email", r.Email, email.New, func(c email.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "slack", r.Slack, slack.New, func(c slack.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "discord", r.Discord, discord.New, func(c discord.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "msteams", r.MSTeams, msteams.New, func(c msteams.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "telegram", r.Telegram, telegram.New, func(c telegram.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "pagerduty", r.PagerDuty, pagerduty.New, func(c pagerduty.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "opsgenie", r.Opsgenie, opsgenie.New, func(c opsgenie.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "ntfy", r.Ntfy, ntfy.New, func(c ntfy.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "gotify", r.Gotify, gotify.New, func(c gotify.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "pushover", r.Pushover, pushover.New, func(c pushover.Config) notify.ChannelConfig { return c.ChannelConfig }),
		each(&out, r.Name, "mattermost", r.Mattermost, mattermost.New, func(c mattermost.Config) notify.ChannelConfig { return c.ChannelConfig }),
	)
	return out, err
}

func each[C any](out *[]notify.Channel, receiver, kind string, list []C, make func(C) (notify.Notifier, error), of func(C) notify.ChannelConfig) error {
	for i, c := range list {
		n, err := make(c)
		if err != nil {
			return fmt.Errorf("receiver %s, %s[%d]: %w", receiver, kind, i, err)
		}
		*out = append(*out, notify.Channel{ID: fmt.Sprintf("%s/%s/%d", receiver, kind, i), Kind: kind, Notifier: n, ChannelConfig: of(c)})
	}
	return nil
}

// Validate says which key is wrong and what is allowed.
func (f *File) Validate() error {
	seen := map[string]bool{}
	for i, r := range f.Receivers {
		switch {
		case r.Name == "" || len(r.Name) > 100 || strings.ContainsAny(r.Name, "\r\n\x00"):
			return sentinel.Errorf(sentinel.Invalid, "receivers[%d].name: want 1 to 100 characters on a line", i)
		case seen[r.Name]:
			return sentinel.Errorf(sentinel.Invalid, "receivers[%d].name: %q stands there twice", i, r.Name)
		}
		seen[r.Name] = true
	}
	_, err := f.Compile(f.names())
	return err
}

func (f *File) names() []string {
	var names []string
	for _, r := range f.Receivers {
		names = append(names, r.Name)
	}
	return names
}

// Setup is what a dispatcher needs of the file.
type Setup struct {
	Routing   *notify.Routing
	Receivers map[string][]notify.Channel

	names     []string
	watchdogs []watchdog.Config
}

// Names returns the receivers' names in the order of the file.
func (s *Setup) Names() []string { return s.names }

// Parse reads a notification file. The name stands for it in errors, which are Invalid
// and name the line and the key.
func Parse(name string, text []byte) (*Setup, error) {
	var f File
	if err := config.Decode(name, text, &f); err != nil {
		return nil, err
	}
	routing, err := f.Compile(f.names())
	if err != nil {
		return nil, err
	}
	s := &Setup{Routing: routing, Receivers: map[string][]notify.Channel{}, names: f.names(), watchdogs: f.Watchdogs}
	for _, r := range f.Receivers {
		if s.Receivers[r.Name], err = r.channels(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Watchdogs returns the dead man's switches of the file; each is an activity. check
// returns nil where the pipeline lives.
func (s *Setup) Watchdogs(check func(context.Context) error, log *slog.Logger) ([]*watchdog.Watchdog, error) {
	var out []*watchdog.Watchdog
	for i, c := range s.watchdogs {
		w, err := watchdog.New(c, check, log)
		if err != nil {
			return nil, fmt.Errorf("watchdogs[%d]: %w", i, err)
		}
		out = append(out, w)
	}
	return out, nil
}
