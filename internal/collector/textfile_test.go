package collector

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTextfile(t *testing.T) {
	dir := t.TempDir()
	a := put(t, dir, "a.prom", "# HELP backup_seconds how long\n# TYPE backup_seconds gauge\nbackup_seconds{job=\"night\"} 12 1395066363000\ntwice 1\n")
	b := put(t, dir, "b.prom", "twice 2\nother_total 3\n")
	put(t, dir, "c.prom.tmp", "unseen 1\n")
	at := time.UnixMilli(1_700_000_000_250)
	if err := os.Chtimes(a, at, at); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := sourceSet(t, Sources{Textfile: TextfileConfig{dir}}, slog.New(slog.NewTextHandler(&log, nil)))
	success := `node_scrape_collector_success{collector="textfile"}`
	for range 2 {
		got := sourceValues(t, s)
		wantValues(t, got, map[string]float64{
			`backup_seconds{exported_job="night",job="textfile"}`:                          12,
			`twice{job="textfile"}`:                                                        1,
			`other_total{job="textfile"}`:                                                  3,
			`node_textfile_mtime_seconds{file="` + strings.ReplaceAll(a, `\`, `\\`) + `"}`: 1_700_000_000.25,
			`node_textfile_scrape_error`:                                                   0,
			`sentinel_source_samples_left_out{job="textfile"}`:                             1,
			success: 1,
		})
		if len(about(got, "node_textfile_mtime_seconds")) != 2 || len(about(got, "unseen")) != 0 {
			t.Errorf("got %v", got)
		}
	}
	// A file that is written in place is a part of itself for a moment.
	put(t, dir, "b.prom", "twice 2\nother_total 33")
	got := sourceValues(t, s)
	wantValues(t, got, map[string]float64{`twice{job="textfile"}`: 1, `node_textfile_scrape_error`: 1, success: 0})
	if len(about(got, "other_total")) != 0 || len(about(got, b)) != 0 {
		t.Errorf("half a file counts: %v", got)
	}
	if !strings.Contains(log.String(), `\"b.prom\": line 2: has no end`) {
		t.Errorf("the log says %s", log.String())
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "b.prom", "twice 2\n")
	wantValues(t, sourceValues(t, s), map[string]float64{`twice{job="textfile"}`: 2, `node_textfile_scrape_error`: 0, success: 1})
}

func TestTextfileWithoutAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	s := sourceSet(t, Sources{Textfile: TextfileConfig{dir}}, slog.New(slog.DiscardHandler))
	wantValues(t, sourceValues(t, s), map[string]float64{`node_textfile_scrape_error`: 1, `node_scrape_collector_success{collector="textfile"}`: 0})
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	wantValues(t, sourceValues(t, s), map[string]float64{`node_textfile_scrape_error`: 0})
}

func TestTextfileOfManyFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range maxTextfiles + 1 {
		put(t, dir, fmt.Sprintf("%04d.prom", i), fmt.Sprintf("a{n=\"%d\"} 1\nsame %d\n", i, i))
	}
	s := sourceSet(t, Sources{Textfile: TextfileConfig{dir}}, slog.New(slog.DiscardHandler))
	got := sourceValues(t, s)
	wantValues(t, got, map[string]float64{`same{job="textfile"}`: 0})
	if n := len(about(got, "a{")); n != maxTextfiles || got["node_textfile_scrape_error"] != 1 {
		t.Errorf("%d files are read", n)
	}
}
