package collector

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/exposition"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// target serves h and returns a configuration for it.
func target(t *testing.T, h http.HandlerFunc) ScrapeConfig {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return ScrapeConfig{Name: "app", URL: srv.URL + "/metrics", Timeout: 300 * time.Millisecond}
}

func instance(c ScrapeConfig) string {
	u, _ := c.target()
	return `instance="` + u.Host + `",job="` + c.Name + `"`
}

func TestScrape(t *testing.T) {
	body := `# TYPE requests_total counter
requests_total{code="200"} 3 1395066363000
requests_total{code="500"} NaN
# TYPE latency_seconds histogram
latency_seconds_bucket{le="+Inf"} 4
latency_seconds_sum 0.5
latency_seconds_count 4
go_goroutines 9
taken{job="mine",instance="x",env="dev",exported_job="y",agent="z",empty=""} 1
twice 1
twice 2
bad{__name="x"} 1
up 0
up{job="other"} 1
scrape_samples_scraped 99
`
	c := target(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" || r.Header.Get("Authorization") != "" || r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds") != "0.3" {
			t.Errorf("asked for %s with %v", r.URL, r.Header)
		}
		io.WriteString(w, body)
	})
	c.Exclude, c.Labels = "^go_", map[string]string{"env": "prod"}
	s := sourceSet(t, Sources{Scrape: []ScrapeConfig{c}}, slog.New(slog.DiscardHandler))
	i := `env="prod",` + instance(c)
	for range 2 {
		got := sourceValues(t, s)
		wantValues(t, got, map[string]float64{
			`requests_total{code="200",` + i + `}`:                    3,
			`latency_seconds_bucket{` + i + `,le="+Inf"}`:             4,
			`latency_seconds_sum{` + i + `}`:                          0.5,
			`latency_seconds_count{` + i + `}`:                        4,
			`twice{` + i + `}`:                                        1,
			`up{` + i + `}`:                                           1,
			`up{env="prod",exported_job="other",` + instance(c) + `}`: 1,
			`scrape_samples_scraped{` + i + `}`:                       13,
			`sentinel_source_samples_left_out{` + i + `}`:             3, // twice, a label beginning with __, our own series
			`taken{env="prod",exported_agent="z",exported_env="dev",exported_exported_job="mine",exported_instance="x",exported_job="y",` + instance(c) + `}`: 1,
		})
		if n := len(about(got, "job=")); n != 11 {
			t.Errorf("%d series: %v", n, about(got, "job="))
		}
	}
}

func TestScrapeTakesKindsAndUnits(t *testing.T) {
	c := target(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		io.WriteString(w, "# TYPE a_ratio gauge\n# UNIT a_ratio ratio\na_ratio 1\n# TYPE b counter\nb_total 1 # {x=\"y\"} 1\nc_bytes 1\n# EOF\n")
	})
	s := sourceSet(t, Sources{Scrape: []ScrapeConfig{c}}, slog.New(slog.DiscardHandler))
	all, err := s.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, series := range decoded(t, all[1]) {
		got[series.Name] = series.Kind.String() + " " + series.Unit
	}
	for name, want := range map[string]string{"a_ratio": "gauge ratio", "b_total": "counter ", "c_bytes": "gauge bytes", "up": "gauge ", "scrape_duration_seconds": "gauge seconds"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

// Whatever a target does costs itself its samples of that cycle, is said, and is over
// when it is over.
func TestScrapeSurvivesItsTarget(t *testing.T) {
	forever := func(w http.ResponseWriter, r *http.Request, each func()) {
		for r.Context().Err() == nil {
			each()
			_ = http.NewResponseController(w).Flush()
		}
	}
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"hangs": {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "deadline exceeded"},
		"drips": {func(w http.ResponseWriter, r *http.Request) {
			forever(w, r, func() {
				io.WriteString(w, "a 1\n")
				select {
				case <-r.Context().Done():
				case <-time.After(10 * time.Millisecond):
				}
			})
		}, "deadline exceeded"},
		"error":   {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "a 1", 500) }, "it answers 500"},
		"missing": {http.NotFound, "it answers 404"},
		"garbage": {func(w http.ResponseWriter, r *http.Request) { w.Write(bytes.Repeat([]byte{0xff, 0, '{'}, 1000)) }, "line 1:"},
		"page":    {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<!DOCTYPE html>\n<html>") }, "line 1:"},
		"late":    {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok 1\nok{ 2\n") }, "line 2:"},
		"cut":     {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok 1\nok 2") }, "line 2: has no end"},
		"promised": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "99")
			io.WriteString(w, "ok 1\n")
		}, "unexpected EOF"},
		"no EOF": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/openmetrics-text")
			io.WriteString(w, "ok 1\n")
		}, "the end comes before # EOF"},
		"huge": {func(w http.ResponseWriter, r *http.Request) {
			forever(w, r, func() { w.Write(bytes.Repeat([]byte("a 1\n"), 8<<10)) })
		}, "more than 65536 bytes"},
		"one line": {func(w http.ResponseWriter, r *http.Request) {
			forever(w, r, func() { w.Write(bytes.Repeat([]byte("a"), 8<<10)) })
		}, "line 1: is longer than 65536 bytes"},
		"bomb": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for r.Context().Err() == nil {
				z.Write(bytes.Repeat([]byte("a 1\n"), 64<<10))
			}
		}, "more than 65536 bytes"},
		"no gzip": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "not packed, though it says so\n")
		}, "gzip"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, `it answers 302 and leads to`},
		"headers": {func(w http.ResponseWriter, r *http.Request) {
			for i := range 2000 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 100))
			}
		}, "header"},
		"aborts": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			var well atomic.Bool
			c := target(t, func(w http.ResponseWriter, r *http.Request) {
				if well.Load() {
					io.WriteString(w, "fine 1\n")
					return
				}
				tt.h(w, r)
			})
			c.MaxBytes = 64 << 10
			if name != "hangs" && name != "drips" {
				c.Timeout = 10 * time.Second
			}
			if name == "one line" {
				c.MaxBytes = 1 << 20
			}
			var log bytes.Buffer
			s := sourceSet(t, Sources{Scrape: []ScrapeConfig{c}}, slog.New(slog.NewTextHandler(&log, nil)))
			i := instance(c)
			got := sourceValues(t, s)
			wantValues(t, got, map[string]float64{`up{` + i + `}`: 0, `scrape_samples_scraped{` + i + `}`: 0})
			if n := len(about(got, i)); n != 4 {
				t.Errorf("there is more than what is said of the target: %v", about(got, i))
			}
			if !strings.Contains(log.String(), tt.want) || !strings.Contains(log.String(), "scrape/app") || strings.Contains(log.String(), c.URL) {
				t.Errorf("the log says %q, want %q", log.String(), tt.want)
			}
			well.Store(true)
			wantValues(t, sourceValues(t, s), map[string]float64{`up{` + i + `}`: 1, `fine{` + i + `}`: 1})
		})
	}
}

