package agent

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/app/process"
	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/control"
	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/service"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/uplink"
	"github.com/sentinelgo/sentinel/internal/wal"
)

const maxDeadLetterBytes = 64 << 20

// Options say what the agent's process has beside its configuration. The zero value
// is an agent with one configuration for all its life.
type Options struct {
	// File is where the configuration comes from; empty where it is no file.
	File string
	// Load reads the configuration again, defaults and environment included. Without
	// it a reload is refused, and no last good configuration is kept.
	Load func() (Config, error)
	// Trouble is why the agent starts with its last good configuration and not with
	// that of File; nil where it does not.
	Trouble error
	// Level is the logger's, which a reload may change.
	Level *slog.LevelVar
	// Reload asks for a reload, as SIGHUP does.
	Reload <-chan os.Signal
	// Manager is told how the agent stands; nil where nobody wants to know.
	Manager *service.Notifier

	began func(*life) // told when the agent is about to run; for tests
}

// Run is the agent until ctx ends; then it returns nil. An error means that it
// could not start: a missing credential, a log in use, an unusable address.
func Run(ctx context.Context, cfg Config, version string, logger *slog.Logger) error {
	return Options{}.Run(ctx, cfg, version, logger)
}

// life is a running agent. The log, the listeners and the identity stay for all of
// it; collectors and uplink are replaced where a reload changes what they work with.
type life struct {
	o       Options
	version string
	logger  *slog.Logger
	log     *wal.Log
	keep    *keeper
	self    collector.Self
	reg     *telemetry.Registry
	started time.Time

	collecting, sending, plugging *part
	up                            atomic.Pointer[uplink.Uplink]
	plugs                         atomic.Pointer[plugin.Manager]
	courier                       *courier

	reloading sync.Mutex // held for the whole of a reload

	mu      sync.Mutex // guards what follows
	base    Config     // what the host itself says
	remote  remote     // what the service says
	cfg     Config     // what runs: both
	set     *collector.Set
	skips   uint64 // by the sets before it
	files   [sha256.Size]byte
	sources [sha256.Size]byte
	restart []string // keys that wait for one
	trouble error    // why what runs is not what the file says
	last    time.Time
	good    time.Time // of the last reload, or start, that was
}

// tools are the parts that a configuration is made into. What cannot be used of it
// is known before anything changes.
type tools struct {
	store   sign.Store
	agent   sentinel.AgentID // empty: it is to enrol
	key     string
	set     *collector.Set
	files   [sha256.Size]byte // of what the uplink reads, without the credential: it writes that itself
	sources [sha256.Size]byte // of what the collectors read once
}

func prepare(c Section, self collector.Self, logger *slog.Logger) (t tools, err error) {
	if t.store, err = c.store(); err != nil {
		return t, fmt.Errorf("agent.%w", err)
	}
	cred, err := t.store.Load()
	if err != nil && (sentinel.CodeOf(err) != sentinel.NotFound || c.Server.EnrolmentTokenFile == "") {
		return t, fmt.Errorf("agent: %w; `sentinelctl agent register --out %s` makes one, or agent.server.enrolment_token_file buys one", err, c.Credential())
	}
	t.agent, t.key = cred.Agent, cred.Key.ID
	if err := c.Server.Check(); err != nil {
		return t, err
	}
	if t.set, err = collector.New(c.Collect, logger.With("part", "collector"), collector.WithSelf(self)); err != nil {
		return t, fmt.Errorf("agent.collect: %w", err)
	}
	t.files = digest(c.Server.CAFile, c.Server.CertFile, c.Server.KeyFile, c.Server.EnrolmentTokenFile)
	t.sources = digest(c.Collect.Files()...)
	return t, nil
}

// digest returns a sum of what files hold. They were read a moment ago, or are not
// named.
func digest(files ...string) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, path := range files {
		raw, _ := os.ReadFile(path)
		fmt.Fprintf(h, "%d %s", len(raw), raw)
	}
	h.Sum(sum[:0])
	return sum
}

