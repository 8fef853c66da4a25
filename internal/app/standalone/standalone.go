// Package standalone is the whole system in one process: broker, server, worker
// and an agent of this host, with a private PostgreSQL beside it unless a database
// is given.
package standalone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/app/backend"
	"github.com/sentinelgo/sentinel/internal/app/server"
	"github.com/sentinelgo/sentinel/internal/app/worker"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/broker/embedded"
	"github.com/sentinelgo/sentinel/internal/devca"
	"github.com/sentinelgo/sentinel/internal/filelock"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/localpg"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Options say what the all-in-one process does.
type Options struct {
	// StateDir holds everything: database, broker, log, keys, certificates.
	StateDir string
	// DatabaseURL, where set, is used instead of a private PostgreSQL.
	DatabaseURL string
	// Gateway and API are the addresses of the server, both over TLS.
	Gateway, API string
	// Interval is the time between two collections.
	Interval time.Duration
	Version  string
	Log      *slog.Logger
	// Ready, where set, is called once this host's first samples are in the
	// database.
	Ready func(Place)
}

// Place is where to look.
type Place struct {
	Agent     sentinel.AgentID
	API       string // base URL; the web interface is there too
	TokenFile string // holds a token for it
	SetupFile string // holds a token that makes the first user; empty where there is a user
	CtlConfig string // configuration file for sentinelctl
	Database  string // URL without password where the database is private; else empty
	Series    int    // of this host
	Took      time.Duration
}

// SignInLink returns the address that opens the web interface signed in. It holds
// the token, in the fragment, which browsers never send: it is for the operator's
// own terminal, never for a log.
func (p Place) SignInLink() (string, error) {
	token, err := os.ReadFile(p.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return p.API + "/#token=" + url.QueryEscape(strings.TrimSpace(string(token))), nil
}

// SetupLink returns the address at which the first user is made, within an hour and
// once, or "" where there is a user. What holds for SignInLink holds for it.
func (p Place) SetupLink() (string, error) {
	if p.SetupFile == "" {
		return "", nil
	}
	token, err := os.ReadFile(p.SetupFile)
	if err != nil {
		return "", fmt.Errorf("read setup token: %w", err)
	}
	return p.API + "/setup#token=" + url.QueryEscape(strings.TrimSpace(string(token))), nil
}

// Run is the system until ctx ends; then it stops everything in order and returns
// nil. One state folder serves one process at a time: a second one is told so.
func Run(ctx context.Context, o Options) (err error) {
	start := time.Now()
	dir, err := filepath.Abs(o.StateDir)
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { // the database's user must be able to pass
		return fmt.Errorf("state folder: %w", err)
	}
	lock, err := filelock.Take(filepath.Join(dir, "lock"))
	if err != nil {
		return fmt.Errorf("state folder: %w; is another sentinel running there?", err)
	}
	defer lock.Close()

	url := o.DatabaseURL
	if url == "" {
		pg, err := localpg.Start(ctx, localpg.Config{Dir: filepath.Join(dir, "postgres"), Log: o.Log.With("part", "postgres")})
		if err != nil {
			return err
		}
		// The database goes last, and gets its time even though ctx has ended.
		defer func() {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			err = errors.Join(err, pg.Stop(stop))
		}()
		url = pg.URL()
	}
	nats, err := embedded.Start(embedded.Config{Dir: filepath.Join(dir, "nats"), MaxBytes: 8 << 30}, o.Log)
	if err != nil {
		return err
	}
	defer nats.Stop()

	cfg, err := prepare(ctx, dir, url, o, nats)
	if err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(gctx, cfg.server, o.Log.With("role", "server")) })
	group.Go(func() error { return worker.Run(gctx, cfg.worker, o.Log.With("role", "worker")) })
	group.Go(func() error { return agent.Run(gctx, cfg.agent, o.Version, o.Log.With("role", "agent")) })
	if o.Ready != nil {
		group.Go(func() error { return announce(gctx, cfg, o, start) })
	}
	return group.Wait()
}

// configs are the configurations of the parts, and where they are.
type configs struct {
	dir    string
	server server.Config
	worker worker.Config
	agent  agent.Config
	cred   sign.Credential
	setup  string // file of a setup token, where there is no user
}

