package localpg

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent makes the kernel stop the server when we are killed.
func dieWithParent(cmd *exec.Cmd, ephemeral bool) {
	cmd.SysProcAttr.Pdeathsig = syscall.Signal(fastStop)
	if ephemeral {
		cmd.SysProcAttr.Pdeathsig = syscall.Signal(immediateStop)
	}
}

// isServer reports whether a process is a server on data. One that has ended and
// is not waited for yet has no command line, so it is none.
func isServer(pid int, data string) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && strings.Contains(string(raw), data)
}
