//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/app/server"
	"github.com/sentinelgo/sentinel/internal/app/worker"
	"github.com/sentinelgo/sentinel/internal/broker/embedded"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/devca"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/plugin/host"
	"github.com/sentinelgo/sentinel/internal/plugin/plugintest"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/wal"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// tests runs the package's tests and stops the shared PostgreSQL after them.
type tests struct{ *testing.M }

func (m tests) Run() int { return postgrestest.Main(m.M) }

func TestMain(m *testing.M) {
	if code, is := host.Run(context.Background()); is { // the process of a plugin of the system's agent
		os.Exit(code)
	}
	testscript.Main(tests{m}, map[string]func(){"sentinelctl": func() { os.Exit(run()) }})
}

// TestScripts runs sentinelctl as people do, against a server with a database, a
// broker, a worker and an agent of its own. Each script in testdata/script is one
// story; `exit CODE COMMAND…` runs a command and wants that exit code.
func TestScripts(t *testing.T) {
	s := startSystem(t, true)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               s.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit": s.exit, "mode": mode, "snapshot": snapshot, "unchanged": unchanged, "damage": damage, "blackhole": blackhole, "interrupted": interrupted, "stale": stale,
		},
	})
}

// system is a running Sentinel with agents in it.
type system struct {
	url      string // of the REST interface
	closed   string // an address where nobody listens
	gateway  string // where agents connect
	hook     string // a webhook that takes everything
	certs    devca.Files
	tokens   map[string]string
	agents   map[string]string
	liveDir  string
	file     string // of the agent's configuration
	trusting bool
	signer   []byte   // a key for plugins that this agent trusts
	secrets  []string // that no command may ever print
}

// startSystem starts one whose agent trusts a key for plugins, or none.
func startSystem(t *testing.T, trusting bool) *system {
	t.Helper()
	dir := t.TempDir()
	s := &system{trusting: trusting, tokens: map[string]string{}, agents: map[string]string{}, liveDir: filepath.Join(dir, "agent")}
	var err error
	s.certs, err = devca.Ensure(filepath.Join(dir, "certs"))
	must(t, err)
	master := filepath.Join(dir, "master.key")
	must(t, sign.CreateMasterKey(master))
	vault, err := sign.LoadVault(master)
	must(t, err)
	dbURL := postgrestest.URL(t)
	db := postgrestest.Open(t, dbURL)
	registry := fleet.NewRegistry(db, vault)
	for _, role := range []postgres.Role{postgres.Viewer, postgres.Operator, postgres.Admin} {
		s.tokens[string(role)], err = registry.CreateToken(t.Context(), "test", role, 0)
		must(t, err)
	}
	s.tokens["expired"], err = registry.CreateToken(t.Context(), "test", postgres.Admin, time.Nanosecond)
	must(t, err)
	for _, token := range s.tokens {
		s.secrets = append(s.secrets, token)
	}
	register := func(name, hostname string) postgres.Agent {
		cred, err := registry.Register(t.Context(), hostname, []sentinel.Label{{Name: "site", Value: "fra"}})
		must(t, err)
		s.agents[name], s.secrets = string(cred.Agent), append(s.secrets, cred.Key.SecretText())
		if name == "live" {
			must(t, sign.FileStore(filepath.Join(s.liveDir, "credential.json")).Save(cred))
		}
		a, err := db.AgentByName(t.Context(), cred.Agent)
		must(t, err)
		return a
	}
	store(t, db, register("web", "web-1"), nil)
	store(t, db, register("lossy", "web-2"), []sentinel.Loss{{Epoch: 7, Range: sentinel.SeqRange{First: 4, Last: 9}, Reason: sentinel.LossBytes}})
	// These came late for the roll-up, which the worker would take up at its next
	// turn: until then steps do not show them.
	for done := false; !done; {
		stats, err := db.Rollup(t.Context(), time.Now())
		must(t, err)
		done = stats.Done
	}
	quarantine(t, db, vault, register("dead", "dead-1"))
	register("twin1", "twin")
	register("twin2", "twin")
	register("live", "live-1")
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(hook.Close)
	s.hook = hook.URL
	s.run(t, dir, dbURL, master)
	return s
}

