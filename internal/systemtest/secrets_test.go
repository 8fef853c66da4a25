//go:build linux

package systemtest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
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

	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/postgres"
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
	t.Setenv("SYSTEMTEST_LOG", "debug")
	s.startAll()
	secrets := map[string][]byte{}
	for i, c := range s.creds {
		secrets[fmt.Sprint("key of agent ", i)] = c.Key.Secret()
	}
	s.enrolAll(1) // agent 2
	raw, err := os.ReadFile(s.token)
	if err != nil {
		t.Fatal(err)
	}
	secrets["enrolment token"] = raw
	secrets["key of the enrolled agent"] = s.credential(2).Key.Secret()
	waitFor(t, time.Minute, "no cycle has arrived", func() bool { return len(s.stored(1)) > 1 })
	waitFor(t, time.Minute, "the wrong key is not refused", func() bool {
		return strings.Contains(s.get("server", "/metrics"), `sentinel_gateway_sessions_refused_total{reason="unauthenticated"}`)
	})
	next := s.rotate(1)
	waitFor(t, time.Minute, "the new key is not in use", func() bool { return s.credential(1).Key.ID == next })
	secrets["new key of agent 1"] = s.credential(1).Key.Secret()
	answers := s.useTheAPI(secrets)

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

	places := map[string][]byte{"answers of the API": answers, "metrics": []byte(s.get("server", "/metrics") + s.get("worker", "/metrics"))}
	if places["database"], err = postgrestest.Dump(t.Context(), s.url); err != nil {
		t.Fatal(err)
	}
	for name, p := range s.procs {
		for _, what := range []string{"cmdline", "environ"} {
			raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, what))
			if err != nil {
				t.Fatal(err)
			}
			// The test hands the database's URL over in the environment, by intention.
			places[what+" of "+name] = bytes.ReplaceAll(raw, []byte(s.url), nil)
		}
	}
	if s.pg != nil {
		if places["arguments of postgres"], err = os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.pg.PID())); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{s.natsDir(), filepath.Join(s.agentDir(0), "wal"), filepath.Join(s.agentDir(1), "wal"), filepath.Join(s.agentDir(2), "wal"), s.logFile.Name()} {
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

// useTheAPI makes every secret that people have, adds them to secrets, uses them, and
// returns what the interface answered beside the answers that hand them over.
func (s *system) useTheAPI(secrets map[string][]byte) (answers []byte) {
	s.t.Helper()
	t, ctx := s.t, s.t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const password = "an unguessable passphrase 7391"
	_, err := s.registry.CreateUser(ctx, fleet.Console("test"), "ann", password, postgres.Admin)
	must(err)
	token, err := s.registry.CreateToken(ctx, "canary", postgres.Admin, 0)
	must(err)
	secrets["password"], secrets["API token"] = []byte(password), []byte(token)
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(s.certs.CA)
	must(err)
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	ask := func(method, path, body, bearer string) (status int, cookies []*http.Cookie, answer []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("https://127.0.0.1:%d%s", s.ports["api"], path), strings.NewReader(body))
		must(err)
		req.Header.Set("Content-Type", "application/json")
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := client.Do(req)
		must(err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		must(err)
		return resp.StatusCode, resp.Cookies(), raw
	}
	status, cookies, raw := ask("POST", "/api/v1/session", fmt.Sprintf(`{"user":"ann","password":%q}`, password), "")
	if status != http.StatusOK || len(cookies) != 1 {
		t.Fatalf("logging in: %d %s", status, raw)
	}
	secrets["session"] = []byte(cookies[0].Value)
	answers = append(answers, raw...)
	for _, wrong := range []string{`{"user":"ann","password":"wrong ` + password + `"}`, `{"user":"ann","pass` + password, `{"user":["` + password + `"]}`} {
		_, _, raw := ask("POST", "/api/v1/session", wrong, "")
		answers = append(answers, bytes.ReplaceAll(raw, []byte(password), []byte("(what was sent)"))...) // said to who sent it
	}
	for _, path := range []string{"agents", "tokens", "users", "enrolment-tokens", "agent-configs", "dead-letters", "audit", "events", "status", "session",
		"agents/" + string(s.agents[1]), "agents/" + string(s.agents[1]) + "/keys", "agents/" + string(s.agents[1]) + "/books"} {
		status, _, raw := ask("GET", "/api/v1/"+path, "", token)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, raw)
		}
		answers = append(answers, raw...)
	}
	_, _, raw = ask("GET", "/api/v1/agents", "", token+"x")
	return append(answers, raw...)
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
