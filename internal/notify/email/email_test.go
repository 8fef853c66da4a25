package email_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/notify/email"
	"github.com/sentinelgo/sentinel/internal/notify/notifytest"
)

// server speaks SMTP with one client at a time.
type server struct {
	t        *testing.T
	l        net.Listener
	tls      *tls.Config
	ca       string
	implicit bool
	noTLS    bool              // does not offer STARTTLS
	say      map[string]string // answers other than the usual, by verb
	hang     string            // the verb that is never answered
	done     chan session
}

type session struct {
	commands []string
	data     []byte
	secure   bool
	password string
}

func newServer(t *testing.T, tune func(*server)) *server {
	t.Helper()
	https := httptest.NewTLSServer(nil) // for its certificate, which is good for example.com and 127.0.0.1
	https.Close()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, l: l, tls: &tls.Config{Certificates: https.TLS.Certificates, MinVersion: tls.VersionTLS12}, say: map[string]string{}, done: make(chan session, 10)}
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	tune(s)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(conn)
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return s
}

func (s *server) serve(conn net.Conn) {
	var out session
	defer func() { conn.Close(); s.done <- out }()
	if s.implicit {
		conn, out.secure = tls.Server(conn, s.tls), true
	}
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 mail.test ESMTP\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		out.commands = append(out.commands, line)
		verb := strings.ToUpper(strings.Fields(line + " x")[0])
		if verb == s.hang {
			_, _ = r.ReadByte() // until the client goes
			return
		}
		if a, ok := s.say[verb]; ok {
			fmt.Fprint(conn, a+"\r\n")
			continue
		}
		switch verb {
		case "EHLO":
			fmt.Fprint(conn, "250-mail.test\r\n")
			if !out.secure && !s.noTLS {
				fmt.Fprint(conn, "250-STARTTLS\r\n")
			}
			fmt.Fprint(conn, "250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n")
		case "STARTTLS":
			fmt.Fprint(conn, "220 go\r\n")
			conn = tls.Server(conn, s.tls)
			r, out.secure = bufio.NewReader(conn), true
		case "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.Fields(line + " x x")[2])
			out.password = string(raw)
			fmt.Fprint(conn, "235 ok\r\n")
		case "DATA":
			fmt.Fprint(conn, "354 go\r\n")
			for {
				l, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				out.data = append(out.data, strings.TrimPrefix(l, ".")...)
			}
			fmt.Fprint(conn, "250 queued\r\n")
		case "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

func (s *server) config() email.Config {
	var c email.Config
	c.SetDefaults()
	_, port, _ := net.SplitHostPort(s.l.Addr().String())
	c.Host, c.CAFile, c.AllowPrivate = "127.0.0.1", s.ca, []string{"127.0.0.0/8"}
	fmt.Sscan(port, &c.Port)
	c.Username, c.Password = "sentinel", notify.NewSecret("hunter2hunter2")
	c.From, c.To = "Sentinel <sentinel@example.org>", []string{"ops@example.org", "Bo <bo@example.org>"}
	c.Timeout = 5 * time.Second
	return c
}

func send(t *testing.T, c email.Config, n *notify.Notification) error {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	nt, err := email.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Timeout)
	defer cancel()
	return nt.Notify(ctx, n)
}

func TestMailIsSentEncryptedAndAuthenticated(t *testing.T) {
	for _, how := range []string{"starttls", "implicit"} {
		s := newServer(t, func(s *server) { s.implicit = how == "implicit" })
		c := s.config()
		c.TLS = how
		n := notifytest.Message(notifytest.Alert("db1"))
		if err := send(t, c, n); err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		got := <-s.done
		if !got.secure || got.password != "\x00sentinel\x00hunter2hunter2" {
			t.Errorf("%s: secure %v, credentials %q", how, got.secure, got.password)
		}
		m, err := mail.ReadMessage(bytes.NewReader(got.data))
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		subject, _ := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if subject != "[FIRING:1] DiskFull (db1 critical)" || m.Header.Get("Message-Id") != "<"+n.Key+"@example.org>" || m.Header.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("%s: headers %v", how, m.Header)
		}
		rcpt := strings.Join(got.commands, "\n")
		if !strings.Contains(rcpt, "RCPT TO:<ops@example.org>") || !strings.Contains(rcpt, "RCPT TO:<bo@example.org>") {
			t.Errorf("%s: %s", how, rcpt)
		}
	}
}

func TestHeadersCannotBeInjected(t *testing.T) {
	s := newServer(t, func(*server) {})
	n := notifytest.Message(notifytest.Hostile())
	c := s.config()
	c.Subject = "{{ $labels.instance }}{{ $annotations.summary }}"
	if err := send(t, c, n); err != nil {
		t.Fatal(err)
	}
	got := <-s.done
	m, err := mail.ReadMessage(bytes.NewReader(got.data))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Bcc") != "" || len(m.Header["Subject"]) != 1 {
		t.Errorf("headers: %v", m.Header)
	}
	for _, cmd := range got.commands {
		if strings.Contains(cmd, "eve") {
			t.Errorf("command %q", cmd)
		}
	}
	body, _ := io.ReadAll(m.Body)
	if bytes.Contains(body, []byte("<script>alert")) && !bytes.Contains(body, []byte("&lt;script")) {
		t.Error("markup went through")
	}
}

func TestFailuresOfMail(t *testing.T) {
	for _, tt := range []struct {
		name      string
		tune      func(*server, *email.Config)
		permanent bool
	}{
		{"no STARTTLS offered", func(s *server, _ *email.Config) { s.noTLS = true }, false},
		{"mailbox is not there", func(s *server, _ *email.Config) { s.say["RCPT"] = "550 5.1.1 no such user" }, true},
		{"come later", func(s *server, _ *email.Config) { s.say["MAIL"] = "451 4.7.1 greylisted" }, false},
		{"wrong password", func(s *server, _ *email.Config) { s.say["AUTH"] = "535 5.7.8 hunter2hunter2 is wrong" }, false},
		{"hangs", func(s *server, c *email.Config) { s.hang, c.Timeout = "MAIL", 300*time.Millisecond }, false},
		{"another name", func(_ *server, c *email.Config) { c.Host = "localhost" }, false},
		{"private address", func(_ *server, c *email.Config) { c.AllowPrivate = nil }, true},
	} {
		var c email.Config
		newServer(t, func(s *server) {
			c = s.config()
			tt.tune(s, &c)
		})
		began := time.Now()
		err := send(t, c, notifytest.Message(notifytest.Alert("db1")))
		var f *notify.Failure
		if !errors.As(err, &f) || f.Permanent != tt.permanent {
			t.Errorf("%s: %v, permanent %v", tt.name, err, f != nil && f.Permanent)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password is in the error: %v", tt.name, err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("%s: took %s", tt.name, took)
		}
	}
}