// Run is like the function Run, for an agent whose configuration may be reloaded.
func (o Options) Run(ctx context.Context, cfg Config, version string, logger *slog.Logger) error {
	told, err := loadRemote(cfg.Agent.StateDir)
	if err != nil {
		logger.Warn("what the service had told this agent to collect is lost, it will tell it again", "error", err)
	}
	base := cfg
	cfg = told.over(base)
	c := cfg.Agent
	var l *life
	t, err := prepare(c, func(set func(string, float64, ...string)) { l.self(set) }, logger)
	if err != nil {
		return err
	}
	lis, err := process.Listen(ctx, "agent.listen", c.Listen)
	if err != nil {
		return err
	}
	if lis != nil {
		defer lis.Close() // again, where it is served
	}
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	log, err := wal.Open(c.LogDir(), c.WAL, logger.With("part", "wal"))
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			logger.Error("log could not be closed", "error", err)
		}
	}()
	start := time.Now()
	l = &life{
		o: o, version: version, logger: logger, log: log, reg: telemetry.NewRegistry(), started: start,
		collecting: newPart(), sending: newPart(), plugging: newPart(), base: base, remote: told, cfg: cfg,
		set: t.set, files: t.files, sources: t.sources, trouble: o.Trouble, good: start,
	}
	l.keep = &keeper{
		log: log, logger: logger, acknowledged: c.Acknowledged, service: func() (time.Time, bool) { return l.up.Load().ServiceTime() },
		now: time.Now, elapsed: func() time.Duration { return time.Since(start) },
	}
	l.self = l.keep.self(func() uplink.Status { return l.up.Load().Status() })
	l.keep.register(l.reg, l.skipped)
	l.register()
	plugs, err := l.plugged(c)
	if err != nil {
		return fmt.Errorf("agent.plugins: %w", err)
	}
	l.plugs.Store(plugs)
	l.courier = newCourier(l.plugs.Load, logger.With("part", "plugin"))
	l.up.Store(l.uplink(c, t.store))
	if o.Trouble != nil {
		logger.Error("the configuration is not good; the agent starts with the last one that was", "file", o.File, "error", o.Trouble)
	} else {
		l.saveLastGood()
	}

	if o.began != nil {
		o.began(l)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return l.collecting.run(ctx, l.collect(t.set))
	})
	group.Go(func() error { return l.plugging.run(ctx, l.plugs.Load().Run) })
	group.Go(func() error { return l.courier.run(ctx) })
	group.Go(func() error { return l.sending.run(ctx, l.up.Load().Run) })
	if lis != nil {
		group.Go(func() error { return telemetry.Serve(ctx, lis, l.handler()) })
	}
	// The log's lock says that the folder is this agent's. The agent is of use without
	// its socket, so it does not end where there can be none.
	socket, err := control.Listen(ctx, control.SocketPath(c.StateDir))
	if err != nil {
		logger.Warn("sentinelctl cannot ask this agent", "error", err)
	} else {
		group.Go(func() error { return telemetry.Serve(ctx, socket, control.Handler(l)) })
	}
	group.Go(func() error { return l.obey(ctx) })
	group.Go(func() error { return trim(ctx) })
	l.tell(service.Ready)
	logger.Info("agent started", "agent", t.agent, "version", version, "state", c.StateDir)
	defer l.keep.stop()
	return group.Wait()
}

// collect returns the activity of a set. The sets follow each other, so that the
// keeper has one caller at a time.
func (l *life) collect(set *collector.Set) func(context.Context) error {
	return func(ctx context.Context) error { return set.Run(ctx, l.keep) }
}

func (l *life) uplink(c Section, store sign.Store) *uplink.Uplink {
	return uplink.New(c.Server, uplink.Deps{
		Log: l.log, Identity: store, Info: hostInfo(l.version), Metrics: l.reg, Logger: l.logger.With("part", "uplink"),
		Plugins:   l.courier,
		Configure: l.configure, ConfigVersion: l.configVersion,
		DeadLetter: uplink.DeadLetters{Dir: filepath.Join(c.StateDir, "deadletters"), MaxBytes: maxDeadLetterBytes},
	})
}

// skipped counts the cycles that were left out, by all sets so far.
func (l *life) skipped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.skips + l.set.Skipped()
}

// hostConfig returns what the host itself says.
func (l *life) hostConfig() Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.base
}

// config returns what runs.
func (l *life) config() Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cfg
}
