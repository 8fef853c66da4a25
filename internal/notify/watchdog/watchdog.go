// Package watchdog is a dead man's switch: it pings a service such as healthchecks.io
// as long as the pipeline lives, so that somebody hears of it when nothing is heard.
package watchdog

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Config is one switch.
type Config struct {
	notify.Transport `yaml:",inline"`
	// URL is fetched with GET.
	URL     notify.Secret `yaml:"url"`
	URLFile string        `yaml:"url_file"`
	// Interval is how often; the service has to be patient for longer than that.
	Interval time.Duration `yaml:"interval"`
	Timeout  time.Duration `yaml:"timeout"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() { c.Interval, c.Timeout = time.Minute, 10*time.Second }

// Validate says which key is wrong and what is allowed.
func (c *Config) Validate() error {
	switch {
	case c.Interval < time.Second:
		return sentinel.Errorf(sentinel.Invalid, "interval: %s, want at least 1s", c.Interval)
	case c.Timeout < 100*time.Millisecond || c.Timeout > c.Interval:
		return sentinel.Errorf(sentinel.Invalid, "timeout: %s, want 100ms up to the interval", c.Timeout)
	}
	return notify.CheckSecretURL("url", c.URL, c.URLFile)
}

// Watchdog pings while all is well. It is also a notify.Notifier that pings, so that
// it can be tested like the others.
type Watchdog struct {
	cfg    Config
	client *notify.Client
	check  func(context.Context) error
	log    *slog.Logger
}

// New returns a switch; see Run. check returns nil where the pipeline lives, within ctx;
// nothing is sent otherwise.
func New(cfg Config, check func(context.Context) error, log *slog.Logger) (*Watchdog, error) {
	client, err := notify.NewClient(cfg.Transport)
	if err != nil {
		return nil, err
	}
	return &Watchdog{cfg, client, check, log}, nil
}

// Run pings at once and then in each interval until ctx ends, which is no error.
func (w *Watchdog) Run(ctx context.Context) error {
	defer w.client.Close()
	t := time.NewTicker(w.cfg.Interval)
	defer t.Stop()
	for {
		w.beat(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (w *Watchdog) beat(ctx context.Context) {
	bctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	if err := w.check(bctx); err != nil {
		if ctx.Err() == nil {
			w.log.Error("the alerting pipeline does not live; the watchdog keeps silent", "err", err)
		}
		return
	}
	if err := w.Notify(bctx, nil); err != nil && ctx.Err() == nil {
		w.log.Warn("the watchdog's ping failed", "err", err)
	}
}

// Notify pings, whatever the message.
func (w *Watchdog) Notify(ctx context.Context, _ *notify.Notification) error {
	url, err := notify.ReadSecret("url", w.cfg.URL, w.cfg.URLFile)
	if err != nil {
		return err
	}
	_, err = w.client.Do(ctx, notify.Request{Method: http.MethodGet, URL: url.Reveal(), Secrets: []notify.Secret{url}})
	return err
}
