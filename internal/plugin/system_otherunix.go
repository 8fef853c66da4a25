//go:build unix && !linux

package plugin

import (
	"io"
	"os"
	"os/exec"
	"syscall"
)

// detach gives the process a group of its own. Where the agent ends, the process sees
// the end of its pipe, at the latest when it has collected.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// resident is not known here.
func resident(int) int64 { return 0 }

// confine leaves it to the process, which bounds itself as far as this system can.
func confine(*os.Process, uint64) (io.Closer, error) { return nil, nil }