// run starts server, worker and one agent, and waits for the agent's samples.
func (s *system) run(t *testing.T, dir, dbURL, master string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	nats, err := embedded.Start(embedded.Config{Dir: filepath.Join(dir, "nats"), MaxBytes: 8 << 30}, log)
	must(t, err)
	t.Cleanup(nats.Stop)
	ports := freePorts(t, 3)
	s.url, s.closed, s.gateway = "https://"+ports[1], "https://"+ports[2], ports[0]

	sc, wc, ac := server.DefaultConfig(), worker.DefaultConfig(), agent.DefaultConfig()
	sc.Server.Gateway, sc.Server.API, sc.Server.Listen = ports[0], ports[1], ""
	sc.Server.CertFile, sc.Server.KeyFile, sc.Server.Ingest.Heartbeat = s.certs.Cert, s.certs.Key, time.Second
	sc.Broker.InProcess, sc.Broker.MaxBytes, sc.Broker.Partitions = nats, 64<<20, 2
	sc.Database.URL, sc.Security.MasterKeyFile = dbURL, master
	wc.Worker.Listen, wc.Broker, wc.Database, wc.Security = "", sc.Broker, sc.Database, sc.Security
	ac.Agent.StateDir, ac.Agent.Listen = s.liveDir, ""
	public, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	s.signer, err = plugin.EncodePrivateKey(key)
	must(t, err)
	if s.trusting {
		ac.Agent.Plugins.TrustedKeys = []string{plugin.PublicKey(public).String()}
	}
	ac.Agent.Plugins.Allow.MinInterval = time.Second
	ac.Agent.Server.Address, ac.Agent.Server.CAFile, ac.Agent.Server.RetryMax = ports[0], s.certs.CA, time.Second
	ac.Agent.Collect.Interval, ac.Agent.Collect.Timeout = time.Second, time.Second
	for name := range ac.Agent.Collect.Collectors {
		ac.Agent.Collect.Collectors[name] = name == "cpu" || name == "load" || name == "memory"
	}

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	t.Cleanup(func() {
		stop()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	go func() { ended <- server.Run(ctx, sc, log) }()
	go func() { ended <- worker.Run(ctx, wc, log) }()
	s.file = filepath.Join(dir, "agent.yml")
	f, err := os.Create(s.file)
	must(t, err)
	must(t, errors.Join(config.Dump(f, ac), f.Close()))
	load := func() (agent.Config, error) {
		cfg := agent.DefaultConfig()
		err := config.Load(s.file, nil, &cfg)
		return cfg, err
	}
	go func() { ended <- agent.Options{File: s.file, Load: load}.Run(ctx, ac, "v-test", log) }()

	client, err := api.NewClient(api.ClientConfig{Server: s.url, CAFile: s.certs.CA, Token: s.tokens["viewer"]})
	must(t, err)
	deadline, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		latest, err := client.Latest(deadline, s.agents["live"], "")
		var books api.Books
		if err == nil {
			books, err = client.Books(deadline, s.agents["live"])
		}
		if err == nil && len(latest.Samples) > 0 && books.Total.Stored > 0 {
			return
		}
		select {
		case <-deadline.Done():
			t.Fatalf("the agent's samples do not arrive: %v", err)
		case <-tick.C:
		}
	}
}

// store puts three cycles of an agent into the database and, where there are
// losses, a fourth record that declares them.
func store(t *testing.T, db *postgres.DB, a postgres.Agent, losses []sentinel.Loss) {
	t.Helper()
	layout, definition, hash := testLayout()
	id, err := db.EnsureLayout(t.Context(), a.ID, hash, definition, layout)
	must(t, err)
	batch := postgres.Batch{Agent: a.ID, AgentName: a.Name, Epoch: 7, First: 1, Count: 3, LayoutID: id, Received: time.Now(), Envelope: []byte("e")}
	// Whole minutes, so that steps are known: two cycles in one, one in the next.
	start := time.Now().Truncate(time.Minute).Add(-3 * time.Minute)
	for i, at := range []time.Duration{0, 20 * time.Second, time.Minute} {
		c := testCycle(hash, start.Add(at), float64(i))
		batch.Cycles = append(batch.Cycles, c)
		batch.Digests = append(batch.Digests, wire.Digest(c))
	}
	batches := []postgres.Batch{batch}
	if losses != nil {
		batches = append(batches, postgres.Batch{Agent: a.ID, AgentName: a.Name, Epoch: 8, First: 1, Count: 1, Losses: losses, Digests: []uint64{1}, Received: time.Now()})
	}
	_, err = db.Commit(t.Context(), batches, nil)
	must(t, err)
	must(t, db.ReportPositions(t.Context(), []postgres.Report{{Agent: a.ID, SeenAt: time.Now(), Hostname: a.Hostname,
		Info: &postgres.AgentInfo{Version: "v-test", OS: "linux", Arch: "amd64"}, Positions: []sentinel.Position{{Epoch: 7, Appended: 3 + 6*uint64(len(losses))}}}}))
}

// quarantine gives an agent four dead letters: two batches that are of use by now,
// one that never will be, and an orphan.
func quarantine(t *testing.T, db *postgres.DB, vault *sign.Vault, a postgres.Agent) {
	t.Helper()
	layout, definition, hash := testLayout()
	_, err := db.EnsureLayout(t.Context(), a.ID, hash, definition, layout)
	must(t, err)
	keys, err := db.AgentKeys(t.Context(), a.ID)
	must(t, err)
	key, err := vault.Open(a.Name, keys[0].KeyID, keys[0].Secret)
	must(t, err)
	seal := func(seq uint64, payload []byte) []byte {
		e := &sentinelpb.Envelope{AgentId: string(a.Name), KeyId: key.ID, Epoch: 9, Seq: seq, Count: 1, Codec: sentinelpb.Codec_CODEC_CYCLES_V1, Payload: payload}
		key.Batch(e)
		raw, err := proto.Marshal(e)
		must(t, err)
		return raw
	}
	for seq := range uint64(3) {
		payload := []byte("not a payload")
		if seq < 2 {
			payload, err = wire.EncodeCycles([]sentinel.Cycle{testCycle(hash, time.Now().Truncate(time.Second), float64(seq))})
			must(t, err)
		}
		_, err = db.Commit(t.Context(), []postgres.Batch{{Agent: a.ID, AgentName: a.Name, Epoch: 9, First: seq + 1, Count: 1, Received: time.Now(), Envelope: seal(seq+1, payload),
			Quarantine: &postgres.Quarantine{Reason: "test", Detail: "for the test"}}}, nil)
		must(t, err)
	}
	_, err = db.Commit(t.Context(), nil, []postgres.Orphan{{AgentName: "somebody", Reason: "bad_signature", Envelope: []byte("rubbish"), Received: time.Now()}})
	must(t, err)
}

// testLayout has what tables trip over: a number with many digits, a label that is
// too long to show, and one that would command a terminal.
func testLayout() (sentinel.Layout, []byte, sentinel.LayoutHash) {
	layout := sentinel.Layout{
		sentinel.NewSeries("test_load", sentinel.Gauge, ""),
		sentinel.NewSeries("test_seconds_total", sentinel.Counter, "seconds", "cpu", "0", "mode", "idle"),
		sentinel.NewSeries("test_seconds_total", sentinel.Counter, "seconds", "cpu", "0", "mode", "user"),
		sentinel.NewSeries("test_free_bytes", sentinel.Gauge, "bytes", "mountpoint", "/srv/"+strings.Repeat("long/", 30)),
		sentinel.NewSeries("test_hostile", sentinel.Gauge, "", "name", "a\x1b[2J\tb,c"),
	}
	definition := wire.EncodeLayout(layout)
	return layout, definition, wire.HashLayout(definition)
}

func testCycle(hash sentinel.LayoutHash, at time.Time, n float64) sentinel.Cycle {
	return sentinel.Cycle{Layout: hash, Time: at, Values: []float64{n + 0.5, 1234567.890123 + n, 7, 1 << 40, 1}}
}

// appendCycles fills a log the way the agent does.
func appendCycles(log *wal.Log, n int) error {
	_, definition, hash := testLayout()
	start := time.Now().Truncate(time.Second).Add(-time.Hour)
	for i := range n {
		c := testCycle(hash, start.Add(time.Duration(i)*time.Second), float64(i))
		payload, err := wire.EncodeCycles([]sentinel.Cycle{c})
		if err != nil {
			return err
		}
		if _, err := log.Append(wal.Entry{Kind: wal.KindCycle, Time: c.Time, Layout: hash, Data: payload}, func() []byte { return definition }); err != nil {
			return err
		}
	}
	return nil
}

// setup gives each script a configuration for every role, a log that is being
// written, and the names of things.
func (s *system) setup(env *testscript.Env) error {
	work := env.WorkDir
	for name, token := range map[string]string{"viewer": s.tokens["viewer"], "operator": s.tokens["operator"], "admin": s.tokens["admin"],
		"expired": s.tokens["expired"], "garbage": "sntl_garbage", "empty": "", "other": "Bearer two words"} {
		path := filepath.Join(work, name+".token")
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			return err
		}
		text := fmt.Sprintf("server: %s\nca_file: %s\ntoken_file: %s\n", s.url, s.certs.CA, path)
		if err := os.WriteFile(filepath.Join(work, name+".yml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	tiny := map[string][]byte{
		"trusted.key": s.signer, "tiny/manifest.yml": []byte("name: tiny\nversion: 1.0.0\nabi: 1\ninterval: 1s\ntimeout: 500ms\n"),
		"tiny/plugin.wasm": plugintest.Emitting(plugintest.Record("tiny", 42)),
	}
	for name, content := range tiny {
		path := filepath.Join(work, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			return err
		}
	}
	log, err := wal.Open(filepath.Join(work, "state", "wal"), wal.DefaultConfig(), nil)
	if err != nil {
		return err
	}
	env.Defer(func() { log.Close() })
	if err := appendCycles(log, 60); err != nil {
		return err
	}
	for name, id := range s.agents {
		env.Setenv(strings.ToUpper(name), id)
	}
	env.Setenv("HOME", filepath.Join(work, "home"))
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(work, "home"))
	env.Setenv("SENTINELCTL_CONFIG", filepath.Join(work, "admin.yml"))
	env.Setenv("GORACE", "atexit_sleep_ms=0")                // else the race detector adds a second to every command
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} { // plugins are built with what is built already
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return err
		}
		env.Setenv(name+"0", strings.TrimSpace(string(out)))
	}
	env.Setenv("URL", s.url)
	env.Setenv("CLOSED", s.closed)
	env.Setenv("GATEWAY", s.gateway)
	env.Setenv("NOGATEWAY", strings.TrimPrefix(s.closed, "https://"))
	env.Setenv("CA", s.certs.CA)
	env.Setenv("HOOK", s.hook)
	env.Setenv("LIVEDIR", s.liveDir)
	env.Setenv("LIVEFILE", s.file)
	return nil
}

