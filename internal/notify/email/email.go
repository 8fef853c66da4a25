// Package email sends messages by SMTP, encrypted unless it is told otherwise. It owns
// the mail library.
package email

import (
	"context"
	"crypto/tls"
	"errors"
	"html"
	"net"
	"net/mail"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	maxSubject = 200
	maxText    = 256 << 10
)

// Config is one set of recipients.
type Config struct {
	notify.ChannelConfig `yaml:",inline"`
	notify.Transport     `yaml:",inline"`
	// Host is the mail server's name, which its certificate must have.
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
	// TLS is starttls (refused where the server has none), implicit or none.
	TLS string `yaml:"tls"`
	// Username is empty for a server that asks for none.
	Username     string        `yaml:"username"`
	Password     notify.Secret `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
	From         string        `yaml:"from"`
	To           []string      `yaml:"to"`
	// Hello is what the client calls itself; the host's name where it is empty.
	Hello   string `yaml:"hello"`
	Subject string `yaml:"subject"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.ChannelConfig = notify.DefaultChannelConfig()
	c.Port, c.TLS = 587, "starttls"
}

// Validate says which key is wrong and what is allowed.
func (c *Config) Validate() error {
	switch {
	case c.Host == "" || strings.ContainsAny(c.Host, "/: \r\n"):
		return sentinel.Errorf(sentinel.Invalid, "host: want the name of the mail server")
	case c.Port < 1 || c.Port > 65535:
		return sentinel.Errorf(sentinel.Invalid, "port: %d, want 1 to 65535", c.Port)
	case c.TLS != "starttls" && c.TLS != "implicit" && c.TLS != "none":
		return sentinel.Errorf(sentinel.Invalid, "tls: %.20q, want starttls, implicit or none", c.TLS)
	case c.TLS == "none" && c.Username != "":
		return sentinel.Errorf(sentinel.Invalid, "tls: none would send the password in clear; leave the username away or encrypt")
	case len(c.To) == 0 || len(c.To) > 100:
		return sentinel.Errorf(sentinel.Invalid, "to: %d addresses, want 1 to 100", len(c.To))
	case strings.ContainsAny(c.Hello, "\r\n "):
		return sentinel.Errorf(sentinel.Invalid, "hello: want a host name")
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		return sentinel.Errorf(sentinel.Invalid, "from: %.100q is no address", c.From)
	}
	for _, to := range c.To {
		if _, err := mail.ParseAddress(to); err != nil {
			return sentinel.Errorf(sentinel.Invalid, "to: %.100q is no address", to)
		}
	}
	return notify.CheckSecret("password", c.Password, c.PasswordFile, c.Username != "")
}

type notifier struct {
	cfg    Config
	dialer *net.Dialer
	tls    *tls.Config
	opts   []gomail.Option
}

