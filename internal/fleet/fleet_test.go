package fleet

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/localpg"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code sentinel.Code) {
	t.Helper()
	if err == nil || sentinel.CodeOf(err) != code {
		t.Fatalf("error is %v (%s), want one of code %s", err, sentinel.CodeOf(err), code)
	}
}

func newVault(t *testing.T) *sign.Vault {
	t.Helper()
	v, err := sign.NewVault("m-test", bytes.Repeat([]byte{7}, 32))
	must(t, err)
	return v
}

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fixture is a registry and a keyring on one database.
type fixture struct {
	db       *postgres.DB
	vault    *sign.Vault
	registry *Registry
	keys     *Keyring
	clock    *clock
	log      *bytes.Buffer
}

func newFixture(t *testing.T, db *postgres.DB) *fixture {
	t.Helper()
	f := &fixture{db: db, vault: newVault(t), clock: &clock{at: time.Now()}, log: new(bytes.Buffer)}
	f.registry = NewRegistry(db, f.vault)
	f.keys = NewKeyring(db, f.vault, slog.New(slog.NewTextHandler(f.log, nil)))
	f.keys.now = f.clock.now
	return f
}

func (f *fixture) register(t *testing.T) sign.Credential {
	t.Helper()
	cred, err := f.registry.Register(t.Context(), "host", nil)
	must(t, err)
	return cred
}

func (f *fixture) lookup(t *testing.T, cred sign.Credential) error {
	t.Helper()
	id, key, err := f.keys.Lookup(t.Context(), cred.Agent, cred.Key.ID, f.clock.now())
	if err == nil && (id == 0 || !bytes.Equal(key.Secret(), cred.Key.Secret())) {
		t.Fatalf("another key was found for agent %d", id)
	}
	return err
}

// rotate makes a pending key for the agent.
func (f *fixture) rotate(t *testing.T, cred sign.Credential) sign.Credential {
	t.Helper()
	a, err := f.db.AgentByName(t.Context(), cred.Agent)
	must(t, err)
	_, err = f.registry.Rotate(t.Context(), Console("test"), a.ID, cred.Agent)
	must(t, err)
	pending, err := NewRotation(f.registry, DefaultKeysConfig(), slog.New(slog.DiscardHandler)).Pending(t.Context(), []sentinel.AgentID{cred.Agent})
	must(t, err)
	return sign.Credential{Agent: cred.Agent, Key: pending[cred.Agent]}
}

func TestP19RegisterNeverReturnsAnExistingIdentity(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	var mu sync.Mutex
	seen := map[string]bool{}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			cred, err := f.registry.Register(context.WithoutCancel(t.Context()), "same-host", []sentinel.Label{{Name: "site", Value: "fra"}})
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[string(cred.Agent)] || seen[cred.Key.SecretText()] || seen[cred.Key.ID] {
				t.Errorf("identity, key or secret came twice, or not at all: %v", err)
			}
			seen[string(cred.Agent)], seen[cred.Key.SecretText()], seen[cred.Key.ID] = true, true, true
		})
	}
	group.Wait()
	agents, err := f.db.Agents(t.Context(), postgres.AgentFilter{Limit: 1000})
	must(t, err)
	if len(agents) != 20 {
		t.Errorf("%d agents are registered, want 20", len(agents))
	}
}

func TestRegisterRefuses(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	var many []sentinel.Label
	for i := range 40 {
		many = append(many, sentinel.Label{Name: fmt.Sprintf("l%d", i), Value: "x"})
	}
	for _, tt := range []struct {
		name, hostname string
		labels         []sentinel.Label
	}{
		{"a hostname with NUL", "a\x00b", nil},
		{"a hostname that is not UTF-8", "a\xffb", nil},
		{"a hostname of 10 KB", strings.Repeat("a", 10<<10), nil},
		{"a label without a name", "h", []sentinel.Label{{Name: "", Value: "x"}}},
		{"a label's name out of the alphabet", "h", []sentinel.Label{{Name: "a-b", Value: "x"}}},
		{"a reserved label", "h", []sentinel.Label{{Name: "agent", Value: "x"}}},
		{"a label twice", "h", []sentinel.Label{{Name: "a", Value: "x"}, {Name: "a", Value: "y"}}},
		{"the hostname as a label", "h", []sentinel.Label{{Name: "hostname", Value: "x"}}},
		{"a value with NUL", "h", []sentinel.Label{{Name: "a", Value: "\x00"}}},
		{"too many labels", "h", many},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := f.registry.Register(t.Context(), tt.hostname, tt.labels)
			wantCode(t, err, sentinel.Invalid)
		})
	}
	agents, err := f.db.Agents(t.Context(), postgres.AgentFilter{})
	must(t, err)
	if len(agents) != 0 {
		t.Errorf("%d agents are registered all the same", len(agents))
	}
}

