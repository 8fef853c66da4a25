//go:build unix

package collector

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What is no plain file of moderate size is passed over, at once, and said.
func TestTextfileOfStrangeThings(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	put(t, dir, "good.prom", "good 1\n")
	put(t, other, "linked", "linked 1\n")
	for _, err := range []error{
		syscall.Mkfifo(filepath.Join(dir, "a-pipe.prom"), 0o600),
		os.Mkdir(filepath.Join(dir, "folder.prom"), 0o700),
		os.Symlink(filepath.Join(other, "linked"), filepath.Join(dir, "link.prom")),
		os.Symlink("loop.prom", filepath.Join(dir, "loop.prom")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling.prom")),
		os.Symlink("/dev/zero", filepath.Join(dir, "zero.prom")),
		os.Symlink("a-pipe.prom", filepath.Join(dir, "pipe-link.prom")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	huge, err := os.Create(filepath.Join(dir, "huge.prom"))
	if err != nil {
		t.Fatal(err)
	}
	if err := huge.Truncate(1 << 40); err != nil {
		t.Log(err)
	}
	huge.Close()
	put(t, dir, "large.prom", strings.Repeat("a 1\n", maxTextBytes/4)+"b 1\n")
	var log bytes.Buffer
	s := sourceSet(t, Sources{Textfile: TextfileConfig{dir}}, slog.New(slog.NewTextHandler(&log, nil)))
	got := sourceValues(t, s)
	wantValues(t, got, map[string]float64{`good{job="textfile"}`: 1, `linked{job="textfile"}`: 1, `node_textfile_scrape_error`: 1})
	if n := len(about(got, "node_textfile_mtime_seconds")); n != 2 {
		t.Errorf("%d files count: %v", n, got)
	}
	if !strings.Contains(log.String(), "no regular file") || !strings.Contains(log.String(), "and 5 more") {
		t.Errorf("the log says %s", log.String())
	}
}
