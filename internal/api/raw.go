package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Raw asks for any path below /api/v1, with a body in JSON or none, and returns the
// answer's body. A problem is an error, as with the other methods.
func (c *Client) Raw(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	path = "/" + strings.TrimPrefix(strings.TrimPrefix(path, "/api/v1"), "/")
	req, err := http.NewRequestWithContext(ctx, strings.ToUpper(method), c.base+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "method or path is not valid")
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return nil, problemError(resp)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return raw, nil
}
