package plugin

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// detach gives the process a group of its own, so that its niceness is its own too,
// and has it killed where the agent ends, however that ends.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// resident returns the memory of a process, in bytes; 0 where that is not known.
func resident(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	var size, pages int64
	if err == nil {
		_, err = fmt.Sscan(string(raw), &size, &pages)
	}
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// confine leaves it to the process: it bounds itself (package host) before it reads
// anything.
func confine(*os.Process, uint64) (io.Closer, error) { return nil, nil }