// patience is longer than any command may take.
const patience = 20 * time.Second

// exit runs a command and wants its exit code, no secret in what it prints, and an
// end before patience is over.
func (s *system) exit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	start := time.Now()
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	ts.Logf("[exit %d]\n%s%s", got, stdout, stderr)
	if got != want {
		ts.Fatalf("exit code is %d, want %d", got, want)
	}
	if took := time.Since(start); took > patience {
		ts.Fatalf("it took %s", took)
	}
	for _, secret := range s.secrets {
		if strings.Contains(stdout+stderr, secret) {
			ts.Fatalf("P20: a secret is in the output")
		}
	}
}

// mode wants the permissions of a file.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); (got == args[0]) == neg {
		ts.Fatalf("%s has mode %s", args[1], got)
	}
}

// fingerprint is every name, size, time and byte below a folder.
func fingerprint(dir string) (string, error) {
	var b bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		if d.Type().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%x\n", raw)
		}
		return nil
	})
	return b.String(), err
}

func snapshot(ts *testscript.TestScript, _ bool, args []string) {
	text, err := fingerprint(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("snapshot"), []byte(text), 0o600))
}

func unchanged(ts *testscript.TestScript, _ bool, args []string) {
	text, err := fingerprint(ts.MkAbs(args[0]))
	ts.Check(err)
	if text != ts.ReadFile("snapshot") {
		ts.Fatalf("P6: %s has changed", args[0])
	}
}

