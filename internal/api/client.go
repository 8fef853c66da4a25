package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Client speaks to the REST interface. Safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client

	timeout time.Duration // for the message
}

// ClientConfig says where a server is and who asks.
type ClientConfig struct {
	// Server is the base URL, such as https://sentinel.example:7480.
	Server string
	// CAFile holds the authorities that may vouch for it, in PEM; empty means those
	// of the system.
	CAFile string
	Token  string
	// Timeout bounds one request and its answer [30s].
	Timeout time.Duration
}

// NewClient returns a client. The token is never sent in clear, nor to any other
// host than the server: redirects are not followed. The error is Invalid where the
// configuration cannot be right, NotFound where the CAFile is missing.
func NewClient(cfg ClientConfig) (*Client, error) {
	u, err := url.Parse(cfg.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, sentinel.Errorf(sentinel.Invalid, "server: want a URL such as https://sentinel.example:7480, without user, password or query")
	}
	t := &tls.Config{MinVersion: tls.VersionTLS13}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, sentinel.Errorf(sentinel.NotFound, "ca_file: %w; it is the authority of the server's certificate, in PEM", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, sentinel.Errorf(sentinel.Invalid, "ca_file: %s holds no certificate in PEM form", cfg.CAFile)
		}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	return &Client{
		base: strings.TrimSuffix(cfg.Server, "/"), token: cfg.Token, timeout: cfg.Timeout,
		http: &http.Client{
			Timeout:       cfg.Timeout,
			Transport:     &http.Transport{TLSClientConfig: t, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// unreachable says why there was no answer, and what to do about it.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
	var u *url.Error
	if errors.As(err, &u) && u.Timeout() {
		return sentinel.Errorf(sentinel.Unavailable, "server %s did not answer within %s", c.base, c.timeout)
	}
	if u != nil {
		err = u.Err
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return sentinel.Errorf(sentinel.Invalid, "server %s cannot prove who it is: %w; ca_file must name the authority that made its certificate, and server a name in it", c.base, cert.Err)
	}
	return sentinel.Errorf(sentinel.Unavailable, "server %s does not answer: %w; is sentinel-server running there? (its key server.api says where it listens)", c.base, err)
}

// call sends a request and decodes the answer into out. A problem comes back as
// an error with the code that caused it.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	return c.callIf(ctx, "", method, path, query, in, out)
}

// callIf is call under the condition that the thing still is what tag names.
func (c *Client) callIf(ctx context.Context, tag, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	target := c.base + "/api/v1" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("Accept", "application/json")
	if tag != "" {
		req.Header.Set("If-Match", tag)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return problemError(resp)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 256<<20)).Decode(out); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

func problemError(resp *http.Response) error {
	var p huma.ErrorModel
	text := resp.Status
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p) == nil && p.Detail != "" {
		text = p.Detail
		for _, d := range p.Errors {
			text += fmt.Sprintf("; %s: %s", d.Location, d.Message)
		}
	}
	code := sentinel.Internal
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		code = sentinel.Invalid
	case http.StatusUnauthorized:
		code = sentinel.Unauthenticated
	case http.StatusForbidden:
		code = sentinel.Forbidden
	case http.StatusNotFound:
		code = sentinel.NotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		code = sentinel.Conflict
	case http.StatusTooManyRequests:
		code = sentinel.ResourceExhausted
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		code = sentinel.Unavailable
	}
	return sentinel.Errorf(code, "%s", text)
}

// setTimes asks for what was between two times; zero ones bound nothing.
func setTimes(q url.Values, from, to time.Time) {
	for key, t := range map[string]time.Time{"from": from, "to": to} {
		if !t.IsZero() {
			q.Set(key, t.UTC().Format(time.RFC3339Nano))
		}
	}
}
