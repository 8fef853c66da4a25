package notify

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// liar answers every question for an address with the same one, over UDP.
func liar(t *testing.T, answer netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			q := buf[:n]
			end := 12
			for end < n && q[end] != 0 {
				end += int(q[end]) + 1
			}
			end += 5
			if end > n {
				continue
			}
			kind := q[end-3] // 1 is A, 28 is AAAA
			out := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
			if kind == 1 && answer.Is4() || kind == 28 && answer.Is6() {
				out[7] = 1
				raw := answer.AsSlice()
				out = append(out, 0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0, byte(len(raw)))
				out = append(out, raw...)
			}
			if _, err := conn.WriteTo(out, from); err != nil {
				return
			}
		}
	}()
	addr := conn.LocalAddr().String()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", addr)
	}}
}

// addressForms are ways to write addresses that must not be reached, and names that
// resolve to one.
func addressForms() []string {
	forms := []string{
		"127.0.0.1", "127.1", "127.0.1", "127.0.0.2", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001",
		"0x7f.1", "127.0.0.1.", "localhost", "localhost.", "LOCALHOST", "localhost.localdomain", "127.0.0.1.nip.io", "spoofed.burpcollaborator.net",
		"0", "0.0.0.0", "0.0.0.1", "0.1.2.3", "10.0.0.1", "10.255.255.255", "0xa000001", "167772161", "012.0.0.1",
		"172.16.0.1", "172.31.255.255", "172.20.10.2", "192.168.0.1", "192.168.255.255", "0xc0a80001", "3232235521", "192.168.1", "192.11010049",
		"100.64.0.1", "100.127.255.255", "100.100.100.200", "169.254.169.254", "169.254.170.2", "169.254.0.1", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376",
		"0xa9.0xfe.0xa9.0xfe", "169.254.43518", "169.16689662", "instance-data", "metadata", "metadata.google.internal", "metadata.google.internal.",
		"168.63.129.16", "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "192.88.99.1",
		"224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "250.1.2.3",
		"[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0:1]", "[::127.0.0.1]", "[::7f00:1]",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[::ffff:169.254.169.254]",
		"[::ffff:192.168.0.1]", "[::ffff:0.0.0.0]", "[::ffff:100.64.0.1]", "[::ffff:0:127.0.0.1]", "[::ffff:0:7f00:1]",
		"[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::8.8.8.8]", "[64:ff9b:1::1]", "[64:ff9b:1:fffe::a00:1]",
		"[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2002:c0a8:1::1]", "[2001::1]", "[2001:0:7f00:1::]", "[2001:10::1]", "[2001:20::1]", "[2001:db8::1]",
		"[3fff::1]", "[5f00::1]", "[100::1]", "[fc00::1]", "[fd00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%25eth0]",
		"[febf::1]", "[fec0::1]", "[ff02::1]", "[ff05::2]", "[::1%25lo]", "[::2]", "[::ffff:ffff]", "[2620:4f:8000::1]",
		"①②⑦.⓪.⓪.①", "127。0。0。1", "127.0.0.1%00.example.org", "user@127.0.0.1", "user:pass@127.0.0.1", "example.org@127.0.0.1", "example.org#@127.0.0.1",
		"127.0.0.1#@example.org", "127.0.0.1?@example.org", "example.org\\@127.0.0.1", "rebound.example.org", "a.b.c.d.e.example", "xn--0ca.example",
	}
	return forms
}