// prepare makes what a first start needs and a later one finds: certificates,
// master key, this host's agent, a token for sentinelctl.
func prepare(ctx context.Context, dir, url string, o Options, nats embedded.Server) (configs, error) {
	c := configs{dir: dir, server: server.DefaultConfig(), worker: worker.DefaultConfig(), agent: agent.DefaultConfig()}
	certs, err := devca.Ensure(filepath.Join(dir, "certs"), names(o.Gateway, o.API)...)
	if err != nil {
		return c, err
	}
	master := filepath.Join(dir, "master.key")
	if _, err := os.Stat(master); errors.Is(err, fs.ErrNotExist) {
		if err := sign.CreateMasterKey(master); err != nil {
			return c, err
		}
	}
	inside := broker.DefaultConfig()
	inside.InProcess = nats
	inside.MaxBytes = 2 << 30
	db := backend.Database{URL: url, MaxConns: 8}

	c.server.Broker, c.server.Database, c.server.Security.MasterKeyFile = inside, db, master
	c.server.Server.CertFile, c.server.Server.KeyFile = certs.Cert, certs.Key
	c.server.Server.Gateway, c.server.Server.API = o.Gateway, o.API
	c.server.Server.Listen, c.server.Version = "", o.Version
	c.worker.Broker, c.worker.Database, c.worker.Security.MasterKeyFile = inside, db, master
	c.worker.Worker.Listen, c.worker.Worker.ExternalURL = "", baseURL(o.API)
	c.agent.Agent.StateDir = filepath.Join(dir, "agent")
	c.agent.Agent.Server.Address, c.agent.Agent.Server.CAFile = o.Gateway, certs.CA
	c.agent.Agent.Listen = ""
	if o.Interval > 0 {
		c.agent.Agent.Collect.Interval = o.Interval
		c.agent.Agent.Collect.Timeout = min(c.agent.Agent.Collect.Timeout, o.Interval)
	}
	return c, c.enrol(ctx, certs, o.API)
}

// enrol registers this host's agent and makes the token, each unless the database
// knows it already.
func (c *configs) enrol(ctx context.Context, certs devca.Files, api string) error {
	vault, err := c.server.Security.Vault()
	if err != nil {
		return err
	}
	db, err := c.server.Database.Open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer db.Close()
	registry := fleet.NewRegistry(db, vault)

	store, err := sign.OpenStore(c.agent.Agent.Credential(), c.agent.Agent.KeyStore)
	if err != nil {
		return err
	}
	c.cred, err = store.Load()
	if err == nil {
		_, err = db.AgentByName(ctx, c.cred.Agent)
	}
	if err != nil {
		host, herr := os.Hostname()
		if herr != nil {
			host = "localhost"
		}
		if c.cred, err = registry.Register(ctx, host, []sentinel.Label{{Name: "role", Value: "all-in-one"}}); err != nil {
			return err
		}
		if err := store.Save(c.cred); err != nil {
			return err
		}
	}
	if err := c.offerSetup(ctx, registry); err != nil {
		return err
	}
	tokenFile := c.tokenFile()
	if raw, err := os.ReadFile(tokenFile); err == nil {
		if _, err := registry.Authenticate(ctx, string(raw)); err == nil {
			return c.writeCtl(certs, api, tokenFile)
		}
	}
	token, err := registry.CreateToken(ctx, "all-in-one", postgres.Admin, 0)
	if err != nil {
		return err
	}
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		return fmt.Errorf("keep token: %w", err)
	}
	return c.writeCtl(certs, api, tokenFile)
}

// offerSetup makes a fresh setup token while there is no user.
func (c *configs) offerSetup(ctx context.Context, registry *fleet.Registry) error {
	file := filepath.Join(c.dir, "setup-token")
	token, err := registry.CreateSetupToken(ctx)
	if sentinel.CodeOf(err) == sentinel.Conflict {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove setup token: %w", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		return fmt.Errorf("keep setup token: %w", err)
	}
	c.setup = file
	return nil
}

// tokenFile returns the path of the token for this host's operator.
func (c *configs) tokenFile() string { return filepath.Join(c.dir, "token") }

// ctlConfig returns the path of the configuration for sentinelctl.
func (c *configs) ctlConfig() string { return filepath.Join(c.dir, "sentinelctl.yml") }

// writeCtl writes sentinelctl's configuration; JSON strings are YAML strings.
func (c *configs) writeCtl(certs devca.Files, api, tokenFile string) error {
	quote := func(s string) string { raw, _ := json.Marshal(s); return string(raw) } // of a string: cannot fail
	text := fmt.Sprintf("server: %s\nca_file: %s\ntoken_file: %s\n", quote(baseURL(api)), quote(certs.CA), quote(tokenFile))
	if err := os.WriteFile(c.ctlConfig(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write sentinelctl's configuration: %w", err)
	}
	return nil
}

// names returns the hosts of the addresses that are more than "everywhere": whoever
// connects there expects the certificate to have them.
func names(addresses ...string) (list []string) {
	for _, a := range addresses {
		host, _, err := net.SplitHostPort(a)
		if ip := net.ParseIP(host); err == nil && host != "" && (ip == nil || !ip.IsUnspecified()) {
			list = append(list, host)
		}
	}
	return list
}

// baseURL returns how this host reaches the address.
func baseURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "https://" + listen
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "https://" + net.JoinHostPort(host, port)
}

// announce waits for this host's first samples in the database.
func announce(ctx context.Context, c configs, o Options, start time.Time) error {
	db, err := c.server.Database.Open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil // the server says why
	}
	defer db.Close()
	a, err := db.AgentByName(ctx, c.cred.Agent)
	if err != nil {
		return nil
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if samples, err := db.Latest(ctx, a.ID, time.Minute); err == nil && len(samples) > 0 && samples[0].Time.After(start.Add(-time.Second)) {
			place := Place{Agent: c.cred.Agent, API: baseURL(o.API), TokenFile: c.tokenFile(), SetupFile: c.setup, CtlConfig: c.ctlConfig(), Series: len(samples), Took: time.Since(start)}
			o.Ready(place)
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
