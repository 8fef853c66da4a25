package collector

import (
	"os"
	"os/exec"
)

// openAtOnce is nothing here: files on disk do not wait.
const openAtOnce = 0

// rootDir is where commands run: where the agent does.
const rootDir = ""

// environment is what commands find in theirs; without SystemRoot few can run.
func environment() []string {
	root := os.Getenv("SystemRoot")
	return []string{"SystemRoot=" + root, "PATH=" + root + `\System32;` + root}
}

// ownGroup does nothing: there are no process groups.
func ownGroup(*exec.Cmd) {}

// killGroup kills the command; what that started lives on.
func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