// damage writes a log of its own in a folder and turns one byte in its middle.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	dir := filepath.Join(ts.MkAbs(args[0]), "wal")
	log, err := wal.Open(dir, wal.DefaultConfig(), nil)
	ts.Check(err)
	ts.Check(appendCycles(log, 40))
	ts.Check(log.Close())
	var largest string
	var size int64
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	}))
	raw, err := os.ReadFile(largest)
	ts.Check(err)
	raw[len(raw)/2] ^= 0x10
	ts.Check(os.WriteFile(largest, raw, 0o600))
}

// blackhole listens, takes connections and never says a word. $BLACKHOLE is where.
func blackhole(ts *testscript.TestScript, _ bool, _ []string) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { lis.Close() })
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			defer conn.Close() // at the end of all, with the listener
		}
	}()
	ts.Setenv("BLACKHOLE", "https://"+lis.Addr().String())
}

// stale leaves a socket behind as a process does that was killed.
func stale(ts *testscript.TestScript, _ bool, args []string) {
	lis, err := net.ListenUnix("unix", &net.UnixAddr{Name: ts.MkAbs(args[0]), Net: "unix"})
	ts.Check(err)
	lis.SetUnlinkOnClose(false)
	ts.Check(lis.Close())
}

// interrupted runs a command until it has printed a whole line, interrupts it, and
// wants success.
func interrupted(ts *testscript.TestScript, _ bool, args []string) {
	var path string
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, args[0])); err == nil && path == "" {
			path = filepath.Join(dir, args[0])
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Dir, cmd.Env = ts.Getenv("WORK"), append(os.Environ(), "SENTINELCTL_CONFIG="+ts.Getenv("SENTINELCTL_CONFIG"))
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	ts.Check(err)
	ts.Logf("%s", line)
	ts.Check(cmd.Process.Signal(os.Interrupt))
	ts.Check(cmd.Wait())
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var list []string
	for range n {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer lis.Close()
		list = append(list, lis.Addr().String())
	}
	return list
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestEveryCommandHasAStory: each command stands in a script with success and with a
// failure.
func TestEveryCommandHasAStory(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	must(t, err)
	var stories strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(f)
		must(t, err)
		stories.Write(raw)
	}
	elsewhere := map[string]string{
		"sentinelctl doctor: success": "the service of the stories has dead letters and agents that are not there",
		"sentinelctl setup: success":  "it has users; the test of the interface's operations makes the first one",
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.HasSubCommands() || c.Name() == "help" || c.Parent() != nil && c.Parent().Name() == "completion" {
			return
		}
		words := strings.Join(strings.Fields(strings.TrimPrefix(c.CommandPath(), "sentinelctl ")), ` +`)
		const options = `(?:(?:-c|--context|-o|--config|--timeout) +\S+ +)*`
		for what, begin := range map[string]string{"success": `(?:exit 0|exec|interrupted|exec sh -c '.*)`, "a failure": `(?:exit [1-9]|blackhole|stale|! exec sh -c '.*)`} {
			has := regexp.MustCompile(`(?m)^` + begin + ` *sentinelctl +` + options + words + `(?:[ ']|$)`).MatchString(stories.String())
			if !has && elsewhere[c.CommandPath()+": "+what] == "" {
				t.Errorf("no story has %s of: %s", what, c.CommandPath())
			}
		}
	}
	walk(root())
}