func TestTokens(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	for _, role := range []postgres.Role{postgres.Viewer, postgres.Operator, postgres.Admin} {
		token, err := f.registry.CreateToken(t.Context(), "for a test", role, time.Hour)
		must(t, err)
		got, err := f.registry.Authenticate(t.Context(), token)
		if err != nil || got.Role != role || got.Kind != postgres.ActorToken || got.ID == 0 {
			t.Errorf("it is %+v (%v), want %q", got, err, role)
		}
		for name, bad := range map[string]string{
			"one letter less": token[:len(token)-1], "one more": token + "A", "another prefix": "x" + token, "nothing": "",
			"the prefix alone": tokenPrefix, "a megabyte": tokenPrefix + strings.Repeat("A", 1<<20), "NUL": tokenPrefix + "\x00", "SQL": tokenPrefix + "' OR 1=1 --",
			"its hash": tokenPrefix + hex.EncodeToString(hashSecret(token)),
		} {
			_, err := f.registry.Authenticate(t.Context(), bad)
			if sentinel.CodeOf(err) != sentinel.Unauthenticated || err.Error() != errToken().Error() {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	expired, err := f.registry.CreateToken(t.Context(), "expired", postgres.Admin, time.Nanosecond)
	must(t, err)
	_, err = f.registry.Authenticate(t.Context(), expired)
	wantCode(t, err, sentinel.Unauthenticated)
	for name, create := range map[string]func() (string, error){
		"an unknown role":          func() (string, error) { return f.registry.CreateToken(t.Context(), "n", "root", 0) },
		"a ttl that has passed":    func() (string, error) { return f.registry.CreateToken(t.Context(), "n", postgres.Viewer, -time.Hour) },
		"a name that says nothing": func() (string, error) { return f.registry.CreateToken(t.Context(), " ", postgres.Viewer, 0) },
		"a name with NUL":          func() (string, error) { return f.registry.CreateToken(t.Context(), "a\x00", postgres.Viewer, 0) },
	} {
		if token, err := create(); sentinel.CodeOf(err) != sentinel.Invalid || token != "" || strings.Contains(err.Error(), "SQLSTATE") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestP20NoSecretInTheDatabase searches everything that a dump of the database
// holds, in every form that a secret could have there.
func TestP20NoSecretInTheDatabase(t *testing.T) {
	url := postgrestest.URL(t)
	f := newFixture(t, postgrestest.Open(t, url))
	token, err := f.registry.CreateToken(t.Context(), "needle-name", postgres.Admin, 0)
	must(t, err)
	_, err = f.registry.Authenticate(t.Context(), token)
	must(t, err)
	cred := f.register(t)
	dump := dumpTables(t, url)
	if !strings.Contains(dump, "needle-name") || !strings.Contains(dump, cred.Key.ID) {
		t.Fatal("the dump does not hold what was just stored: this test would see nothing")
	}
	for name, secret := range map[string]string{
		"token": token, "token without its prefix": strings.TrimPrefix(token, tokenPrefix), "token in hex": hex.EncodeToString([]byte(token)),
		"secret in base64": cred.Key.SecretText(), "secret in hex": hex.EncodeToString(cred.Key.Secret()),
	} {
		if strings.Contains(dump, secret) {
			t.Errorf("P20: the database holds the %s", name)
		}
	}
}

// dumpTables returns the whole database as text, by the server's own tool.
func dumpTables(t *testing.T, url string) string {
	t.Helper()
	tool, err := exec.LookPath("pg_dump")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
		if len(found) == 0 {
			t.Fatal("pg_dump is not installed, so that what the database holds cannot be searched")
		}
		tool = found[len(found)-1]
	}
	out, err := exec.CommandContext(t.Context(), tool, "--inserts", url).Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		t.Fatalf("%v: %s", err, exit.Stderr)
	}
	must(t, err)
	return string(out)
}

func TestKeyringCachesAndForgetsInTime(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	cred := f.register(t)
	second := f.rotate(t, cred)
	must(t, f.lookup(t, cred))
	must(t, f.lookup(t, second))
	a, err := f.db.AgentByName(t.Context(), cred.Agent)
	must(t, err)
	must(t, f.db.RevokeKey(t.Context(), Console("test"), a.ID, cred.Key.ID))

	f.clock.add(keyFresh - time.Millisecond)
	if err := f.lookup(t, cred); err != nil {
		t.Errorf("the key is not cached: %v", err)
	}
	f.clock.add(time.Millisecond)
	wantCode(t, f.lookup(t, cred), sentinel.Unauthenticated)
	must(t, f.lookup(t, second))

	must(t, f.db.SetAgentDisabled(t.Context(), a.ID, true))
	f.clock.add(keyFresh)
	wantCode(t, f.lookup(t, second), sentinel.Unauthenticated)
	if id, err := f.keys.ID(t.Context(), cred.Agent); err != nil || id != a.ID {
		t.Errorf("the row of a disabled agent is %d (%v), want %d", id, err, a.ID)
	}
	must(t, f.db.SetAgentDisabled(t.Context(), a.ID, false))
	f.clock.add(keyFresh)
	must(t, f.lookup(t, second))
}

// TestKeyringAsksForTheVersionAlone: while nothing changes, keys that are known are
// not read again.
func TestKeyringAsksForTheVersionAlone(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	cred := f.register(t)
	must(t, f.lookup(t, cred))
	before, err := f.db.FleetVersion(t.Context())
	must(t, err)
	for range 5 {
		f.clock.add(keyFresh)
		must(t, f.lookup(t, cred))
	}
	f.keys.mu.Lock()
	version := f.keys.agents[cred.Agent].version
	f.keys.mu.Unlock()
	if version != before {
		t.Errorf("the keys were read at version %d, want still %d", version, before)
	}
	f.rotate(t, cred)
	f.clock.add(keyFresh)
	must(t, f.lookup(t, cred))
	f.keys.mu.Lock()
	defer f.keys.mu.Unlock()
	if again := f.keys.agents[cred.Agent].version; again == before {
		t.Error("a change was not noticed")
	}
}

func TestP18RetiringKeyServesUntilItsGraceEnds(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	old := f.register(t)
	next := f.rotate(t, old)
	a, err := f.db.AgentByName(t.Context(), old.Agent)
	must(t, err)
	must(t, f.db.ActivateKey(t.Context(), a.ID, next.Key.ID, f.clock.now().Add(time.Minute)))
	must(t, f.lookup(t, old))
	must(t, f.lookup(t, next))
	f.clock.add(59 * time.Second)
	must(t, f.lookup(t, old))
	// Past the grace it is refused even from memory, without asking the database.
	f.clock.add(1001 * time.Millisecond)
	wantCode(t, f.lookup(t, old), sentinel.Unauthenticated)
	must(t, f.lookup(t, next))
}

func TestKeySealedUnderAnotherMasterKey(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	cred := f.register(t)
	other, err := sign.NewVault("m-other", bytes.Repeat([]byte{9}, 32))
	must(t, err)
	f.keys.vault = other
	wantCode(t, f.lookup(t, cred), sentinel.Unavailable)
	if log := f.log.String(); !strings.Contains(log, "a key cannot be opened") || !strings.Contains(log, "m-test") || strings.Contains(log, cred.Key.SecretText()) {
		t.Errorf("the log says: %s", log)
	}
}

func TestP23UnknownAgentsPushNobodyOut(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	f.keys.maxUnknown, f.keys.maxAgents = 10, 5
	known := f.register(t)
	must(t, f.lookup(t, known))
	for i := range 35 {
		_, _, err := f.keys.Lookup(t.Context(), sentinel.AgentID(fmt.Sprintf("ag-made-up-%d", i)), "k", f.clock.now())
		wantCode(t, err, sentinel.Unauthenticated)
		if len(f.keys.unknown) > 10 {
			t.Fatalf("%d names are held that belong to nobody", len(f.keys.unknown))
		}
	}
	for _, id := range []sentinel.AgentID{"", "UPPER", "a\x00b", sentinel.AgentID(strings.Repeat("a", 65)), "ag-' OR 1=1"} {
		held := len(f.keys.unknown)
		_, _, err := f.keys.Lookup(t.Context(), id, "k", f.clock.now())
		wantCode(t, err, sentinel.Unauthenticated)
		if len(f.keys.unknown) != held {
			t.Errorf("%q is no identity, and is held all the same", id)
		}
	}
	f.db.Close() // from here on memory alone can answer
	if err := f.lookup(t, known); err != nil {
		t.Errorf("a known agent was pushed out: %v", err)
	}
}

func TestKeyringIsBounded(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	f.keys.maxAgents = 5
	for range 12 {
		cred := f.register(t)
		must(t, f.lookup(t, cred))
		if len(f.keys.agents) > 5 {
			t.Fatalf("%d agents are held, at most 5 may be", len(f.keys.agents))
		}
		must(t, f.lookup(t, cred)) // the newest is never the one that went
	}
	if len(f.keys.agents) != 5 {
		t.Errorf("%d agents are held: an agent too many must cost one, not all", len(f.keys.agents))
	}
}

func TestUnknownAgentIsFoundOnceItIsRegistered(t *testing.T) {
	f := newFixture(t, postgrestest.New(t))
	cred := sign.Credential{Agent: sentinel.NewAgentID(), Key: sign.NewKey()}
	wantCode(t, f.lookup(t, cred), sentinel.Unauthenticated)
	_, err := f.keys.ID(t.Context(), cred.Agent)
	wantCode(t, err, sentinel.NotFound)
	_, err = f.db.CreateAgent(t.Context(), postgres.NewAgent{Name: cred.Agent}, postgres.NewKey{KeyID: cred.Key.ID,
		Secret: f.vault.Seal(cred.Agent, cred.Key), MasterKeyID: f.vault.ID(), State: postgres.KeyActive})
	must(t, err)
	f.clock.add(keyFresh)
	must(t, f.lookup(t, cred))
}

// TestKnownAgentsOutliveAnOutage stops a database for real.
func TestKnownAgentsOutliveAnOutage(t *testing.T) {
	pg, err := localpg.Start(t.Context(), localpg.Config{Ephemeral: true})
	must(t, err)
	stop := sync.OnceValue(func() error { return pg.Stop(context.WithoutCancel(t.Context())) })
	t.Cleanup(func() { must(t, stop()) })
	db := postgrestest.Open(t, pg.URL())
	must(t, db.Migrate(t.Context()))
	f := newFixture(t, db)
	known, stranger := f.register(t), f.register(t)
	must(t, f.lookup(t, known))
	token, err := f.registry.CreateToken(t.Context(), "n", postgres.Viewer, 0)
	must(t, err)
	must(t, stop())

	f.clock.add(time.Hour)
	must(t, f.lookup(t, known))
	if tried := f.keys.agents[known.Agent].tried; !tried.Equal(f.clock.now()) {
		t.Errorf("the failed try is not remembered (%s): every lookup would wait for the database", tried)
	}
	must(t, f.lookup(t, known))
	wantCode(t, f.lookup(t, stranger), sentinel.Unavailable)
	_, err = f.keys.ID(t.Context(), "ag-made-up")
	wantCode(t, err, sentinel.Unavailable)
	if len(f.keys.unknown) != 0 {
		t.Error("an agent that could not be looked up is held for one that does not exist")
	}
	_, err = f.registry.Authenticate(t.Context(), token)
	wantCode(t, err, sentinel.Unavailable)
	_, err = f.registry.Register(t.Context(), "h", nil)
	wantCode(t, err, sentinel.Unavailable)

	f.clock.add(keyStale)
	wantCode(t, f.lookup(t, known), sentinel.Unavailable)
}