func TestScrapeOfNobody(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := ScrapeConfig{Name: "app", URL: "http://" + lis.Addr().String() + "/?token=secret"}
	lis.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var log bytes.Buffer
	s := sourceSet(t, Sources{Scrape: []ScrapeConfig{c}}, slog.New(slog.NewTextHandler(&log, nil)))
	wantValues(t, sourceValues(t, s), map[string]float64{`up{` + instance(c) + `}`: 0})
	if !strings.Contains(log.String(), "refused") || strings.Contains(log.String(), "secret") {
		t.Errorf("the log says %q", log.String())
	}
}

// A target whose series are others each time fills its own layout and no memory.
func TestScrapeOfChangingSeries(t *testing.T) {
	round := 0
	c := target(t, func(w http.ResponseWriter, r *http.Request) {
		round++
		for i := range 40 {
			fmt.Fprintf(w, "a{id=\"%d\"} 1\n", 1000*round+i)
		}
	})
	c.MaxSeries = 100
	var log bytes.Buffer
	k := &skewed{}
	s := sourceSet(t, Sources{Scrape: []ScrapeConfig{c}}, slog.New(slog.NewTextHandler(&log, nil)), clocked(k))
	i := instance(c)
	left := `sentinel_source_samples_left_out{` + i + `}`
	for n, want := range []float64{0, 0, 20, 40} {
		got := sourceValues(t, s)
		if got[left] != want {
			t.Errorf("scrape %d: %v left out, want %v", n, got[left], want)
		}
	}
	if n := strings.Count(log.String(), "more series than one layout may hold"); n != 1 {
		t.Errorf("said %d times: %s", n, log.String())
	}
	slot := s.sources[0].slots[0]
	for range 100 {
		sourceValues(t, s)
	}
	if n := len(slot.page.rows); n > 103 {
		t.Errorf("%d rows are kept", n)
	}
	// What has vanished makes room after a while.
	k.by.Add(int64(keepVanished + time.Second))
	sourceValues(t, s)
	sourceValues(t, s)
	if got := sourceValues(t, s); got[left] != 0 {
		t.Errorf("%v left out after the old ones have gone", got[left])
	}
}

func TestScrapeOfAMillionSeries(t *testing.T) {
	const million = 1_000_000
	c := target(t, func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		for i := range million {
			fmt.Fprintf(&b, "a{id=\"%d\"} 1\n", i)
		}
		w.Write(b.Bytes())
	})
	c.MaxBytes, c.Timeout = mostBytes, 10*time.Second
	s := sourceSet(t, Sources{Scrape: []ScrapeConfig{c}}, slog.New(slog.DiscardHandler))
	i := instance(c)
	for range 2 {
		got := sourceValues(t, s)
		wantValues(t, got, map[string]float64{
			`up{` + i + `}`:                               1,
			`scrape_samples_scraped{` + i + `}`:           million,
			`sentinel_source_samples_left_out{` + i + `}`: million - defaultSeries,
		})
	}
	if n := len(s.sources[0].slots[0].page.rows); n > defaultSeries+ownSeries+1 {
		t.Errorf("%d rows are kept", n)
	}
}

