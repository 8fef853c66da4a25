package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	maxAnswer = 64 << 10
	maxQuote  = 200 // of an answer in an error
)

// Transport is how a channel reaches its service.
type Transport struct {
	// AllowPrivate names networks that are not public and may be dialled nevertheless.
	AllowPrivate []string `yaml:"allow_private"`
	// CAFile holds the certificates to trust in place of the system's.
	CAFile string `yaml:"ca_file"`
}

// Validate says which key is wrong and what is allowed.
func (t Transport) Validate() error {
	for i, p := range t.AllowPrivate {
		if _, err := NewGuard([]string{p}); err != nil {
			return sentinel.Errorf(sentinel.Invalid, "allow_private[%d]: %w", i, err)
		}
	}
	return nil
}

// Dialer returns a dialer that refuses what the transport does not allow.
func (t Transport) Dialer() (*net.Dialer, error) {
	g, err := NewGuard(t.AllowPrivate)
	if err != nil {
		return nil, err
	}
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: g.Control}, nil
}

// TLS returns the settings for TLS: 1.2 or newer, and always verified.
func (t Transport) TLS() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile == "" {
		return cfg, nil
	}
	raw, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "ca_file: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(raw) {
		return nil, sentinel.Errorf(sentinel.Invalid, "ca_file: %s holds no certificate", t.CAFile)
	}
	return cfg, nil
}

// Client sends HTTP requests to one service. It follows no redirect to another host,
// takes no proxy from the environment, and reads little of an answer. Safe for
// concurrent use.
type Client struct{ http *http.Client }

// NewClient returns a client; the error names the transport's key.
func NewClient(t Transport) (*Client, error) {
	dialer, err := t.Dialer()
	if err != nil {
		return nil, err
	}
	cfg, err := t.TLS()
	if err != nil {
		return nil, err
	}
	return newClient(dialer, cfg), nil
}

func newClient(dialer *net.Dialer, cfg *tls.Config) *Client {
	return &Client{&http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: cfg, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, MaxIdleConns: 4, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			first := via[0].URL
			if len(via) > 3 || req.URL.Host != first.Host || req.URL.Scheme != first.Scheme || req.Method != via[0].Method {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Request is one request. Nothing of URL but the host, and nothing of Secrets, ever
// stands in an error.
type Request struct {
	Method      string // POST where it is empty
	URL         string
	ContentType string // application/json where it is empty
	Header      map[string]string
	Body        []byte
	Secrets     []Secret
	// Retry names status codes that are worth another try beside 408, 429 and 5xx.
	Retry []int
}

// JSON returns v as the body of a request.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, Permanent(fmt.Errorf("encode message: %w", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Do sends a request and returns the beginning of the answer. Every status but 2xx is
// a Failure: permanent for 3xx and 4xx except 408 and 429, and it carries Retry-After.
func (c *Client) Do(ctx context.Context, r Request) ([]byte, error) {
	u, err := url.Parse(r.URL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, Permanent(sentinel.Errorf(sentinel.Invalid, "the URL is not one of http or https"))
	}
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, Permanent(sentinel.Errorf(sentinel.Invalid, "the request to %s cannot be made", u.Host))
	}
	req.Header.Set("User-Agent", "Sentinel")
	if len(r.Body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	for k, v := range r.Header {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var f *Failure // the guard's
		permanent := errors.As(err, &f) && f.Permanent
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // without the URL
		}
		return nil, &Failure{Err: sentinel.Errorf(sentinel.Unavailable, "%s: %s", u.Host, redact(err.Error(), r)), Permanent: permanent}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 == 2 {
		return body, nil // taken, even if the answer broke off
	}
	f := &Failure{After: retryAfter(resp.Header.Get("Retry-After"), time.Now()), Permanent: resp.StatusCode < 500}
	if resp.StatusCode == http.StatusRequestTimeout || resp.StatusCode == http.StatusTooManyRequests {
		f.Permanent = false
	}
	for _, code := range r.Retry {
		f.Permanent = f.Permanent && code != resp.StatusCode
	}
	f.Err = sentinel.Errorf(sentinel.Unavailable, "%s answered %d %s", u.Host, resp.StatusCode, quote(body, r))
	if err != nil {
		f.Err = sentinel.Errorf(sentinel.Unavailable, "%s answered %d, and no more", u.Host, resp.StatusCode)
	}
	return body, f
}

// retryAfter reads seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return time.Duration(min(n, 86400)) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil && t.After(now) {
		return min(t.Sub(now), 24*time.Hour)
	}
	return 0
}

// quote shows the beginning of an answer on one line, without secrets.
func quote(body []byte, r Request) string {
	text := redact(Truncate(string(body), maxAnswer), r)
	text = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, text)
	return strconv.Quote(Truncate(strings.TrimSpace(text), maxQuote))
}

