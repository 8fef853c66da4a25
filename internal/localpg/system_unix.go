//go:build unix

package localpg

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	unixSockets = true
	exeSuffix   = ""
)

// stopMode is how the server is told to end, in pg_ctl's words.
type stopMode syscall.Signal

const (
	fastStop      = stopMode(syscall.SIGINT)  // roll back, flush, end
	immediateStop = stopMode(syscall.SIGQUIT) // end; recover at the next start
)

func signalProcess(p *os.Process, how stopMode) error {
	err := p.Signal(syscall.Signal(how))
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// account is the user that the server runs as where we are root, which
// PostgreSQL refuses to be. A nil account is our own.
type account struct {
	name     string
	uid, gid uint32
}

// chooseAccount returns the owner of existing data, else the system's postgres
// user, else nobody.
func chooseAccount(data string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if info, err := os.Stat(data); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			name := strconv.Itoa(int(st.Uid))
			if u, err := user.LookupId(name); err == nil {
				name = u.Username
			}
			return &account{name, st.Uid, st.Gid}, nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return &account{name, uint32(uid), uint32(gid)}, nil
		}
	}
	return nil, sentinel.Errorf(sentinel.NotFound, "PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as: start sentinel as another user")
}

// own hands a file or folder to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// canReach returns an Invalid error that names the first folder above dir that
// the account may not enter.
func (a *account) canReach(dir string) error {
	if a == nil {
		return nil
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if ok {
			bit := os.FileMode(0o001)
			if st.Uid == a.uid {
				bit = 0o100
			} else if st.Gid == a.gid {
				bit = 0o010
			}
			if info.Mode().Perm()&bit == 0 {
				return sentinel.Errorf(sentinel.Invalid, "PostgreSQL refuses to run as root, and the user %s that it runs as instead may not enter %s: use a data folder elsewhere (such as /var/lib/sentinel), or run: chmod o+x %s", a.name, parent, parent)
			}
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}

func (a *account) confine(cmd *exec.Cmd) {
	// A group of its own: Ctrl-C in the terminal is for us, and we stop the
	// server when its users have ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
}

func freePort() (int, error) { return 0, errors.New("not needed with unix sockets") }
