//go:build linux

package systemtest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// TestP20NoSecretInTheClear runs the system for a while, lets a key be refused on
// the way, and then looks for every secret in all that it has left: logs,
// arguments, metrics, the database, the broker's store and the agents' logs.
func TestP20NoSecretInTheClear(t *testing.T) {
	s := newSystem(t, 2)
	wrong := s.creds[0]
	wrong.Key = s.creds[1].Key
	if err := sign.FileStore(filepath.Join(s.agentDir(0), "credential.json")).Save(wrong); err != nil {
		t.Fatal(err)
	}
	s.startAll()
	waitFor(t, time.Minute, "no cycle has arrived", func() bool { return len(s.stored(1)) > 1 })
	waitFor(t, time.Minute, "the wrong key is not refused", func() bool {
		return strings.Contains(s.get("server", "/metrics"), `sentinel_gateway_sessions_refused_total{reason="unauthenticated"}`)
	})

	secrets := map[string][]byte{}
	for i, c := range s.creds {
		secrets[fmt.Sprint("key of agent ", i)] = c.Key.Secret()
	}
	master, err := os.ReadFile(filepath.Join(s.dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(strings.TrimSpace(string(master)), ":")
	if secrets["master key"], err = base64.StdEncoding.DecodeString(text); err != nil {
		t.Fatal(err)
	}
	if u, err := url.Parse(s.url); err == nil && u.User != nil {
		if password, ok := u.User.Password(); ok && password != "" {
			secrets["database password"] = []byte(password)
		}
	}

	places := map[string][]byte{"metrics": []byte(s.get("server", "/metrics") + s.get("worker", "/metrics"))}
	if places["database"], err = postgrestest.Dump(t.Context(), s.url); err != nil {
		t.Fatal(err)
	}
	for name, p := range s.procs {
		if places["arguments of "+name], err = os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	if s.pg != nil {
		if places["arguments of postgres"], err = os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.pg.PID())); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{s.natsDir(), filepath.Join(s.agentDir(0), "wal"), filepath.Join(s.agentDir(1), "wal"), s.logFile.Name()} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				places[path], err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(places["database"]) < 1000 || len(places[s.logFile.Name()]) < 500 {
		t.Fatal("the search looks at nothing")
	}
	for what, secret := range secrets {
		for place, content := range places {
			for _, form := range [][]byte{secret, []byte(hex.EncodeToString(secret)), []byte(base64.StdEncoding.EncodeToString(secret)),
				[]byte(base64.RawURLEncoding.EncodeToString(secret)), []byte(strings.Trim(fmt.Sprintf("%d", secret), "[]"))} {
				if bytes.Contains(content, form) {
					t.Errorf("%s stands in %s", what, place)
				}
			}
		}
	}
}

// get asks a process' telemetry address.
func (s *system) get(name, path string) string {
	s.t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.ports[name], path))
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(raw)
}

// TestHealthTellsTheTruth: ready means that what is needed answers.
func TestHealthTellsTheTruth(t *testing.T) {
	s := newSystem(t, 0)
	s.startAll()
	waitFor(t, time.Minute, "server and worker are not ready", func() bool {
		return strings.Contains(s.get("server", "/readyz"), "broker: ok") && strings.Contains(s.get("worker", "/readyz"), "broker: ok")
	})
	s.procs["nats"].kill()
	waitFor(t, time.Minute, "the server is ready without a broker", func() bool {
		text := s.get("server", "/readyz")
		return strings.Contains(text, "database: ok") && !strings.Contains(text, "broker: ok") && strings.Contains(text, "broker:")
	})
	if text := s.get("server", "/healthz"); text != "ok\n" {
		t.Errorf("the server lives, and says %q", text)
	}
	s.start(s.procs["nats"])
	waitFor(t, time.Minute, "the server is not ready again", func() bool { return strings.Contains(s.get("server", "/readyz"), "broker: ok") })
}
