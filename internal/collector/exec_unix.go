//go:build unix

package collector

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// openAtOnce is the flag of open with which it never waits.
const openAtOnce = syscall.O_NONBLOCK

// rootDir is where commands run.
const rootDir = "/"

// environment is what commands find in theirs.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
}

// ownGroup gives the command a process group of its own.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills the command and what it started.
func killGroup(cmd *exec.Cmd) error {
	err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
