package localpg

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// process is the server's process.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of Wait; read after exited is closed
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// signal asks the process to end; one that has ended already is no error.
func (p *process) signal(how stopMode) error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	if err := signalProcess(p.cmd.Process, how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// spawn starts cmd from a thread that lives as long as the process: Linux sends
// the parent-death signal when the thread that forked ends, and Go ends threads
// as it likes.
func spawn(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// launch starts the server and waits until it answers. Workers of a killed
// server may hold its shared memory for a moment: then it tries again.
func (s *Server) launch(ctx context.Context) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := s.launchOnce(ctx)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) ||
			!strings.Contains(s.tail(), "pre-existing shared memory block") {
			return err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func (s *Server) launchOnce(ctx context.Context) error {
	path := filepath.Join(s.dir, logFile)
	if info, err := os.Stat(path); err == nil && info.Size() > 10<<20 {
		_ = os.Rename(path, path+".old") // best effort: keeps the log from growing for ever
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                                             // the child has its own
	cmd := exec.Command(s.bins.path("postgres"), s.settings()...) //nolint:noctx // it outlives the start
	s.confine(cmd)
	dieWithParent(cmd, s.cfg.Ephemeral)
	cmd.Stdout, cmd.Stderr = log, log
	if s.proc, err = spawn(cmd); err != nil {
		return fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	for {
		if answers(s.network(), s.address()) {
			return nil
		}
		select {
		case <-s.proc.exited:
			return fmt.Errorf("the server ended at once: %w\n%s", s.proc.err, s.tail())
		case <-ctx.Done():
			err := fmt.Errorf("the server does not answer: %w\n%s", context.Cause(ctx), s.tail())
			if stopErr := s.proc.signal(immediateStop); stopErr == nil {
				<-s.proc.exited
			}
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) network() string {
	if s.socket != "" {
		return "unix"
	}
	return "tcp"
}

func (s *Server) address() string {
	if s.socket != "" {
		return filepath.Join(s.socket, ".s.PGSQL."+strconv.Itoa(s.port))
	}
	return "127.0.0.1:" + strconv.Itoa(s.port)
}

// answers reports whether a server takes connections: it greets as a client
// (https://www.postgresql.org/docs/current/protocol-flow.html) and wants to be
// asked for the password. A server that starts up answers with an error instead.
func answers(network, address string) bool {
	conn, err := net.DialTimeout(network, address, time.Second) //nolint:noctx // bounded by its timeout
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	body := []byte("\x00\x03\x00\x00user\x00" + role + "\x00database\x00postgres\x00\x00")
	hello := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	if _, err := conn.Write(append(hello, body...)); err != nil {
		return false
	}
	kind, err := bufio.NewReader(conn).ReadByte()
	return err == nil && kind == 'R'
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// stopLeftover ends a server that still runs on our data though its parent is
// gone (we hold the folder's lock): killed parents cannot wait for it.
func (s *Server) stopLeftover(ctx context.Context) error {
	data := filepath.Join(s.dir, dataFolder)
	pid := leftover(data)
	if pid == 0 {
		return nil
	}
	s.cfg.Log.InfoContext(ctx, "stopping a PostgreSQL that a killed process left behind", "pid", pid)
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil
	}
	patience := time.Now().Add(10 * time.Second)
	how := fastStop
	for {
		if err := signalProcess(p, how); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop the PostgreSQL with pid %d that a killed process left behind: %w", pid, err)
		}
		if leftover(data) != pid {
			return nil
		}
		if time.Now().After(patience) {
			how = immediateStop
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the PostgreSQL with pid %d that a killed process left behind: %w", pid, err)
		}
	}
}

// killLeftover ends a server whose data is about to be removed.
func killLeftover(data string) {
	if pid := leftover(data); pid != 0 {
		if p, err := os.FindProcess(pid); err == nil {
			_ = signalProcess(p, immediateStop) // it may have ended meanwhile
		}
	}
}

// leftover returns the pid of a server that runs on data, or 0. A pid file that
// names a process that is no such server is removed: the number was given away
// again, and PostgreSQL would believe it.
func leftover(data string) int {
	path := filepath.Join(data, "postmaster.pid")
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 || !alive(pid) {
		return 0
	}
	if !isServer(pid, data) {
		os.Remove(path)
		return 0
	}
	return pid
}