// redact removes the secrets of a request from a text, as they are and as they stand
// in URLs.
func redact(text string, r Request) string {
	var forms []string
	for _, s := range r.Secrets {
		forms = append(forms, s.Reveal(), url.QueryEscape(s.Reveal()), url.PathEscape(s.Reveal()))
		if u, err := url.Parse(s.Reveal()); err == nil && u.Host != "" { // the secret is a URL
			forms = append(forms, u.RequestURI(), u.Path)
		}
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) }) // none must hide a part of another
	for _, form := range forms {
		if len(form) >= 4 {
			text = strings.ReplaceAll(text, form, Hidden)
		}
	}
	return text
}

// CheckURL says what is wrong with the URL of a service.
func CheckURL(key, raw string) error {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" {
		return sentinel.Errorf(sentinel.Invalid, "%s: want a URL that begins with https:// or http://", key) // it may hold a secret
	}
	return nil
}

// CheckSecretURL is CheckSecret for a URL that is a secret as a whole.
func CheckSecretURL(key string, value Secret, file string) error {
	if err := CheckSecret(key, value, file, true); err != nil || value.Reveal() == "" {
		return err
	}
	return CheckURL(key, value.Reveal())
}

// HTTPChannel is what every chat or push service over HTTP can be told.
type HTTPChannel struct {
	ChannelConfig `yaml:",inline"`
	Transport     `yaml:",inline"`
	// Title is a custom title; see Expand.
	Title string `yaml:"title"`
}

// SetDefaults implements config.Defaulter.
func (c *HTTPChannel) SetDefaults() { c.ChannelConfig = DefaultChannelConfig() }

// Validate says which key is wrong and what is allowed. What is inline is asked for itself.
func (c *HTTPChannel) Validate() error {
	if len(c.Title) > 1000 {
		return sentinel.Errorf(sentinel.Invalid, "title: is longer than 1000 bytes")
	}
	return nil
}

// URLChannel is a channel whose URL is a secret as a whole, such as an incoming webhook's.
type URLChannel struct {
	HTTPChannel `yaml:",inline"`
	URL         Secret `yaml:"url"`
	URLFile     string `yaml:"url_file"`
}

// Validate says which key is wrong and what is allowed.
func (c *URLChannel) Validate() error { return CheckSecretURL("url", c.URL, c.URLFile) }

// Poster returns a notifier that posts what payload makes of a message, as JSON.
func (c *URLChannel) Poster(payload func(*Notification) any) (Notifier, error) {
	return NewHTTP(c.Transport, func(ctx context.Context, client *Client, n *Notification) error {
		url, err := ReadSecret("url", c.URL, c.URLFile)
		if err != nil {
			return err
		}
		body, err := JSON(payload(n))
		if err != nil {
			return err
		}
		_, err = client.Do(ctx, Request{URL: url.Reveal(), Body: body, Secrets: []Secret{url}})
		return err
	})
}

// NewHTTP returns a notifier whose messages send delivers with requests of a client.
func NewHTTP(t Transport, send func(context.Context, *Client, *Notification) error) (Notifier, error) {
	client, err := NewClient(t)
	if err != nil {
		return nil, err
	}
	return overHTTP{client, send}, nil
}

type overHTTP struct {
	client *Client
	send   func(context.Context, *Client, *Notification) error
}

// Notify implements Notifier.
func (o overHTTP) Notify(ctx context.Context, n *Notification) error { return o.send(ctx, o.client, n) }

// Redact removes secrets from a text.
func Redact(text string, secrets ...Secret) string { return redact(text, Request{Secrets: secrets}) }
