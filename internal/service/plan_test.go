package service_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/deploy"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/service"
)

var update = flag.Bool("update", false, "write testdata/plans.txt anew")

// recorder is a machine on which nothing happens. It has what was asked of it.
type recorder struct {
	did   strings.Builder
	files map[string]string
	fail  string // commands that begin so fail
}

func (r *recorder) Write(path, content string, mode fs.FileMode, keep bool) error {
	fmt.Fprintf(&r.did, "  file %s %04o keep=%v\n", path, mode, keep)
	if r.files == nil {
		r.files = map[string]string{}
	}
	r.files[path] = content
	return nil
}

func (r *recorder) Remove(path string) error { fmt.Fprintf(&r.did, "  remove %s\n", path); return nil }

func (r *recorder) Run(_ context.Context, args ...string) error {
	line := strings.Join(args, " ")
	fmt.Fprintf(&r.did, "  $ %s\n", line)
	if r.fail != "" && strings.HasPrefix(line, r.fail) {
		return errors.New("it failed")
	}
	return nil
}

func (r *recorder) Manage(_ context.Context, verb string, in service.Install) error {
	fmt.Fprintf(&r.did, "  manager: %s %s %s\n", verb, in.Program, in.Config)
	return nil
}

func places() map[string]service.Install {
	return map[string]service.Install{
		"linux":   {Program: "/usr/local/bin/sentinel-agent", Config: "/etc/sentinel/sentinel.yml", State: "/var/lib/sentinel-agent"},
		"darwin":  {Program: "/usr/local/bin/sentinel-agent", Config: "/etc/sentinel/sentinel.yml", State: "/Library/Application Support/Sentinel/Agent"},
		"windows": {Program: `C:\Program Files\Sentinel\sentinel-agent.exe`, Config: `C:\ProgramData\Sentinel\sentinel.yml`, State: `C:\ProgramData\Sentinel\Agent`},
	}
}

// What is done on each system is what the golden file says: the words for people,
// and below them the deeds.
func TestPlans(t *testing.T) {
	var got strings.Builder
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, verb := range []string{"install", "uninstall", "start", "stop"} {
			fmt.Fprintf(&got, "== %s on %s\n", verb, system)
			steps, err := service.Plan(system, verb, places()[system])
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range steps {
				var r recorder
				if err := s.Do(t.Context(), &r); err != nil {
					t.Error(err)
				}
				fmt.Fprintf(&got, "%s\n%s", s, r.did.String())
			}
		}
	}
	golden := filepath.Join("testdata", "plans.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the plans are not those of %s; -update writes it anew:\n%s", golden, got.String())
	}
}

// Paths with strange characters reach the unit and the job as they are.
func TestStrangePaths(t *testing.T) {
	in := service.Install{Program: `/opt/100% "a" $b\c & <d>/sentinel-agent`, Config: "/etc/é.yml"}
	var r recorder
	for _, system := range []string{"linux", "darwin"} {
		steps, err := service.Plan(system, "install", in)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if err := s.Do(t.Context(), &r); err != nil {
				t.Error(err)
			}
		}
	}
	if want := `ExecStart="/opt/100%% \"a\" $$b\\c & <d>/sentinel-agent" --config "/etc/é.yml"`; !strings.Contains(r.files["/etc/systemd/system/sentinel-agent.service"], want) {
		t.Errorf("the unit has no %s", want)
	}
	if want := `<string>/opt/100% "a" $b\c &amp; &lt;d&gt;/sentinel-agent</string>`; !strings.Contains(r.files["/Library/LaunchDaemons/com.sentinelgo.agent.plist"], want) {
		t.Errorf("the job has no %s", want)
	}
	if r.files["/etc/é.yml"] != deploy.AgentConfig() {
		t.Error("the configuration is not written")
	}
	in.Config = "/etc/a\nExecStart=/bin/sh"
	if _, err := service.Plan("linux", "install", in); sentinel.CodeOf(err) != sentinel.Invalid {
		t.Errorf("a path of two lines: %v", err)
	}
	if _, err := service.Plan("plan9", "install", in); sentinel.CodeOf(err) != sentinel.Invalid {
		t.Errorf("an unknown system: %v", err)
	}
}

// A command that fails ends the plan with what was being done, except where its work
// may have been done before.
func TestFailingSteps(t *testing.T) {
	for fail, want := range map[string]string{"systemctl disable": "", "systemctl daemon-reload": "run systemctl daemon-reload: it failed"} {
		steps, err := service.Plan("linux", "uninstall", places()["linux"])
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range steps {
			if err := s.Do(t.Context(), &recorder{fail: fail}); err != nil {
				got = err.Error()
			}
		}
		if got != want {
			t.Errorf("%s fails: %q, want %q", fail, got, want)
		}
	}
}

// The real machine: files are replaced as a whole, or kept, with their mode.
func TestHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b.yml")
	var h service.Host
	for _, tt := range []struct {
		content string
		keep    bool
		want    string
	}{{"one", true, "one"}, {"two", true, "one"}, {"three", false, "three"}} {
		if err := h.Write(path, tt.content, 0o640, tt.keep); err != nil {
			t.Fatal(err)
		}
		if raw, err := os.ReadFile(path); err != nil || string(raw) != tt.want {
			t.Errorf("the file has %q, %v; want %q", raw, err, tt.want)
		}
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("there is more beside it: %v, %v", names, err)
	}
	for range 2 {
		if err := h.Remove(path); err != nil {
			t.Errorf("remove, also twice: %v", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Run(t.Context(), self, "-nonsense"); err == nil || !strings.Contains(err.Error(), "not defined: -nonsense") {
		t.Errorf("a command that fails: %v", err)
	}
}
