// Package localpg runs a private PostgreSQL server for this process: for the
// all-in-one binary, the demo and the tests. It uses the server binaries that
// the machine has and keeps everything else in one folder.
//
// The server is reachable through a unix socket alone (on Windows through
// loopback TCP), asks for a random password, and lives no longer than this
// process: it is stopped by Stop, and on Linux also when the process is killed.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/filelock"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Config says where the server keeps its data.
type Config struct {
	// Dir holds the data, the password and the log; it is created, and must be on
	// a local file system. Only one process can use it at a time. With Ephemeral
	// it may be empty: then a temporary folder is used and removed by Stop.
	Dir string
	// Ephemeral trades every safety for speed: what is stored does not survive a
	// crash of the machine. For tests.
	Ephemeral bool
	Log       *slog.Logger // [discarded]
}

// Server is a running PostgreSQL. Its methods may be called from anywhere.
type Server struct {
	cfg      Config
	dir      string // absolute
	temp     bool   // dir is ours to remove
	bins     binaries
	account  *account // whose rights the server has; nil: ours
	lock     *os.File
	socket   string // folder of the socket; empty on Windows
	ownedDir string // temporary folder of the socket, if it needed one
	port     int
	password string
	proc     *process
}

const (
	dataFolder   = "data"
	passwordFile = "password"
	logFile      = "postgres.log"
	lockFile     = "lock"
	role         = "sentinel"
	socketPort   = 5432 // names the socket's file; no TCP port is opened
)

// Start starts the server, creating its data the first time, and returns when it
// answers. What a killed predecessor left behind in the folder is cleaned up; a
// live one makes it a Conflict. Machines without PostgreSQL 14 or newer get a
// NotFound error that says how to install it. The caller must call Stop; ctx
// bounds only the start.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg}
	if err := s.start(ctx); err != nil {
		s.release()
		return nil, fmt.Errorf("start local PostgreSQL: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := s.prepareFolder(); err != nil {
		return err
	}
	var err error
	if s.bins, err = find(ctx, systemPlaces(), s.existingMajor()); err != nil {
		return err
	}
	if err := s.stopLeftover(ctx); err != nil {
		return err
	}
	if err := s.loadPassword(); err != nil {
		return err
	}
	if s.existingMajor() == 0 {
		began := time.Now()
		if err := s.initialise(ctx); err != nil {
			return err
		}
		s.cfg.Log.InfoContext(ctx, "local PostgreSQL created", "dir", s.dir, "version", s.bins.version, "took", time.Since(began))
	}
	if err := s.prepareSocket(); err != nil {
		return err
	}
	began := time.Now()
	if err := s.launch(ctx); err != nil {
		return err
	}
	s.cfg.Log.InfoContext(ctx, "local PostgreSQL started", "dir", s.dir, "version", s.bins.version, "pid", s.PID(), "took", time.Since(began))
	return nil
}

// URL returns where and how to connect. It holds the password: do not log it.
func (s *Server) URL() string {
	q := url.Values{"sslmode": {"disable"}}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, s.password), Path: "/postgres"}
	if s.socket != "" {
		q.Set("host", s.socket)
		q.Set("port", strconv.Itoa(s.port))
	} else {
		u.Host = "127.0.0.1:" + strconv.Itoa(s.port)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// PID returns the process id of the server.
func (s *Server) PID() int { return s.proc.pid() }

// Done is closed when the server has ended, asked to or not.
func (s *Server) Done() <-chan struct{} { return s.proc.exited }

// Stop ends the server: open transactions are rolled back, what was committed is
// flushed. When ctx ends before that is done the server is stopped without
// flushing; it recovers at the next start, and nothing committed is lost. Stop
// is idempotent.
func (s *Server) Stop(ctx context.Context) error {
	stop := fastStop
	if s.cfg.Ephemeral {
		stop = immediateStop
	}
	err := s.proc.signal(stop)
	select {
	case <-s.proc.exited:
	case <-ctx.Done():
		err = errors.Join(err, s.proc.signal(immediateStop))
		<-s.proc.exited
	}
	s.release()
	if err != nil {
		return fmt.Errorf("stop local PostgreSQL: %w", err)
	}
	return nil
}

// release gives back what start took, but for the data.
func (s *Server) release() {
	if s.ownedDir != "" {
		os.RemoveAll(s.ownedDir)
	}
	if s.temp {
		os.RemoveAll(s.dir)
	}
	if s.lock != nil {
		s.lock.Close()
	}
}

// prepareFolder makes the folder, locks it and hands it to the account that the
// server will run as.
func (s *Server) prepareFolder() error {
	dir := s.cfg.Dir
	if dir == "" {
		if !s.cfg.Ephemeral {
			return sentinel.Errorf(sentinel.Invalid, "no data folder is given")
		}
		sweep()
		var err error
		if dir, err = os.MkdirTemp(shortTemp(), tempPrefix); err != nil {
			return err
		}
		s.temp = true
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	s.dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if s.lock, err = filelock.Take(filepath.Join(dir, lockFile)); err != nil {
		return err
	}
	if s.account, err = chooseAccount(filepath.Join(dir, dataFolder)); err != nil {
		return err
	}
	if err := s.account.own(dir); err != nil {
		return err
	}
	return s.account.canReach(dir)
}

// existingMajor returns the major version that made the data, 0 without data.
func (s *Server) existingMajor() int {
	raw, err := os.ReadFile(filepath.Join(s.dir, dataFolder, "PG_VERSION"))
	if err != nil {
		return 0
	}
	major, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	return major
}

// tail returns the last lines of the server's log, for errors.
func (s *Server) tail() string {
	raw, err := os.ReadFile(filepath.Join(s.dir, logFile))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

const tempPrefix = "sentinel-pg-"

// shortTemp returns a temporary folder whose name leaves room for a socket's.
func shortTemp() string {
	if t := os.TempDir(); len(t) < 40 {
		return t
	}
	if info, err := os.Stat("/tmp"); err == nil && info.IsDir() {
		return "/tmp"
	}
	return os.TempDir()
}

// sweep removes temporary folders of processes that ended without Stop. Whoever
// lives holds the lock of its folder.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(shortTemp(), tempPrefix+"*"))
	for _, dir := range dirs {
		path := filepath.Join(dir, lockFile)
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue // perhaps being made right now, its lock not taken yet
		}
		if lock, err := filelock.Take(path); err == nil {
			killLeftover(filepath.Join(dir, dataFolder))
			os.RemoveAll(dir)
			lock.Close()
		}
	}
}
