package collector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/exposition"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// scrape asks a target for its metrics. An answer counts as a whole or not at all.
type scrape struct {
	url       string
	timeout   time.Duration
	maxBytes  int64
	tokenFile string
	transport *http.Transport
	feed      feed
}

// maxToken bounds the file of a bearer token.
const maxToken = 16 << 10

func newScrape(t ScrapeConfig, lim sentinel.Limits) (*scrape, []string, error) {
	u, err := t.target()
	if err != nil {
		return nil, nil, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, nil, sentinel.Errorf(sentinel.Invalid, "ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, sentinel.Errorf(sentinel.Invalid, "ca_file: there is no certificate in %s", t.CAFile)
		}
	}
	about := []string{"job", t.Name, "instance", u.Host}
	labels := append([]string(nil), about...)
	for _, name := range sortedKeys(t.Labels) {
		labels = append(labels, name, t.Labels[name])
	}
	s := &scrape{url: u.String(), timeout: t.Timeout, maxBytes: t.MaxBytes, tokenFile: t.BearerTokenFile, feed: newFeed(lim, labels...)}
	s.feed.counted = "scrape_samples_scraped"
	if s.feed.names, err = (Filter{t.Include, t.Exclude}).compile(); err != nil {
		return nil, nil, err
	}
	s.transport = &http.Transport{
		// No proxy: that of the environment is for other things than this host's targets.
		// And HTTP/1.1, which goes with a TLSClientConfig of one's own.
		TLSClientConfig:        conf,
		MaxIdleConns:           1,
		IdleConnTimeout:        2 * t.Interval,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return s, labels, nil
}

// close ends what is open between two scrapes.
func (s *scrape) close() { s.transport.CloseIdleConnections() }

func (s *scrape) collect(ctx context.Context, p *page) error {
	s.feed.begin()
	s.feed.say(p)
	err := s.fetch(ctx, p)
	if err != nil {
		p.discard()
		s.feed.begin()
	}
	s.feed.say(p)
	return err
}

func (s *scrape) fetch(ctx context.Context, p *page) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return withoutURL(err)
	}
	req.Header.Set("Accept", exposition.Accept)
	req.Header.Set("User-Agent", "sentinel-agent")
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(s.timeout.Seconds(), 'f', -1, 64))
	if s.tokenFile != "" {
		token, err := readToken(s.tokenFile)
		if err != nil {
			return fmt.Errorf("bearer_token_file: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	// A redirect leads to where nobody said that it may, and the token with it.
	client := http.Client{Transport: s.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && to != "" {
		return sentinel.Errorf(sentinel.Unavailable, "it answers %d and leads to %.120q; redirects are not followed: url should name the place itself", resp.StatusCode, to)
	}
	if resp.StatusCode != http.StatusOK {
		return sentinel.Errorf(sentinel.Unavailable, "it answers %d", resp.StatusCode)
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // without one it is the text format, or fails as that
	lim := exposition.DefaultLimits()
	lim.Bytes = s.maxBytes
	return s.feed.read(p, exposition.NewParser(resp.Body, media == "application/openmetrics-text", lim))
}

// withoutURL returns what happened, without the URL: that may hold a secret, and the
// log says which target it is.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

func readToken(path string) (string, error) {
	f, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(raw))
	if token == "" || len(raw) > maxToken {
		return "", sentinel.Errorf(sentinel.Invalid, "%s: has %d bytes, want 1 to %d", path, len(raw), maxToken)
	}
	return token, nil
}