// New returns the notifier of a set of recipients.
func New(cfg Config) (notify.Notifier, error) {
	dialer, err := cfg.Dialer()
	if err != nil {
		return nil, err
	}
	tlsConfig, err := cfg.Transport.TLS()
	if err != nil {
		return nil, err
	}
	tlsConfig.ServerName = cfg.Host
	e := &notifier{cfg: cfg, dialer: dialer, tls: tlsConfig, opts: []gomail.Option{gomail.WithPort(cfg.Port), gomail.WithTimeout(cfg.Timeout), gomail.WithTLSConfig(tlsConfig)}}
	switch cfg.TLS {
	case "implicit":
		// The connection is encrypted by the dialer below; in this mode the library sees that.
		e.opts = append(e.opts, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	case "none":
		e.opts = append(e.opts, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		e.opts = append(e.opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if cfg.Hello != "" {
		e.opts = append(e.opts, gomail.WithHELO(cfg.Hello))
	}
	return e, nil
}

// message makes the mail. Its ID is made of the message's key, so that a mail that was
// sent twice is shown once by most programs.
func (e *notifier) message(n *notify.Notification) (*gomail.Msg, error) {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := m.From(e.cfg.From); err != nil {
		return nil, notify.Permanent(sentinel.Errorf(sentinel.Invalid, "from: %w", err))
	}
	if err := m.To(e.cfg.To...); err != nil {
		return nil, notify.Permanent(sentinel.Errorf(sentinel.Invalid, "to: %w", err))
	}
	from, err := mail.ParseAddress(e.cfg.From)
	if err != nil {
		return nil, notify.Permanent(sentinel.Errorf(sentinel.Invalid, "from: %w", err))
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	m.SetMessageIDWithValue(n.Key + "@" + domain)
	thread := "<" + n.IncidentKey() + "@" + domain + ">"
	m.SetGenHeader("References", thread)
	m.SetGenHeader("In-Reply-To", thread)
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetDateWithValue(n.Time)
	m.Subject(n.Title(e.cfg.Subject, maxSubject))
	text := n.Text(maxText, notify.Plain)
	if n.ExternalURL != "" {
		text += "\n\n" + n.ExternalURL
	}
	m.SetBodyString(gomail.TypeTextPlain, text)
	m.AddAlternativeString(gomail.TypeTextHTML, page(n, e.cfg.Subject))
	return m, nil
}

// page shows the message without anything that has to be fetched.
func page(n *notify.Notification, subject string) string {
	color := "#2eb886"
	if n.State() == notify.Firing {
		color = "#a30200"
	}
	foot := ""
	if n.ExternalURL != "" {
		foot = `<p><a href="` + html.EscapeString(n.ExternalURL) + `">Sentinel</a></p>`
	}
	return `<!doctype html><html><body style="font-family:sans-serif"><h2 style="border-left:6px solid ` + color + `;padding-left:8px">` +
		html.EscapeString(n.Title(subject, maxSubject)) + `</h2><pre style="font-family:inherit;white-space:pre-wrap">` +
		n.Text(maxText, html.EscapeString) + `</pre>` + foot + `</body></html>`
}

// Notify implements notify.Notifier.
func (e *notifier) Notify(ctx context.Context, n *notify.Notification) error {
	password, err := notify.ReadSecret("password", e.cfg.Password, e.cfg.PasswordFile)
	if err != nil {
		return err
	}
	m, err := e.message(n)
	if err != nil {
		return err
	}
	whole, done := context.WithCancel(ctx)
	defer done()
	var refused error // by the guard: the library does not pass it on
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := e.dialer.DialContext(ctx, network, address)
		if err != nil {
			refused = err
			return nil, err
		}
		context.AfterFunc(whole, func() { conn.Close() }) // the library gives every command its own time
		if e.cfg.TLS == "implicit" {
			return e.handshake(ctx, conn)
		}
		return conn, nil
	}
	opts := append([]gomail.Option{gomail.WithDialContextFunc(dial)}, e.opts...)
	if e.cfg.Username != "" {
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(e.cfg.Username), gomail.WithPassword(password.Reveal()))
	}
	client, err := gomail.NewClient(e.cfg.Host, opts...)
	if err != nil {
		return notify.Permanent(sentinel.Errorf(sentinel.Invalid, "mail client: %w", err))
	}
	if err := client.DialAndSendWithContext(ctx, m); err != nil {
		return failure(err, refused, password)
	}
	return nil
}

func (e *notifier) handshake(ctx context.Context, conn net.Conn) (net.Conn, error) {
	secure := tls.Client(conn, e.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// failure decides whether another try makes sense: not where the server said so (5xx)
// or where it must not be dialled.
func failure(err, refused error, password notify.Secret) error {
	f := &notify.Failure{Err: sentinel.Errorf(sentinel.Unavailable, "send mail: %s", notify.Redact(notify.Truncate(err.Error(), 300), password))}
	var guarded *notify.Failure
	var send *gomail.SendError
	switch {
	case errors.As(refused, &guarded):
		f.Permanent = guarded.Permanent
	case errors.As(err, &send):
		f.Permanent = send.ErrorCode() >= 500 && !send.IsTemp()
	}
	return f
}
