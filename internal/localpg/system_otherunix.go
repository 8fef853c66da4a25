//go:build unix && !linux

package localpg

import (
	"os/exec"
	"strconv"
	"strings"
)

// dieWithParent does nothing: only Linux can. The next start on the same folder
// stops what a killed process left behind.
func dieWithParent(*exec.Cmd, bool) {}

// isServer reports whether a process is a server on data.
func isServer(pid int, data string) bool {
	out, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), data)
}