// TestP29NoFormOfAnAddressLeadsInside tries every form against a guard that lets
// nothing private through, with a name server that always says 127.0.0.1.
func TestP29NoFormOfAnAddressLeadsInside(t *testing.T) {
	forms := addressForms()
	if len(forms) < 120 {
		t.Fatalf("only %d forms", len(forms))
	}
	var reached atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	dialer, err := Transport{}.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	dialer.Timeout, dialer.Resolver = time.Second, liar(t, netip.MustParseAddr("127.0.0.1"))
	c := newClient(dialer, &tls.Config{MinVersion: tls.VersionTLS12})
	for _, f := range forms {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := c.Do(ctx, Request{URL: "http://" + f + ":" + port + "/secret-path"})
		cancel()
		if err == nil {
			t.Errorf("%s: a request went through", f)
		} else if fail := failureOf(err); !fail.Permanent && !strings.Contains(err.Error(), "no such host") {
			t.Errorf("%s: %v is worth another try", f, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret-path") {
			t.Errorf("%s: the URL is in the error: %v", f, err)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the server was reached %d times", n)
	}
	// The same with the network allowed: the test can fail.
	if dialer, err = (Transport{AllowPrivate: []string{"127.0.0.0/8"}}).Dialer(); err != nil {
		t.Fatal(err)
	}
	dialer.Resolver = liar(t, netip.MustParseAddr("127.0.0.1"))
	if _, err := newClient(dialer, nil).Do(t.Context(), Request{URL: "http://rebound.example.org:" + port}); err != nil || reached.Load() != 1 {
		t.Errorf("allowed, and yet: %v", err)
	}
}

func TestGuard(t *testing.T) {
	g, err := NewGuard([]string{"10.1.0.0/16", "fd00::/8", "192.168.7.7", "169.254.0.0/16", "100.100.100.200/32"})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700::1111": true, "2a00:1450::1": true, "10.1.2.3": true, "::ffff:10.1.2.3": true, "fd12::1": true, "192.168.7.7": true,
		"169.254.1.1": true, "100.100.100.200": true, "172.15.0.1": true, "172.32.0.1": true, "100.128.0.1": true, "::ffff:8.8.8.8": true,
		"10.2.0.1": false, "192.168.7.8": false, "169.254.169.254": false, "fd00:ec2::254": false, "127.0.0.1": false, "::1": false, "100.64.0.1": false,
	} {
		if err := g.Allows(netip.MustParseAddr(addr)); (err == nil) != want {
			t.Errorf("%s: %v, want allowed %v", addr, err, want)
		} else if err != nil && sentinel.CodeOf(err) != sentinel.Forbidden {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "x", "::ffff:10.0.0.0/104", "fe80::1%eth0/64"} {
		if _, err := NewGuard([]string{bad}); err == nil {
			t.Errorf("%q was taken for a network", bad)
		}
	}
}

func local(t *testing.T, h http.HandlerFunc) (*Client, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := NewClient(Transport{AllowPrivate: []string{"127.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, srv.URL
}

func TestAnswersAreJudged(t *testing.T) {
	for _, tt := range []struct {
		status    int
		header    string
		permanent bool
		after     time.Duration
	}{
		{301, "", true, 0}, {304, "", true, 0}, {400, "", true, 0}, {401, "", true, 0}, {403, "5", true, 5 * time.Second}, {404, "", true, 0}, {408, "", false, 0}, {410, "", true, 0},
		{413, "", true, 0}, {429, "17", false, 17 * time.Second}, {429, "junk", false, 0}, {429, "-5", false, 0}, {429, "999999999", false, 24 * time.Hour},
		{500, "", false, 0}, {502, "", false, 0}, {503, "120", false, 2 * time.Minute}, {599, "", false, 0},
	} {
		c, url := local(t, func(w http.ResponseWriter, _ *http.Request) {
			if tt.header != "" {
				w.Header().Set("Retry-After", tt.header)
			}
			w.WriteHeader(tt.status)
		})
		_, err := c.Do(t.Context(), Request{URL: url})
		if f := failureOf(err); err == nil || f.Permanent != tt.permanent || f.After != tt.after {
			t.Errorf("%d %s: %+v", tt.status, tt.header, f)
		}
	}
	if d := retryAfter(time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), time.Now()); d < 58*time.Second || d > time.Minute {
		t.Errorf("a date: %s", d)
	}
}

func TestP20SecretsStayOutOfErrors(t *testing.T) {
	secret := NewSecret("T0ken/with+odd=chars")
	c, base := local(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		fmt.Fprintf(w, "no such thing: %s %s %s\x00\x1b[31m\r\n%s", r.URL, r.Header.Get("Authorization"), r.URL.Query().Get("t"), strings.Repeat("A", 100_000))
	})
	target := NewSecret(base + "/hooks/T0PSECRET/x?t=T0ken%2Fwith%2Bodd%3Dchars")
	_, err := c.Do(t.Context(), Request{URL: target.Reveal(), Header: map[string]string{"Authorization": "Bearer " + secret.Reveal()}, Secrets: []Secret{secret, target}})
	if err == nil || strings.Contains(err.Error(), "T0") || strings.ContainsAny(err.Error(), "\x00\x1b\r\n") || len(err.Error()) > 500 {
		t.Errorf("error: %q", err)
	}
	for _, shown := range []string{fmt.Sprint(secret), fmt.Sprintf("%v %+v %#v %s %q", secret, secret, secret, secret, secret), fmt.Sprintf("%+v", struct{ S Secret }{secret}), secret.LogValue().String()} {
		if strings.Contains(shown, "T0") {
			t.Errorf("shown: %s", shown)
		}
	}
	// Nobody answers: the error of the connection has no URL either.
	_, err = c.Do(t.Context(), Request{URL: "http://127.0.0.1:1/hooks/T0PSECRET"})
	if err == nil || strings.Contains(err.Error(), "T0") {
		t.Error(err)
	}
	_, err = c.Do(t.Context(), Request{URL: "http://%zz/T0PSECRET"})
	if err == nil || strings.Contains(err.Error(), "T0") || !failureOf(err).Permanent {
		t.Error(err)
	}
}

func TestRedirectsStayOnTheHost(t *testing.T) {
	var other atomic.Int32
	c, away := local(t, func(http.ResponseWriter, *http.Request) { other.Add(1) })
	for status, follows := range map[int]bool{301: false, 302: false, 303: false, 307: true, 308: true} {
		var got atomic.Int32
		_, url := local(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/away":
				http.Redirect(w, r, away, status)
			case "/here":
				http.Redirect(w, r, "/there", status)
			case "/loop":
				http.Redirect(w, r, "/loop", status)
			case "/there":
				got.Add(1)
			}
		})
		for _, path := range []string{"/away", "/loop"} {
			if _, err := c.Do(t.Context(), Request{URL: url + path, Body: []byte("{}")}); err == nil || !failureOf(err).Permanent {
				t.Errorf("%d %s: %v", status, path, err)
			}
		}
		_, err := c.Do(t.Context(), Request{URL: url + "/here", Body: []byte("{}")})
		if (err == nil) != follows || (got.Load() == 1) != follows {
			t.Errorf("%d on the host: %v", status, err)
		}
	}
	if other.Load() != 0 {
		t.Error("a redirect led to another host")
	}
}

func TestP22SlowAndEndlessAnswers(t *testing.T) {
	c, url := local(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	body, err := c.Do(t.Context(), Request{URL: url})
	if err == nil || len(body) > maxAnswer {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	stuck := make(chan struct{})
	c, url = local(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(stuck)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Do(ctx, Request{URL: url}); err == nil || failureOf(err).Permanent {
		t.Errorf("a body that never comes: %v", err)
	}
	<-stuck
	// Garbage in place of HTTP.
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "SSH-2.0-OpenSSH\r\n\x00\xff")
			conn.Close()
		}
	}()
	if _, err := c.Do(t.Context(), Request{URL: "http://" + l.Addr().String()}); err == nil || failureOf(err).Permanent {
		t.Errorf("garbage: %v", err)
	}
}
