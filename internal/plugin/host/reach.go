package host

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	maxRedirects = 3
	maxHeaders   = 64 << 10
	maxWait      = 30 * time.Second // for one request, within the deadline of the collection
)

var errTooMuch = errors.New("there is more than may be")

// reach has f get something for the plugin, which it can take, and answers with what f
// returns besides in the upper half and the length in the lower. What goes wrong is a
// negative number, and its reason can be taken.
func (u *guest) reach(ctx context.Context, stack []uint64, f func(context.Context) (status int, result []byte, err error)) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	if u.collecting {
		ctx, cancel = context.WithDeadline(ctx, u.deadline)
		defer cancel()
	}
	status, result, err := f(ctx)
	code := int64(failed)
	switch {
	case err == nil:
		u.result = result
		stack[0] = uint64(status)<<32 | uint64(len(result))
		return
	case errors.Is(err, errTooMuch):
		code = tooMuch
	case sentinel.CodeOf(err) == sentinel.Forbidden:
		code = forbidden
	case sentinel.CodeOf(err) == sentinel.Invalid:
		code = badArgument
	}
	u.result = []byte(strings.ToValidUTF8(err.Error(), "?"))
	stack[0] = uint64(code)
}

// text returns an argument as a text, or an Invalid error.
func text(m api.Module, ptr, size uint64) (string, error) {
	raw, ok := bytesAt(m, ptr, size)
	if !ok || len(raw) > maxRequest {
		return "", sentinel.Errorf(sentinel.Invalid, "a text of at most %d bytes is wanted", maxRequest)
	}
	return string(raw), nil
}

// httpGet is http_get(pointer, length of the URL).
func (u *guest) httpGet(ctx context.Context, m api.Module, stack []uint64) {
	where, terr := text(m, stack[0], stack[1])
	u.reach(ctx, stack, func(ctx context.Context) (int, []byte, error) {
		if terr != nil {
			return 0, nil, terr
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
		if err != nil {
			return 0, nil, sentinel.Errorf(sentinel.Invalid, "http_get: this is no URL")
		}
		if err := u.mayAsk(req); err != nil {
			return 0, nil, err
		}
		req.Header.Set("User-Agent", "sentinel-plugin")
		resp, err := u.client.Do(req)
		if err != nil {
			return 0, nil, err
		}
		defer resp.Body.Close()
		body, err := readAll(resp.Body)
		return resp.StatusCode, body, err
	})
}

// mayAsk returns a Forbidden error for a request that was not granted.
func (u *guest) mayAsk(req *http.Request) error {
	port := map[string]string{"http": "80", "https": "443"}[req.URL.Scheme]
	if p := req.URL.Port(); p != "" {
		port = p
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" || !plugin.AllowsHost(u.granted.HTTP, req.URL.Hostname(), port) {
		return sentinel.Errorf(sentinel.Forbidden, "http_get: %.120s was not granted: capabilities.http does not hold it", net.JoinHostPort(req.URL.Hostname(), port))
	}
	return nil
}

// newClient returns a client that dials what the guard lets through and follows
// redirects where a request would be granted.
func (u *guest) newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: u.dialer.DialContext, MaxResponseHeaderBytes: maxHeaders, MaxIdleConns: 4, MaxConnsPerHost: 2,
			IdleConnTimeout: time.Minute, ResponseHeaderTimeout: maxWait,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return sentinel.Errorf(sentinel.Forbidden, "http_get: more than %d redirects", maxRedirects)
			}
			return u.mayAsk(req)
		},
	}
}

// tcpRequest is tcp_request(pointer, length of host:port, pointer, length of what is
// sent). What the other side says until it closes the connection can be taken.
func (u *guest) tcpRequest(ctx context.Context, m api.Module, stack []uint64) {
	where, terr := text(m, stack[0], stack[1])
	what, werr := text(m, stack[2], stack[3])
	u.reach(ctx, stack, func(ctx context.Context) (int, []byte, error) {
		if err := errors.Join(terr, werr); err != nil {
			return 0, nil, sentinel.Errorf(sentinel.Invalid, "tcp_request: %w", err)
		}
		host, port, err := net.SplitHostPort(where)
		if err != nil {
			return 0, nil, sentinel.Errorf(sentinel.Invalid, "tcp_request: want host:port")
		}
		if !plugin.AllowsHost(u.granted.TCP, host, port) {
			return 0, nil, sentinel.Errorf(sentinel.Forbidden, "tcp_request: %.120s was not granted: capabilities.tcp does not hold it", where)
		}
		conn, err := u.dialer.DialContext(ctx, "tcp", where)
		if err != nil {
			return 0, nil, err
		}
		defer conn.Close()
		if deadline, has := ctx.Deadline(); has {
			if err := conn.SetDeadline(deadline); err != nil {
				return 0, nil, err
			}
		}
		if _, err := io.WriteString(conn, what); err != nil {
			return 0, nil, err
		}
		result, err := readAll(conn)
		return 0, result, err
	})
}

// readFile is read_file(pointer, length of the path).
func (u *guest) readFile(ctx context.Context, m api.Module, stack []uint64) {
	path, terr := text(m, stack[0], stack[1])
	u.reach(ctx, stack, func(context.Context) (int, []byte, error) {
		if terr != nil {
			return 0, nil, terr
		}
		f, err := u.open(path)
		if err != nil {
			return 0, nil, err
		}
		defer f.Close()
		result, err := readAll(f)
		return 0, result, err
	})
}

// open opens a file that was granted, and lies there when all symbolic links are
// followed. What is put in the way meanwhile leads to a failure and to no other place:
// the last step is taken from within the granted folder.
func (u *guest) open(path string) (*os.File, error) {
	none := sentinel.Errorf(sentinel.Forbidden, "read_file: %.200q was not granted: capabilities.files does not hold it, or it leads elsewhere", path)
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.IndexByte(path, 0) >= 0 {
		return nil, sentinel.Errorf(sentinel.Invalid, "read_file: want a full path without . and ..")
	}
	if !u.within(path) {
		return nil, none // and it is not said whether it is there
	}
	is, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	for _, granted := range u.granted.Files {
		dir, err := filepath.EvalSymlinks(granted)
		if err != nil {
			continue
		}
		rel, err := filepath.Rel(dir, is)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		if rel == "." { // the file itself was granted
			dir, rel = filepath.Split(is)
		}
		return openWithin(dir, rel)
	}
	return nil, none
}

// within reports whether a path, as it is written, was granted.
func (u *guest) within(path string) bool {
	for _, granted := range u.granted.Files {
		if rel, err := filepath.Rel(granted, path); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

// openWithin opens a regular file below dir, through no symbolic link.
func openWithin(dir, rel string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // nothing was written through it
	before, err := root.Lstat(rel)
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(rel, os.O_RDONLY|openAtOnce, 0)
	if err != nil {
		return nil, err
	}
	about, err := f.Stat()
	if err == nil && (!about.Mode().IsRegular() || !os.SameFile(before, about)) {
		err = sentinel.Errorf(sentinel.Forbidden, "read_file: %.200q is no regular file", filepath.Join(dir, rel))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func readAll(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxResult+1))
	if err == nil && len(raw) > maxResult {
		err = errTooMuch
	}
	return raw, err
}
