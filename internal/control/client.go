package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Client asks the agent behind one socket. Safe for concurrent use.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client for the socket at path. It connects when it is used.
func NewClient(path string) *Client {
	var d net.Dialer
	return &Client{path: path, http: http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
	}}}
}

// Status asks how the agent stands.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.ask(ctx, http.MethodGet, "/v1/status", &s)
}

// Flush asks the agent to send what it has, and waits for at most d until that is
// settled.
func (c *Client) Flush(ctx context.Context, d time.Duration) (f Flush, err error) {
	return f, c.ask(ctx, http.MethodPost, "/v1/flush?timeout="+url.QueryEscape(d.String()), &f)
}

// Reload asks the agent to read its configuration again.
func (c *Client) Reload(ctx context.Context) (r Reload, err error) {
	return r, c.ask(ctx, http.MethodPost, "/v1/reload", &r)
}

const maxAnswer = 4 << 20

// ask sends one request. Its errors say what to do: NotFound where no socket is
// there, Forbidden where it is not for this user, Unavailable where nobody answers.
func (c *Client) ask(ctx context.Context, method, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil)
	if err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(ctx, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.explain(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return errorOf(raw)
	}
	if json.Unmarshal(raw, out) != nil {
		return errorOf(raw)
	}
	return nil
}

func (c *Client) explain(ctx context.Context, err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return sentinel.Errorf(sentinel.Forbidden, "%s is not for this user: ask as root, or as the user that the agent runs as", c.path)
	case errors.Is(err, fs.ErrNotExist):
		return sentinel.Errorf(sentinel.NotFound, "no agent listens at %s; --state-dir or --socket says where it is, and it may not be running", c.path)
	case ctx.Err() != nil:
		return sentinel.Errorf(sentinel.Unavailable, "the agent at %s does not answer in time", c.path)
	case errors.As(err, &op) && op.Op == "dial":
		if _, serr := os.Stat(c.path); errors.Is(serr, fs.ErrPermission) {
			return sentinel.Errorf(sentinel.Forbidden, "%s is not for this user: ask as root, or as the user that the agent runs as", c.path)
		}
		return sentinel.Errorf(sentinel.Unavailable, "the agent that listened at %s is not running any more", c.path)
	}
	return sentinel.Errorf(sentinel.Unavailable, "ask the agent at %s: %w", c.path, err)
}
