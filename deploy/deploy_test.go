package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/deploy"
)

// systemd itself reads the unit: it knows every key in it, and rates what the unit
// leaves open at no more than 2.0 of 10.
func TestSystemdUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed: the unit is not verified")
	}
	program, err := os.Executable() // verify wants a program that is there
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "sentinel-agent.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(deploy.SystemdUnit(), deploy.ProgramPath, program)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", unit).CombinedOutput()
	if strings.Contains(string(out), "unrecognized option") {
		t.Skip("this systemd-analyze does not rate units offline")
	}
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Log(lines[len(lines)-1])
}

// Both files name the program and its configuration by the paths that the installer
// looks for.
func TestPaths(t *testing.T) {
	for name, text := range map[string]string{"unit": deploy.SystemdUnit(), "job": deploy.LaunchdJob()} {
		if strings.Count(text, deploy.ProgramPath) != 1 || strings.Count(text, deploy.ConfigPath) != 1 {
			t.Errorf("the %s does not name %s and %s once each", name, deploy.ProgramPath, deploy.ConfigPath)
		}
	}
}

func TestAgentConfig(t *testing.T) {
	text := deploy.AgentConfig()
	if strings.Count(text, deploy.ServerAddress) != 1 || !strings.HasSuffix(text, "\n") {
		t.Errorf("the configuration does not say %q once, or does not end its last line", deploy.ServerAddress)
	}
}
