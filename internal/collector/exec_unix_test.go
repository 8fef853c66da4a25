//go:build unix

package collector

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell returns a command of that script.
func shell(script string) ExecConfig {
	return ExecConfig{Name: "job", Command: []string{"/bin/sh", "-c", script}, Timeout: 300 * time.Millisecond}
}

const ran = `node_scrape_collector_success{collector="exec/job"}`

func TestExec(t *testing.T) {
	t.Setenv("SECRET", "x")
	var log bytes.Buffer
	c := shell(`echo "# TYPE a counter
a{job=\"mine\",dir=\"$PWD\",secret=\"$SECRET\",arg=\"$1\"} $((1 + 1))"; echo complaint >&2; read line || echo "no_stdin 1"`)
	c.Command = append(c.Command, "sh", "$(exit 3); `exit 3`")
	c.Timeout = 5 * time.Second
	s := sourceSet(t, Sources{Exec: []ExecConfig{c}}, slog.New(slog.NewTextHandler(&log, nil)))
	for range 2 {
		wantValues(t, sourceValues(t, s), map[string]float64{
			"a{arg=\"$(exit 3); `exit 3`\",dir=\"/\",exported_job=\"mine\",job=\"job\"}": 2,
			`no_stdin{job="job"}`:                         1,
			`sentinel_source_samples_left_out{job="job"}`: 0,
			ran: 1,
		})
	}
	if log.Len() > 0 {
		t.Errorf("the log says %s", log.String())
	}
}

// Whatever a command does costs its own samples of that cycle.
func TestExecSurvivesItsCommand(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"fails":        {"echo a 1; echo why it failed >&2; exit 3", "exit status 3: why it failed"},
		"is killed":    {"echo a 1; kill -9 $$", "signal: killed"},
		"says garbage": {"echo a 1; echo %%%", "line 2:"},
		"half a line":  {"echo a 1; printf 'b 2'", "line 2: has no end"},
		"hangs":        {"echo a 1; sleep 60", "did not end in time and was killed"},
		"floods":       {"while :; do echo a 1; done", "wrote more than 4096 bytes"},
		"complains":    {"head -c 10000000 /dev/zero | tr '\\0' x >&2; exit 1", "exit status 1: xxx"},
		"is not there": {"", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			c := shell(tt.script)
			c.MaxOutput = 4096
			if tt.script == "" {
				c.Command = []string{"/nowhere/at/all"}
			}
			if name != "hangs" {
				c.Timeout = 10 * time.Second
			}
			var log bytes.Buffer
			s := sourceSet(t, Sources{Exec: []ExecConfig{c}}, slog.New(slog.NewTextHandler(&log, nil)))
			got := sourceValues(t, s)
			wantValues(t, got, map[string]float64{ran: 0})
			if len(about(got, `job="job"`)) != 1 {
				t.Errorf("got %v", got)
			}
			if !strings.Contains(log.String(), tt.want) || log.Len() > 2000 {
				t.Errorf("the log says %.2000s, want %q", log.String(), tt.want)
			}
		})
	}
}

// pidIn waits for a file with a process' number.
func pidIn(t *testing.T, path string) int {
	t.Helper()
	for t.Context().Err() == nil {
		if raw, err := os.ReadFile(path); err == nil && bytes.HasSuffix(raw, []byte("\n")) {
			pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	return 0
}

// gone waits until a process is no more, or waits for whoever adopted it.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		if raw, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); bytes.Contains(raw, []byte(") Z ")) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

// A command that heeds no signal and has children of its own is gone with all of
// them at its deadline.
func TestExecKillsTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	c := shell(`trap '' TERM INT HUP; (trap '' TERM; (trap '' TERM; sh -c 'echo $$ > ` + dir + `/grandchild; exec sleep 600') & sleep 600) & echo $$ > ` + dir + `/leader; while :; do sleep 600; done`)
	c.Timeout = 500 * time.Millisecond
	s := sourceSet(t, Sources{Exec: []ExecConfig{c}}, slog.New(slog.DiscardHandler))
	wantValues(t, sourceValues(t, s), map[string]float64{ran: 0})
	for _, name := range []string{"leader", "grandchild"} {
		gone(t, pidIn(t, filepath.Join(dir, name)))
	}
}

// What a command leaves behind when it ends well ends too, also where it holds the
// output; the command's samples count.
func TestExecKillsWhatIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	c := shell(`sh -c 'echo $$ > ` + dir + `/left; exec sleep 600' & while [ ! -s ` + dir + `/left ]; do :; done; echo a 1`)
	c.Timeout = 10 * time.Second
	s := sourceSet(t, Sources{Exec: []ExecConfig{c}}, slog.New(slog.DiscardHandler))
	wantValues(t, sourceValues(t, s), map[string]float64{ran: 1, `a{job="job"}`: 1})
	gone(t, pidIn(t, filepath.Join(dir, "left")))
}

// A Set that is stopped leaves no command behind, so that there is never a second.
func TestExecEndsWithItsSet(t *testing.T) {
	dir := t.TempDir()
	c := shell(`echo $$ > ` + dir + `/leader; trap '' TERM; sleep 600`)
	c.Timeout = 5 * time.Second
	s := sourceSet(t, Sources{Exec: []ExecConfig{c}}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, sinkFunc(func(Snapshot) error { return nil })) }()
	pid := pidIn(t, filepath.Join(dir, "leader"))
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
}
