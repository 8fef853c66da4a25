//go:build unix

package standalone_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/app/standalone"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	return lis.Addr().String()
}

// TestOneFolderKeepsEverything starts the whole system twice on one folder, as a
// newcomer does with make demo.
func TestOneFolderKeepsEverything(t *testing.T) {
	dir, err := os.MkdirTemp("", "sentinel-standalone-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for PostgreSQL's user
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	var agent sentinel.AgentID
	for round := range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		ready, done := make(chan standalone.Place, 1), make(chan error, 1)
		o := standalone.Options{StateDir: state, DatabaseURL: os.Getenv("SENTINEL_TEST_DATABASE_URL"), Gateway: freeAddress(t), API: freeAddress(t),
			Interval: time.Second, Version: "test", Log: slog.New(slog.DiscardHandler), Ready: func(p standalone.Place) { ready <- p }}
		go func() { done <- standalone.Run(ctx, o) }()
		var place standalone.Place
		select {
		case place = <-ready:
		case err := <-done:
			t.Fatalf("round %d ended: %v", round, err)
		}
		if round == 1 && place.Agent != agent {
			t.Errorf("the second start made another agent: %s, then %s", agent, place.Agent)
		}
		agent = place.Agent
		if place.Series < 50 {
			t.Errorf("this host has %d series", place.Series)
		}

		second := standalone.Run(ctx, o)
		if sentinel.CodeOf(second) != sentinel.Conflict || !strings.Contains(second.Error(), "another sentinel") {
			t.Errorf("a second one in the same folder: %v", second)
		}
		token, err := os.ReadFile(filepath.Join(state, "token"))
		if err != nil {
			t.Fatal(err)
		}
		client, err := api.NewClient(api.ClientConfig{Server: place.API, CAFile: filepath.Join(state, "certs", "ca.crt"), Token: string(token)})
		if err != nil {
			t.Fatal(err)
		}
		agents, err := client.Agents(ctx, "")
		if err != nil || len(agents) != 1 || agents[0].ID != string(agent) {
			t.Errorf("agents: %v, %v", agents, err)
		}
		setUp(t, ctx, client, place, round)
		pid := postmaster(t, state)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the stop says: %v", err)
		}
		if pid != 0 && syscall.Kill(pid, 0) == nil {
			t.Errorf("PostgreSQL (pid %d) was left behind", pid)
		}
	}
}

// setUp makes the first user in the first round with the link that is offered, and
// finds none offered in the second.
func setUp(t *testing.T, ctx context.Context, client *api.Client, place standalone.Place, round int) {
	t.Helper()
	link, err := place.SetupLink()
	if err != nil {
		t.Fatal(err)
	}
	if round == 1 {
		if _, err := os.Stat(filepath.Join(filepath.Dir(place.TokenFile), "setup-token")); link != "" || !os.IsNotExist(err) {
			t.Errorf("there is a user, and the setup link %q, its file: %v", link, err)
		}
		return
	}
	token, ok := strings.CutPrefix(link, place.API+"/setup#token=")
	if !ok {
		t.Fatalf("the setup link is %q", link)
	}
	if info, err := os.Stat(place.SetupFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the setup token's file: %v, %v", info.Mode(), err)
	}
	u, err := client.Setup(ctx, api.Setup{Token: token, User: "ann", Password: "correct horse battery"})
	if err != nil || u.Name != "ann" || u.Role != "admin" {
		t.Errorf("setting up gives %+v, %v", u, err)
	}
}

// postmaster returns the pid of the private PostgreSQL, or 0 where a database was
// given.
func postmaster(t *testing.T, state string) int {
	t.Helper()
	matches, err := filepath.Glob(filepath.Join(state, "postgres", "*", "postmaster.pid"))
	if err != nil || len(matches) != 1 {
		if os.Getenv("SENTINEL_TEST_DATABASE_URL") == "" {
			t.Fatalf("no postmaster.pid: %v %v", matches, err)
		}
		return 0
	}
	raw, err := os.ReadFile(matches[0])
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
