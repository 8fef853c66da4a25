package localpg

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// loadPassword reads the password of the data, or makes one for new data.
func (s *Server) loadPassword() error {
	path := filepath.Join(s.dir, passwordFile)
	raw, err := os.ReadFile(path)
	switch {
	case err == nil && len(bytes.TrimSpace(raw)) > 0:
		s.password = strings.TrimSpace(string(raw))
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case s.existingMajor() != 0:
		return sentinel.Errorf(sentinel.NotFound, "%s is missing, but there is data that it belongs to: put it back, or move %s away to start afresh", path, s.dir)
	}
	s.password = rand.Text()
	if err := os.WriteFile(path, []byte(s.password+"\n"), 0o600); err != nil {
		return err
	}
	return s.account.own(path)
}

// initialise creates the data in a folder beside its place, so that an
// interrupted attempt is never taken for data.
func (s *Server) initialise(ctx context.Context) error {
	data, unfinished := filepath.Join(s.dir, dataFolder), filepath.Join(s.dir, dataFolder+".new")
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	args := []string{
		"--pgdata=" + unfinished,
		"--username=" + role,
		"--pwfile=" + filepath.Join(s.dir, passwordFile),
		"--auth=scram-sha-256",
		"--encoding=UTF8", "--no-locale",
		"--no-instructions",
	}
	if s.cfg.Ephemeral {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, s.bins.path("initdb"), args...)
	s.confine(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(unfinished, data); err != nil {
		return err
	}
	return syncFolder(s.dir)
}

// confine gives a command the server's account, folder and a clean environment:
// PGDATA, PGOPTIONS and the like of the caller are not for us.
func (s *Server) confine(cmd *exec.Cmd) {
	cmd.Dir = s.dir
	cmd.Env = []string{"HOME=" + s.dir, "LC_ALL=C", "TZ=UTC"}
	for _, name := range []string{"PATH", "TMPDIR", "TEMP", "TMP", "SystemRoot", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	s.account.confine(cmd)
}

// settings returns the server's command line. No secret is among them: anybody
// on the machine can read it.
func (s *Server) settings() []string {
	list := []string{
		"port=" + strconv.Itoa(s.port),
		"timezone=UTC", "log_timezone=UTC",
		"logging_collector=off", "log_destination=stderr", "log_line_prefix=%m [%p] ",
		"shared_buffers=128MB", "jit=off",
	}
	if s.socket != "" {
		list = append(list, "listen_addresses=", "unix_socket_directories="+s.socket, "unix_socket_permissions=0700")
	} else {
		list = append(list, "listen_addresses=127.0.0.1")
	}
	if s.cfg.Ephemeral {
		list = append(list, "fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"wal_level=minimal", "max_wal_senders=0", "max_connections=200", "max_wal_size=256MB")
	} else {
		list = append(list, "max_connections=60", "max_wal_size=1GB", "checkpoint_timeout=15min", "wal_compression=on")
	}
	args := []string{"-D", filepath.Join(s.dir, dataFolder)}
	for _, kv := range list {
		args = append(args, "-c", kv)
	}
	return args
}

// maxSocketPath is the shortest limit of the systems we know (macOS: 104 with
// the final zero).
const maxSocketPath = 103

// prepareSocket makes the folder of the socket: in our folder where the path is
// short enough, else in a temporary one.
func (s *Server) prepareSocket() error {
	if !unixSockets {
		port, err := freePort()
		s.port = port
		return err
	}
	s.port = socketPort
	dir := filepath.Join(s.dir, "run")
	if len(dir)+len("/.s.PGSQL.5432") > maxSocketPath || strings.Contains(dir, ",") {
		var err error
		if dir, err = os.MkdirTemp(shortTemp(), "sentinel-sock-"); err != nil {
			return err
		}
		s.ownedDir = dir
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s.socket = dir
	if err := s.account.own(dir); err != nil {
		return err
	}
	return s.account.canReach(dir)
}
