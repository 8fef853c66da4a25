package host

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sentinelgo/sentinel/internal/guard"
	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func reaching(t *testing.T, c plugin.Capabilities) *guest {
	t.Helper()
	g, err := guard.New(c.PrivateNetworks)
	if err != nil {
		t.Fatal(err)
	}
	u := newGuest(plugin.Manifest{MaxSeries: 1}, Options{Granted: c}, g)
	t.Cleanup(func() { u.client.Transport.(*http.Transport).CloseIdleConnections() })
	return u
}

func (u *guest) get(where string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, where, nil)
	if err != nil {
		return err
	}
	if err := u.mayAsk(req); err != nil {
		return err
	}
	resp, err := u.client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// resolver answers every question with the addresses in turn: a name that is rebound.
func resolver(t *testing.T, answers ...netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for i := 0; ; i++ {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			m.Response = true
			for _, q := range m.Questions {
				if a := answers[min(i/2, len(answers)-1)]; q.Type == dnsmessage.TypeA {
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0}, Body: &dnsmessage.AResource{A: a.As4()}})
				}
			}
			m.Additionals = nil
			if raw, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(raw, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// P24: a plugin reaches what it was granted, by name and by address, and nothing else.
func TestP24Reach(t *testing.T) {
	var reached atomic.Int32
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer secret.Close()
	target := secret.URL
	open := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, target, http.StatusFound)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/again":
			http.Redirect(w, r, "/again", http.StatusFound)
		}
	}))
	defer open.Close()
	is, err := url.Parse(open.URL)
	if err != nil {
		t.Fatal(err)
	}
	secretURL, err := url.Parse(secret.URL)
	if err != nil {
		t.Fatal(err)
	}
	u := reaching(t, plugin.Capabilities{HTTP: []string{is.Host, "rebound.example.org"}, PrivateNetworks: []string{"127.0.0.1"}})
	if err := u.get(open.URL); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		secret.URL, open.URL + "/redirect", open.URL + "/file", open.URL + "/again", "file:///etc/passwd", "ftp://" + is.Host,
		"http://localhost:" + is.Port(), "http://127.1:" + is.Port(), "http://2130706433:" + is.Port(), "http://[::ffff:127.0.0.1]:" + secretURL.Port(),
		"http://169.254.169.254/latest/meta-data", "http://" + is.Host + "@" + secretURL.Host, "http://0.0.0.0:" + is.Port(),
	} {
		if err := u.get(bad); err == nil || sentinel.CodeOf(unwrapped(err)) != sentinel.Forbidden {
			t.Errorf("%s: %v", bad, err)
		}
	}
	// The name is granted, and leads to what is not: today, or when it is asked again.
	u = reaching(t, plugin.Capabilities{HTTP: []string{"rebound.example.org"}})
	u.dialer.Resolver = resolver(t, netip.MustParseAddr("127.0.0.1"))
	for range 3 {
		err := u.get("http://rebound.example.org:" + secretURL.Port())
		if err == nil || sentinel.CodeOf(unwrapped(err)) != sentinel.Forbidden {
			t.Errorf("a name that leads to this host: %v", err)
		}
	}
	if reached.Load() != 0 {
		t.Error("what was not granted was reached")
	}
	u = reaching(t, plugin.Capabilities{HTTP: []string{"*"}, PrivateNetworks: []string{"127.0.0.0/8"}})
	u.dialer.Resolver = resolver(t, netip.MustParseAddr("127.0.0.1"))
	if err := u.get("http://rebound.example.org:" + secretURL.Port()); err != nil || reached.Load() != 1 {
		t.Errorf("what was granted: %v", err)
	}
}

// unwrapped returns what was said in the end.
func unwrapped(err error) error {
	for {
		in := errors.Unwrap(err)
		if in == nil || sentinel.CodeOf(err) != sentinel.Unknown {
			return err
		}
		err = in
	}
}

// P24: a plugin reads the files that it was granted, and no link leads it elsewhere.
func TestP24Files(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	for _, d := range []string{"granted/sub", "secret", "other"} {
		if err := os.MkdirAll(at(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"granted/a", "granted/sub/b", "secret/s", "other/one", "other/two"} {
		if err := os.WriteFile(at(f), []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("granted/big"), make([]byte, maxResult+1), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"granted/inside": "sub/b", "granted/out": "../secret/s", "granted/folder": at("secret"), "granted/abs": at("secret", "s"), "granted/sub/up": "..", "other/three": "two", "way": "granted"} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	u := reaching(t, plugin.Capabilities{Files: []string{at("granted"), at("other", "one"), at("other", "three"), at("way")}})
	read := func(path string) (string, error) {
		f, err := u.open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		raw, err := readAll(f)
		return string(raw), err
	}
	for path, want := range map[string]string{at("granted/a"): "granted/a", at("granted/sub/b"): "granted/sub/b", at("granted/inside"): "granted/sub/b", at("granted/sub/up/a"): "granted/a", at("other/one"): "other/one", at("way/a"): "granted/a"} {
		if got, err := read(path); got != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{
		at("granted/out"), at("granted/folder/s"), at("granted/abs"), at("secret/s"), at("other/two"), at("granted"), at("granted/sub"), "/etc/passwd", "etc/passwd",
		at("granted") + "/../secret/s", at("granted") + "/./a", at("granted/a") + "\x00", "", at("grantedX"), at("granted/none"), "/dev/zero",
	} {
		if got, err := read(path); err == nil {
			t.Errorf("%s: read %q", path, got)
		}
	}
	if _, err := read(at("granted/big")); !errors.Is(err, errTooMuch) {
		t.Errorf("too much: %v", err)
	}
	// Whoever swaps files and links as fast as they can leads it nowhere.
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Remove(at("granted/race"))
			_ = os.Symlink(at("secret/s"), at("granted/race"))
			_ = os.Remove(at("granted/race"))
			_ = os.WriteFile(at("granted/race"), []byte("good"), 0o644)
		}
	}()
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		if got, err := read(at("granted/race")); err == nil && strings.HasPrefix(got, "secret") {
			t.Fatal("a race was lost")
		}
	}
	close(stop)
	<-stopped
}
