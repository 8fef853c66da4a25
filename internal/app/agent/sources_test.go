package agent

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/control"
)

// What the documentation shows can be used as it stands.
func TestDocumentedSourcesAreGood(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/collectors.md")
	if err != nil {
		t.Fatal(err)
	}
	var got collector.Sources
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(raw, -1) {
		path := filepath.Join(t.TempDir(), "agent.yml")
		if err := os.WriteFile(path, m[1], 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := DefaultConfig()
		if err := config.Load(path, nil, &cfg); err != nil {
			t.Errorf("%v in\n%s", err, m[1])
		}
		c := cfg.Agent.Collect
		got.Scrape, got.Exec = append(got.Scrape, c.Scrape...), append(got.Exec, c.Exec...)
		got.Textfile.Directory += c.Textfile.Directory
	}
	if len(got.Scrape) != 2 || got.Scrape[1].MaxSeries != 500 || got.Textfile.Directory == "" || len(got.Exec) != 1 || len(got.Exec[0].Command) != 3 {
		t.Errorf("the documentation shows %+v", got)
	}
}

func TestOnceShowsSources(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a 1\n") }))
	defer srv.Close()
	defer srv.CloseClientConnections()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "b.prom"), []byte("b 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := collector.DefaultConfig()
	cfg.Scrape = []collector.ScrapeConfig{{Name: "app", URL: srv.URL}}
	cfg.Textfile.Directory = dir
	var out bytes.Buffer
	if err := Once(t.Context(), cfg, "json", &out, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	var doc struct{ Samples []sample }
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, s := range doc.Samples {
		if s.Value != nil {
			got[s.Name+" "+s.Labels["job"]] = *s.Value
		}
	}
	if got["a app"] != 1 || got["up app"] != 1 || got["b textfile"] != 2 {
		t.Errorf("got %v", got)
	}
}

// A reload replaces sources as it replaces collectors, and the status shows them so.
func TestReloadReplacesSources(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a 1\nup{x=\"y\"} 1\n") }))
	defer srv.Close()
	r := newRunning(t)
	r.start()
	fared := func(name string) func() bool {
		return func() bool {
			for _, c := range r.status().Collectors {
				if c.Name == name {
					return c.Success
				}
			}
			return false
		}
	}
	with := func(sources string) {
		t.Helper()
		r.write("")
		raw := strings.Replace(r.read(), "collectors: {cpu: false}}", "collectors: {cpu: false}, host: x}", 1)
		r.raw(strings.Replace(raw, "host: x", sources, 1))
		if got := r.reload(); !got.OK {
			t.Fatal(got.Error)
		}
	}
	with("scrape: [{name: app, url: \"" + srv.URL + "\"}]")
	r.until("the target is scraped", fared("scrape/app"))
	dir := filepath.Join(r.dir, "text")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	with("textfile: {directory: \"" + dir + "\"}")
	r.until("the folder is read", fared("textfile"))
	if slices.ContainsFunc(r.status().Collectors, func(c control.Collector) bool { return c.Name == "scrape/app" }) {
		t.Error("the target is still there")
	}
	with("scrape: [{name: app, url: \"http://" + closedAddress(t) + "\"}]")
	r.until("the target has failed", func() bool {
		return slices.ContainsFunc(r.status().Collectors, func(c control.Collector) bool { return c.Name == "scrape/app" && !c.Success })
	})
	raw := r.read()
	r.raw(strings.Replace(raw, "name: app", "name: textfile", 1))
	if got := r.reload(); got.OK || !strings.Contains(got.Error, "agent.collect.scrape[0].name: \"textfile\" is taken") {
		t.Errorf("answered %+v", got)
	}
}

// Another authority in the same file counts after a reload.
func TestReloadSeesTheFilesOfSources(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	cert := func(more string) {
		t.Helper()
		if err := os.WriteFile(ca, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), more...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert("")
	r := newRunning(t)
	r.raw(strings.Replace(r.read(), "interval: 1s,", "interval: 1s, scrape: [{name: app, url: \""+srv.URL+"\", ca_file: \""+ca+"\"}],", 1))
	r.start()
	if got := r.reload(); !got.OK || len(got.Applied) != 0 {
		t.Errorf("answered %+v", got)
	}
	cert("\n")
	if got := r.reload(); !got.OK || len(got.Applied) != 1 {
		t.Errorf("answered %+v", got)
	}
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	if got := r.reload(); got.OK || !strings.Contains(got.Error, "scrape[0].ca_file") {
		t.Errorf("answered %+v", got)
	}
}