// One series in ever other spellings is one, and the spellings are forgotten.
func TestScrapeOfManySpellings(t *testing.T) {
	c := target(t, func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		for i := range 5000 {
			fmt.Fprintf(&b, "a{%*s=\"1\"} 1\n", 1+i, "x")
		}
		w.Write(b.Bytes())
	})
	c.MaxSeries, c.MaxBytes, c.Timeout = 100, mostBytes, 10*time.Second
	s := sourceSet(t, Sources{Scrape: []ScrapeConfig{c}}, slog.New(slog.DiscardHandler))
	for range 3 {
		got := sourceValues(t, s)
		wantValues(t, got, map[string]float64{`a{` + instance(c) + `,x="1"}`: 1, `sentinel_source_samples_left_out{` + instance(c) + `}`: 4999})
		if n := len(s.sources[0].slots[0].page.rows); n > 4*(100+ownSeries)+1 {
			t.Errorf("%d rows are kept", n)
		}
	}
}

// Long labels fill a layout before the number of series does: the layout stays one
// that the service takes.
func TestScrapeOfLongLabels(t *testing.T) {
	long := strings.Repeat("x", 1000)
	c := target(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 2000 {
			fmt.Fprintf(w, "a{id=\"%d\",x=\"%s\",y=\"%s\"} 1\n", i, long, long)
		}
		fmt.Fprintf(w, "b{x=\"%s%s\"} 1\n", long, long)
	})
	c.Timeout = 5 * time.Second
	var log bytes.Buffer
	s := sourceSet(t, Sources{Scrape: []ScrapeConfig{c}}, slog.New(slog.NewTextHandler(&log, nil)))
	got := sourceValues(t, s) // decodes the layout
	if n := len(about(got, "a{")); n < 400 || n > 520 {
		t.Errorf("%d series fit", n)
	}
	if len(about(got, "b{")) > 0 || !strings.Contains(log.String(), "more series than one layout may hold") {
		t.Errorf("the log says %q", log.String())
	}
}

func TestScrapeWithTokenAndAuthority(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("first\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked []string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Authorization")+" "+r.Proto)
		io.WriteString(w, "a 1\n")
	}))
	defer srv.Close()
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(ca, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	c := ScrapeConfig{Name: "app", URL: srv.URL, BearerTokenFile: token}
	up := `up{` + instance(c) + `}`
	stranger := sourceSet(t, Sources{Scrape: []ScrapeConfig{c}}, slog.New(slog.DiscardHandler))
	wantValues(t, sourceValues(t, stranger), map[string]float64{up: 0})
	c.CAFile = ca
	s := sourceSet(t, Sources{Scrape: []ScrapeConfig{c}}, slog.New(slog.DiscardHandler))
	wantValues(t, sourceValues(t, s), map[string]float64{up: 1})
	if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantValues(t, sourceValues(t, s), map[string]float64{up: 1})
	for _, bad := range []string{"", "a\nb", strings.Repeat("x", maxToken+1)} {
		if err := os.WriteFile(token, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		wantValues(t, sourceValues(t, s), map[string]float64{up: 0})
	}
	if got := strings.Join(asked, ", "); got != "Bearer first HTTP/1.1, Bearer second HTTP/1.1" {
		t.Errorf("asked with %s", got)
	}
	for _, bad := range []string{filepath.Join(t.TempDir(), "none"), token} {
		cfg := DefaultConfig()
		c.CAFile = bad
		cfg.Scrape = []ScrapeConfig{c}
		if _, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "scrape[0].ca_file: ") {
			t.Error(err)
		}
	}
}

// A connection stays open between two scrapes, and none after Run.
func TestScrapeKeepsOneConnection(t *testing.T) {
	conns := make(chan http.ConnState, 100)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a 1\n") }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) { conns <- s }
	srv.Start()
	defer srv.Close()
	s := sourceSet(t, Sources{Scrape: []ScrapeConfig{{Name: "app", URL: srv.URL, Interval: time.Second}}}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	if err := s.Run(ctx, sinkFunc(func(snap Snapshot) error {
		if snap.Group == "scrape/app" {
			if n++; n == 2 {
				cancel()
			}
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	fresh := 0
	for state := range conns {
		if state == http.StateNew {
			fresh++
		}
		if state == http.StateClosed {
			break
		}
	}
	if fresh != 1 {
		t.Errorf("%d connections for two scrapes", fresh)
	}
}

// BenchmarkFeed is a scrape of 500 series that were there before, without HTTP.
func BenchmarkFeed(b *testing.B) {
	var text bytes.Buffer
	for i := range 500 {
		fmt.Fprintf(&text, "http_requests_total{code=\"200\",handler=\"/api/%d\"} %d\n", i, 1000+i)
	}
	f := newFeed(sentinel.DefaultLimits(), "job", "app")
	var p page
	p.init(defaultSeries)
	b.ReportAllocs()
	for b.Loop() {
		p.begin()
		if err := f.read(&p, exposition.NewParser(bytes.NewReader(text.Bytes()), false, exposition.DefaultLimits())); err != nil {
			b.Fatal(err)
		}
	}
}
