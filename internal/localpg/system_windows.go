package localpg

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"
)

const (
	unixSockets = false
	exeSuffix   = ".exe"
)

// stopMode is how the server is told to end. Windows has no signals; a server
// that is terminated recovers at its next start and loses nothing committed.
type stopMode int

const (
	fastStop stopMode = iota
	immediateStop
)

func signalProcess(p *os.Process, _ stopMode) error { return p.Kill() }

func alive(pid int) bool {
	h, err := syscall.OpenProcess(syscall.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return false
	}
	defer syscall.CloseHandle(h)
	state, err := syscall.WaitForSingleObject(h, 0)
	return err == nil && state == syscall.WAIT_TIMEOUT
}

// syncFolder does nothing: NTFS journals renames.
func syncFolder(string) error { return nil }

// account is always our own here. PostgreSQL refuses administrators: sentinel
// must run as another user or service account.
type account struct{}

func chooseAccount(string) (*account, error) { return nil, nil }
func (*account) own(string) error            { return nil }
func (*account) canReach(string) error       { return nil }

func (*account) confine(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
}

func dieWithParent(*exec.Cmd, bool) {}

// isServer reports whether a process is a PostgreSQL server. Which data it serves
// cannot be read without WMI, but the pid stands in the data's own pid file.
func isServer(pid int, _ string) bool {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	var name [windows.MAX_LONG_PATH]uint16
	size := uint32(len(name))
	if err := windows.QueryFullProcessImageName(h, 0, &name[0], &size); err != nil {
		return false
	}
	return strings.EqualFold(filepath.Base(windows.UTF16ToString(name[:size])), "postgres.exe")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
