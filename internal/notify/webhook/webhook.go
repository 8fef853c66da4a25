// Package webhook posts messages as JSON in the form of Alertmanager's webhook,
// version 4, signed with HMAC-SHA256. docs/notifications.md tells receivers how to
// check the signature.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// The headers of a request. The signature is made new for every attempt; the ID is the
// message's and stays the same.
const (
	HeaderID        = "X-Sentinel-Id"
	HeaderTimestamp = "X-Sentinel-Timestamp" // Unix seconds
	HeaderSignature = "X-Sentinel-Signature" // "v1=" and hexadecimal digits
)

// Config is one webhook.
type Config struct {
	notify.ChannelConfig `yaml:",inline"`
	notify.Transport     `yaml:",inline"`
	URL                  notify.Secret `yaml:"url"`
	URLFile              string        `yaml:"url_file"`
	// Secret signs the requests; without one they are not signed.
	Secret     notify.Secret `yaml:"secret"`
	SecretFile string        `yaml:"secret_file"`
	// BearerToken is sent as Authorization.
	BearerToken     notify.Secret `yaml:"bearer_token"`
	BearerTokenFile string        `yaml:"bearer_token_file"`
	// MaxAlerts bounds the alerts of one message; 0 means all that fit.
	MaxAlerts int `yaml:"max_alerts"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() { c.ChannelConfig = notify.DefaultChannelConfig() }

// Validate says which key is wrong and what is allowed.
func (c Config) Validate() error {
	if err := notify.CheckSecretURL("url", c.URL, c.URLFile); err != nil {
		return err
	}
	if err := notify.CheckSecret("secret", c.Secret, c.SecretFile, false); err != nil {
		return err
	}
	if c.MaxAlerts < 0 {
		return sentinel.Errorf(sentinel.Invalid, "max_alerts: %d is negative", c.MaxAlerts)
	}
	return notify.CheckSecret("bearer_token", c.BearerToken, c.BearerTokenFile, false)
}

// New returns the notifier of a webhook.
func New(cfg Config) (notify.Notifier, error) { return notify.NewHTTP(cfg.Transport, cfg.send) }

// Payload is Alertmanager's, version 4; see
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
type Payload struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []Alert           `json:"alerts"`
	// Reason and Note are Sentinel's own.
	Reason string `json:"reason"`
	Note   string `json:"note,omitempty"`
}

// Alert is one alert of a Payload.
type Alert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // 0001-01-01T00:00:00Z while it fires
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

func (c *Config) payload(n *notify.Notification) Payload {
	p := Payload{Version: "4", GroupKey: n.GroupKey, TruncatedAlerts: n.Truncated, Status: string(n.State()), Receiver: n.Receiver,
		GroupLabels: filled(n.GroupLabels), CommonLabels: n.CommonLabels(), CommonAnnotations: n.CommonAnnotations(), ExternalURL: n.ExternalURL,
		Alerts: []Alert{}, Reason: string(n.Reason), Note: n.Note}
	for i, a := range n.Alerts {
		if c.MaxAlerts > 0 && i == c.MaxAlerts {
			p.TruncatedAlerts += len(n.Alerts) - i
			break
		}
		out := Alert{Status: string(a.State), Labels: filled(a.Labels), Annotations: map[string]string{}, StartsAt: a.StartsAt, EndsAt: a.EndsAt,
			GeneratorURL: a.Source, Fingerprint: a.Fingerprint}
		for k, v := range a.Annotations {
			out.Annotations[k] = v
		}
		if _, ok := out.Annotations["runbook_url"]; !ok && a.Runbook != "" {
			out.Annotations["runbook_url"] = a.Runbook
		}
		p.Alerts = append(p.Alerts, out)
	}
	return p
}

func filled(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// Sign returns the signature of a request: HMAC-SHA256 over the timestamp, the ID and
// the body with dots between them.
func Sign(secret, timestamp, id string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "." + id + "."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

func (c *Config) send(ctx context.Context, client *notify.Client, n *notify.Notification) error {
	target, err := notify.ReadSecret("url", c.URL, c.URLFile)
	if err != nil {
		return err
	}
	secret, err := notify.ReadSecret("secret", c.Secret, c.SecretFile)
	if err != nil {
		return err
	}
	token, err := notify.ReadSecret("bearer_token", c.BearerToken, c.BearerTokenFile)
	if err != nil {
		return err
	}
	body, err := notify.JSON(c.payload(n))
	if err != nil {
		return err
	}
	header := map[string]string{HeaderID: n.Key, "Idempotency-Key": n.Key, HeaderTimestamp: strconv.FormatInt(time.Now().Unix(), 10)}
	if secret.Reveal() != "" {
		header[HeaderSignature] = Sign(secret.Reveal(), header[HeaderTimestamp], n.Key, body)
	}
	if token.Reveal() != "" {
		header["Authorization"] = "Bearer " + token.Reveal()
	}
	_, err = client.Do(ctx, notify.Request{URL: target.Reveal(), Header: header, Body: body, Secrets: []notify.Secret{target, secret, token}})
	return err
}
