// Package server is the server's process: the gateway for agents and the REST
// interface for people.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/app/backend"
	"github.com/sentinelgo/sentinel/internal/app/process"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/webui"
)

// Config is the server's part of the configuration file.
type Config struct {
	Server   Section             `yaml:"server"`
	Broker   broker.Config       `yaml:"broker"`
	Database backend.Database    `yaml:"database"`
	Security backend.Security    `yaml:"security"`
	Log      telemetry.LogConfig `yaml:"log"`

	// Version of the program, for people.
	Version string `yaml:"-"`
}

// Section is what stands below the key server.
type Section struct {
	// Gateway is the address that agents connect to.
	Gateway string `yaml:"gateway"`
	// API is the address of the REST interface and of the web interface beside it,
	// over TLS with the same certificate.
	API string `yaml:"api"`
	// Listen is where /healthz, /readyz and /metrics are served without TLS.
	Listen string `yaml:"listen"`
	// CertFile and KeyFile hold the server's certificate, in PEM.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ClientCAFile, where set, asks agents for a certificate of these authorities.
	ClientCAFile string        `yaml:"client_ca_file"`
	Ingest       ingest.Config `yaml:"ingest"`
	// Keys says how agents' keys change.
	Keys fleet.KeysConfig `yaml:"keys"`
	// Query bounds what queries in PromQL may cost.
	Query query.Limits `yaml:"query"`
}

// DefaultConfig returns the server's defaults.
func DefaultConfig() Config {
	return Config{
		Server: Section{
			Gateway: ":7443", API: ":7480", Listen: "127.0.0.1:9466",
			CertFile: "/etc/sentinel/server.crt", KeyFile: "/etc/sentinel/server.key", Ingest: ingest.DefaultConfig(), Keys: fleet.DefaultKeysConfig(),
			Query: query.DefaultLimits(),
		},
		Broker: broker.DefaultConfig(), Database: backend.DefaultDatabase(), Security: backend.DefaultSecurity(), Log: telemetry.DefaultLogConfig(),
	}
}

// Validate says which key is wrong and what is allowed.
func (s Section) Validate() error {
	for _, f := range []struct{ key, value string }{{"gateway", s.Gateway}, {"api", s.API}, {"cert_file", s.CertFile}, {"key_file", s.KeyFile}} {
		if f.value == "" {
			return sentinel.Errorf(sentinel.Invalid, "%s: is empty", f.key)
		}
	}
	return nil
}

// listeners are the server's sockets; telemetry may be nil.
type listeners struct{ gateway, api, telemetry net.Listener }

func (s Section) open(ctx context.Context) (l listeners, err error) {
	for _, p := range []struct {
		to      *net.Listener
		key, at string
	}{{&l.gateway, "server.gateway", s.Gateway}, {&l.api, "server.api", s.API}, {&l.telemetry, "server.listen", s.Listen}} {
		if *p.to, err = process.Listen(ctx, p.key, p.at); err != nil {
			l.close()
			return listeners{}, err
		}
	}
	return l, nil
}

func (l listeners) close() {
	for _, lis := range []net.Listener{l.gateway, l.api, l.telemetry} {
		if lis != nil {
			lis.Close()
		}
	}
}

