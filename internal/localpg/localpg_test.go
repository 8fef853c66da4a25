//go:build unix

package localpg

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const envParent = "SENTINEL_TEST_LOCALPG_DIR"

// TestMain also plays the parent that is killed: see TestKilledParent.
func TestMain(m *testing.M) {
	if dir := os.Getenv(envParent); dir != "" {
		s, err := Start(context.Background(), Config{Dir: dir})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		if err := query(s.URL(), `CREATE TABLE kept (x int); INSERT INTO kept VALUES (42)`); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("pid", s.PID())
		io.Copy(io.Discard, os.Stdin) // until we are killed
	}
	os.Exit(m.Run())
}

// reachable returns a folder that the server's account can enter even when the
// tests run as root.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sentinel-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func query(url, sql string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func mustStart(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s
}

func TestRestartKeepsData(t *testing.T) {
	dir := filepath.Join(reachable(t), "pg")
	began := time.Now()
	s := mustStart(t, Config{Dir: dir})
	t.Logf("a fresh server took %s", time.Since(began))
	if err := query(s.URL(), `CREATE TABLE kept (x int)`); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Dir: dir}); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Errorf("a second server on the same folder: %v", err)
	}
	first := s.URL()
	for range 2 { // Stop is idempotent
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-s.Done():
	default:
		t.Error("stopped, but not done")
	}
	began = time.Now()
	s = mustStart(t, Config{Dir: dir})
	t.Logf("the next start took %s", time.Since(began))
	if s.URL() != first {
		t.Error("the URL changed")
	}
	if err := query(s.URL(), `INSERT INTO kept VALUES (1)`); err != nil {
		t.Fatal(err)
	}
}

func TestP20PasswordIsNowhereElse(t *testing.T) {
	dir := filepath.Join(reachable(t), "pg")
	s := mustStart(t, Config{Dir: dir, Ephemeral: true})
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := u.User.Password()
	if len(secret) < 20 {
		t.Fatalf("the password has %d characters", len(secret))
	}
	if err := query(strings.Replace(s.URL(), secret, "wrong", 1), `SELECT 1`); err == nil {
		t.Error("any password will do")
	}
	lines, _ := filepath.Glob("/proc/*/cmdline")
	for _, path := range lines {
		if raw, _ := os.ReadFile(path); strings.Contains(string(raw), secret) {
			t.Errorf("%s shows the password", path)
		}
	}
	if raw, _ := os.ReadFile(filepath.Join(dir, logFile)); strings.Contains(string(raw), secret) {
		t.Error("the log shows the password")
	}
	info, err := os.Stat(filepath.Join(dir, passwordFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v, %v", info.Mode(), err)
	}
	if os.Geteuid() == 0 {
		if st := info.Sys().(*syscall.Stat_t); st.Uid == 0 {
			t.Error("the server runs as root?")
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, passwordFile))
	if _, err := Start(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("start without the password: %v", err)
	}
}

func TestKilledParent(t *testing.T) {
	dir := filepath.Join(reachable(t), "pg")
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), envParent+"="+dir)
	stdin, err := parent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	pid, convErr := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "pid ")))
	if err != nil || convErr != nil {
		t.Fatalf("parent says %q, %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait()
	s := mustStart(t, Config{Dir: dir}) // at once: the old server may still be ending
	if s.PID() == pid {
		t.Error("the old server goes on")
	}
	if alive(pid) && isServer(pid, dir) {
		t.Errorf("the old server %d lives", pid)
	}
	if err := query(s.URL(), `DO $$ BEGIN ASSERT (SELECT x FROM kept) = 42; END $$`); err != nil {
		t.Errorf("the data is not there: %v", err)
	}
}

// The server itself is killed: its workers may hold the shared memory for a
// moment, and its pid file stays.
func TestKilledServer(t *testing.T) {
	dir := filepath.Join(reachable(t), "pg")
	s := mustStart(t, Config{Dir: dir})
	if err := query(s.URL(), `CREATE TABLE kept AS SELECT 42 AS x`); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stop after the end: %v", err)
	}
	s = mustStart(t, Config{Dir: dir})
	if err := query(s.URL(), `SELECT x FROM kept`); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A pid file whose number now belongs to a stranger: us.
	pidFile := filepath.Join(dir, dataFolder, "postmaster.pid")
	if err := os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n%s\n", os.Getpid(), filepath.Join(dir, dataFolder)), 0o600); err != nil {
		t.Fatal(err)
	}
	mustStart(t, Config{Dir: dir})
}

func TestLongPath(t *testing.T) {
	dir := filepath.Join(reachable(t), strings.Repeat("long", 30), "pg")
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, Config{Dir: dir, Ephemeral: true})
	if err := query(s.URL(), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
	socket := s.ownedDir
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(socket); socket == "" || err == nil {
		t.Errorf("socket folder %q stays", socket)
	}
}

func TestEphemeralLeavesNothing(t *testing.T) {
	s := mustStart(t, Config{Ephemeral: true})
	if err := query(s.URL(), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.dir); err == nil {
		t.Errorf("%s stays", s.dir)
	}
}

func TestNoBinaries(t *testing.T) {
	_, err := find(t.Context(), []string{t.TempDir()}, 0)
	if sentinel.CodeOf(err) != sentinel.NotFound {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"apt-get install", "dnf install", "brew install", "DATABASE_URL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}

// fakeServer writes binaries that only know their version.
func fakeServer(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"postgres", "initdb"} {
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindPicksTheNewest(t *testing.T) {
	dirs := []string{fakeServer(t, "13.9"), fakeServer(t, "14.2 (Debian 14.2-1)"), fakeServer(t, "18beta1"), fakeServer(t, "16.4")}
	for major, want := range map[int]string{0: "18beta1", 16: "16.4", 14: "14.2"} {
		b, err := find(t.Context(), dirs, major)
		if err != nil || b.version != want {
			t.Errorf("major %d: %q, %v, want %s", major, b.version, err, want)
		}
	}
	_, err := find(t.Context(), dirs, 15)
	if sentinel.CodeOf(err) != sentinel.NotFound || !strings.Contains(err.Error(), "PostgreSQL 15") {
		t.Errorf("error %v", err)
	}
	_, err = find(t.Context(), dirs[:1], 0)
	if sentinel.CodeOf(err) != sentinel.NotFound || !strings.Contains(err.Error(), "13.9") {
		t.Errorf("error %v", err)
	}
}

func TestRootNeedsAReachableFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives its rights away")
	}
	closed := reachable(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Config{Dir: filepath.Join(closed, "pg")})
	if err == nil || sentinel.CodeOf(err) != sentinel.Invalid || !strings.Contains(err.Error(), "chmod o+x "+closed) {
		t.Errorf("error %v", err)
	}
}

func TestFailedStartTellsWhy(t *testing.T) {
	dir := filepath.Join(reachable(t), "pg")
	s := mustStart(t, Config{Dir: dir, Ephemeral: true})
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, dataFolder, "postgresql.conf")
	if err := os.WriteFile(conf, []byte("no_such_setting = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Dir: dir, Ephemeral: true}); err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("error %v", err)
	}
}
