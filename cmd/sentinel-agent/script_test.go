//go:build unix

package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sentinelgo/sentinel/internal/control"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"sentinel-agent": main}) }

// TestScripts runs the agent as people and service managers do. Each script in
// testdata/script is one story; `exit CODE COMMAND…` wants that exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// A socket's path must be short.
			dir, err := os.MkdirTemp("", "agent")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(dir) })
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			defer lis.Close()
			env.Setenv("STATE", dir)
			env.Setenv("LISTEN", lis.Addr().String())
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			cred := sign.Credential{Agent: sentinel.AgentID("ag-aaaaaaaaaaaaaaaa"), Key: sign.NewKey()}
			return sign.FileStore(filepath.Join(dir, "credential.json")).Save(cred)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exit": exit, "answers": answers, "hangup": hangup, "reloaded": reloaded, "interrupt": interrupt},
	})
}

func exit(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if failed, ok := err.(*exec.ExitError); ok {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	ts.Logf("[exit %d]\n%s%s", got, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	if want, err := strconv.Atoi(args[0]); err != nil || got != want {
		ts.Fatalf("exit code is %d, want %s", got, args[0])
	}
}

// until asks the agent in $STATE until it answers as wanted, and returns that.
func until(ts *testscript.TestScript, wanted func(control.Status) bool) control.Status {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	client := control.NewClient(control.SocketPath(ts.Getenv("STATE")))
	for {
		s, err := client.Status(ctx)
		if err == nil && wanted(s) {
			return s
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("waited in vain: %+v, %v", s, err)
		case <-tick.C:
		}
	}
}

// answers waits until the agent runs.
func answers(ts *testscript.TestScript, _ bool, _ []string) {
	until(ts, func(control.Status) bool { return true })
}

// hangup sends SIGHUP and waits for the reload that follows.
func hangup(ts *testscript.TestScript, _ bool, _ []string) {
	before := until(ts, func(control.Status) bool { return true })
	ts.Check(syscall.Kill(before.PID, syscall.SIGHUP))
	until(ts, func(s control.Status) bool {
		return s.Config.LastReload != nil && (before.Config.LastReload == nil || s.Config.LastReload.After(*before.Config.LastReload))
	})
}

// reloaded wants the error of the configuration to match, or none without a pattern.
func reloaded(ts *testscript.TestScript, _ bool, args []string) {
	s := until(ts, func(control.Status) bool { return true })
	switch text := s.Config.Error; {
	case len(args) == 0 && (s.Config.LastGood || text != ""), len(args) > 0 && !regexp.MustCompile(args[0]).MatchString(text):
		ts.Fatalf("the configuration: %+v", s.Config)
	}
}

// interrupt asks the agent to stop, as ^C does.
func interrupt(ts *testscript.TestScript, _ bool, _ []string) {
	s := until(ts, func(control.Status) bool { return true })
	ts.Check(syscall.Kill(s.PID, syscall.SIGINT))
}