// Run is the server until ctx ends; then it returns nil. It waits for a database
// and a broker that do not answer yet. An error means that it could not start.
func Run(ctx context.Context, cfg Config, logger *slog.Logger) error {
	tlsConfig, err := cfg.Server.tls()
	if err != nil {
		return err
	}
	vault, err := cfg.Security.Vault()
	if err != nil {
		return err
	}
	sockets, err := cfg.Server.open(ctx)
	if err != nil {
		return err
	}
	defer sockets.close()
	db, err := cfg.Database.Open(ctx, logger)
	if err != nil {
		return err
	}
	defer db.Close()
	b, err := broker.Open(ctx, cfg.Broker, logger.With("part", "broker"))
	if err != nil {
		return err
	}
	defer b.Close()

	reg := telemetry.NewRegistry()
	keys := fleet.NewKeyring(db, vault, logger)
	registry := fleet.NewRegistry(db, vault)
	rotation := fleet.NewRotation(registry, cfg.Server.Keys, logger.With("part", "keys"))
	gateway := ingest.New(cfg.Server.Ingest, ingest.Deps{
		Keys: keys, Rotation: rotation, Enrol: enrolment{registry}, Configs: configs{db}, Plugins: plugins{db}, Events: events{db}, Broker: b, Resets: b, Presence: presence{db, keys}, Announcer: b, Metrics: reg, Log: logger.With("part", "gateway"),
	})
	ui, err := webui.New()
	if err != nil {
		return err
	}
	engine := query.New(db, cfg.Server.Query, logger.With("part", "query"))
	desk := alerts.NewDesk(db, vault, b, engine)
	rest := api.Deps{
		Registry: registry, Identities: registry, People: registry, DB: db, Broker: b, Version: cfg.Version, Started: time.Now(),
		CheckConfig: checkConfig, ReadPlugin: readPlugin, Alerting: desk, CAPin: privateAuthority(tlsConfig), Log: logger.With("part", "api"),
	}
	rest.Select = selecting(engine)
	rest.SelfTest = selfTest{registry, gateway, b, db, engine}.run
	handler := people(api.New(rest), prometheus(engine, db, alerts.Prometheus{Desk: desk}, cfg.Version, rest, logger.With("part", "query")), ui)
	ready := []telemetry.Check{{Name: "database", Ask: db.Ping}, {Name: "broker", Ask: b.Ready}}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return gateway.Run(ctx, sockets.gateway, tlsConfig) })
	group.Go(func() error { return rotation.Run(ctx) })
	group.Go(func() error { return fleet.NewRollouts(db, logger.With("part", "plugins")).Run(ctx) })
	group.Go(func() error { return serveAPI(ctx, sockets.api, tlsConfig, handler) })
	if sockets.telemetry != nil {
		group.Go(func() error { return telemetry.Serve(ctx, sockets.telemetry, telemetry.Handler(reg, nil, ready)) })
	}
	logger.Info("server started", "gateway", sockets.gateway.Addr().String(), "api", sockets.api.Addr().String())
	return group.Wait()
}

// people serves the REST interface, Prometheus' interface and, at every other path,
// the web interface.
func people(rest, prometheus, ui http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(query.Prefix+"/", prometheus)
	for _, path := range []string{"/api/", "/docs", "/openapi.json", "/openapi.yaml", "/openapi-3.0.json", "/openapi-3.0.yaml"} {
		mux.Handle(path, rest)
	}
	mux.Handle("/", ui)
	return mux
}

// privateAuthority returns the pin of the authority that the chain ends with, where
// the server sends it along, or nothing.
func privateAuthority(t *tls.Config) string {
	chain := t.Certificates[0].Certificate
	last, err := x509.ParseCertificate(chain[len(chain)-1])
	if err != nil || len(chain) < 2 || last.CheckSignatureFrom(last) != nil {
		return ""
	}
	return sign.Pin(last)
}

func serveAPI(ctx context.Context, lis net.Listener, t *tls.Config, h http.Handler) error {
	t = t.Clone()
	t.ClientCAs, t.ClientAuth = nil, tls.NoClientCert // people bring tokens
	t.NextProtos = []string{"h2", "http/1.1"}
	return telemetry.Serve(ctx, tls.NewListener(lis, t), h)
}

func (s Section) tls() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "server.cert_file: %w; scripts/gen-dev-certs.sh makes certificates for development", err)
	}
	if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
		return nil, sentinel.Errorf(sentinel.Invalid, "server.cert_file: %s expired on %s", s.CertFile, pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	t := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	if s.ClientCAFile != "" {
		pem, err := os.ReadFile(s.ClientCAFile)
		if err != nil {
			return nil, sentinel.Errorf(sentinel.NotFound, "server.client_ca_file: %w", err)
		}
		t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !t.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, sentinel.Errorf(sentinel.Invalid, "server.client_ca_file: %s holds no certificate in PEM form", s.ClientCAFile)
		}
	}
	return t, nil
}
