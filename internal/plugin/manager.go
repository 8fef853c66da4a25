package plugin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/atomicfile"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// lookEvery is how often the folders are looked at. It costs a list of their names.
const lookEvery = 10 * time.Second

const (
	maxFiles     = 1_000          // names of a folder that are looked at
	versionsName = "plugins.json" // in the state folder
	cacheName    = "plugin-cache"
	remoteName   = "plugins-remote"
)

// Manager runs the plugins of a host: those in its folder, and those that the service
// delivered. It looks at both from time to time, loads what is new, replaces what has
// changed and ends what is gone. Its methods are safe for concurrent use.
type Manager struct {
	cfg     Config
	state   string
	log     *slog.Logger
	now     func() time.Time
	program []string
	start   time.Duration
	run     func(context.Context, *Plugin) error

	nudge chan struct{}

	versions sync.Mutex // held while what ran here is read and written

	mu        sync.Mutex // guards what follows
	files     map[string]*file
	asked     uint64 // looks that were finished
	delivered string // the path of the last bundle from the service
}

// file is what is known of a bundle's file.
type file struct {
	seen    string // how it looked: another look, another bundle
	plugin  *Plugin
	refused *Status
	stop    context.CancelFunc
	ended   chan struct{}
}

// Deps are what a Manager works with.
type Deps struct {
	// State is the agent's state folder.
	State  string
	Logger *slog.Logger
	// Run collects a plugin until ctx ends.
	Run func(ctx context.Context, p *Plugin) error
	// Program is how the process of a plugin is started; nil is this program with
	// Command as its argument.
	Program []string
	// Start is how long a plugin may take to start; 0 is 10 s.
	Start time.Duration
}

// NewManager returns the plugins of a host. It touches nothing yet.
func NewManager(cfg Config, d Deps) (*Manager, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Directory == "" {
		cfg.Directory = filepath.Join(d.State, "plugins")
	}
	// Processes of plugins stand in another folder than the agent.
	for _, path := range []*string{&cfg.Directory, &d.State} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return nil, fmt.Errorf("find the folder of plugins: %w", err)
		}
		*path = absolute
	}
	if d.Program == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
		if runtime.GOOS == "linux" {
			self = selfPath
		}
		d.Program = []string{self, Command}
	}
	return &Manager{
		cfg: cfg, state: d.State, log: d.Logger, now: time.Now, program: d.Program, start: cmp.Or(d.Start, startPatience), run: d.Run,
		nudge: make(chan struct{}, 1), files: map[string]*file{},
	}, nil
}

// Run runs the plugins until ctx ends, and returns when all their processes have.
func (m *Manager) Run(ctx context.Context) error {
	defer m.stopAll()
	if !m.cfg.Enabled {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		m.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-m.nudge:
		}
	}
}

// Nudge has the folders looked at now.
func (m *Manager) Nudge() {
	select {
	case m.nudge <- struct{}{}:
	default: // it is about to
	}
}

// look loads what has changed in the folders.
func (m *Manager) look(ctx context.Context) {
	found, order := map[string]string{}, []string{}
	for _, dir := range m.folders() {
		paths, err := bundles(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.log.LogAttrs(ctx, slog.LevelWarn, "the folder of plugins cannot be read; what runs goes on", slog.Any("error", err))
			return
		}
		for _, p := range slices.Sorted(maps.Keys(paths)) {
			found[p] = paths[p]
			order = append(order, p)
		}
	}
	m.mu.Lock()
	known := maps.Clone(m.files)
	m.mu.Unlock()
	gone := false
	for path, f := range known {
		if seen, is := found[path]; !is || seen != f.seen {
			m.end(path, f)
			gone = true
		}
	}
	for path, f := range known {
		if gone && f.refused != nil { // there may be a place for it now
			m.end(path, f)
		}
	}
	for _, path := range order {
		m.mu.Lock()
		f := m.files[path]
		m.mu.Unlock()
		if f == nil && ctx.Err() == nil {
			m.load(ctx, path, found[path])
		}
	}
	m.mu.Lock()
	m.asked++
	m.mu.Unlock()
	m.sweep()
}

// folders are where bundles are, the host's own first.
func (m *Manager) folders() []string {
	list := []string{m.cfg.Directory}
	if m.cfg.Remote {
		list = append(list, m.RemoteFolder())
	}
	return list
}

// RemoteFolder is where the bundles are that the service delivered.
func (m *Manager) RemoteFolder() string { return filepath.Join(m.state, remoteName) }

// bundles returns how the files of bundles in a folder look, by their paths.
func bundles(dir string) (map[string]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.ReadDir(maxFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	out := map[string]string{}
	for _, e := range list {
		if !strings.HasSuffix(e.Name(), Suffix) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		about, err := e.Info()
		if err != nil {
			continue // gone meanwhile
		}
		out[filepath.Join(dir, e.Name())] = fmt.Sprint(about.Size(), about.ModTime().UnixNano(), about.Mode())
	}
	return out, nil
}

// load looks at a bundle and runs it, or keeps why not.
func (m *Manager) load(ctx context.Context, path, seen string) {
	p, err := m.inspect(ctx, path, m.cache(path), "")
	if ctx.Err() != nil {
		return
	}
	f := &file{seen: seen, plugin: p}
	if err == nil {
		err = m.admit(p, "")
	}
	if err != nil {
		f.plugin, f.refused = nil, &Status{Name: strings.TrimSuffix(filepath.Base(path), Suffix), File: path, State: Refused, Error: err.Error()}
		if p != nil {
			f.refused.Name, f.refused.Version, f.refused.Digest, f.refused.Signer = p.Manifest.Name, p.Manifest.Version, p.Digest, p.Signer
		}
		m.log.LogAttrs(ctx, slog.LevelError, "a plugin is not loaded", slog.String("file", path), slog.Any("error", err))
		m.keep(path, f)
		return
	}
	if p.Signer == "" {
		m.log.LogAttrs(ctx, slog.LevelWarn, "a plugin runs whose bundle no trusted key has signed: agent.plugins.allow_unsigned is set", slog.String("plugin", p.Manifest.Name))
	}
	m.log.LogAttrs(ctx, slog.LevelInfo, "plugin loaded", slog.String("plugin", p.Manifest.Name), slog.String("version", p.Manifest.Version), slog.String("digest", p.Digest))
	run, stop := context.WithCancel(ctx)
	f.stop, f.ended = stop, make(chan struct{})
	m.keep(path, f)
	go func() {
		defer close(f.ended)
		defer p.stop()
		if err := m.run(run, p); err != nil {
			m.log.LogAttrs(ctx, slog.LevelError, "a plugin is not collected any more", slog.String("plugin", p.Manifest.Name), slog.Any("error", err))
		}
	}()
}

func (m *Manager) keep(path string, f *file) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = f
}

// inspect has a process read, verify, check and compile a bundle. Nothing of it runs.
// What is compiled goes into cache. digest is what the bundle must be, empty for any.
func (m *Manager) inspect(ctx context.Context, path, cache, digest string) (*Plugin, error) {
	o := Order{
		Path: path, Digest: digest, Trusted: m.cfg.TrustedKeys, Unsigned: m.cfg.AllowUnsigned,
		Cache: cache, DataMiB: compileMiB, CPUSeconds: uint64(compilePatience.Seconds()),
	}
	if err := os.MkdirAll(o.Cache, 0o700); err != nil {
		m.log.LogAttrs(ctx, slog.LevelWarn, "compiled modules cannot be kept, each start compiles", slog.Any("error", err))
		o.Cache = ""
	}
	proc, err := start(m.program, compileMiB)
	if err != nil {
		return nil, err
	}
	defer proc.close()
	r, err := proc.order(ctx, compilePatience, o)
	if err != nil {
		return nil, err
	}
	o.Digest = r.Digest
	p := &Plugin{
		Manifest: r.Manifest, Digest: r.Digest, Signer: r.Signer, program: m.program, start: m.start, order: o, limit: r.Manifest.Timeout,
		log: m.log.With("plugin", r.Manifest.Name), now: m.now, state: Running,
	}
	return p, nil
}

// cache returns the folder for what a bundle is compiled to.
func (m *Manager) cache(path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(m.state, cacheName, hex.EncodeToString(sum[:8]))
}

// admit decides whether a plugin whose bundle is good may run here, and with what, in
// place of the one from the file replaced where there is one.
func (m *Manager) admit(p *Plugin, replaced string) (err error) {
	name := p.Manifest.Name
	m.mu.Lock()
	running := 0
	for path, f := range m.files {
		if f.plugin == nil || path == replaced {
			continue
		}
		if running++; f.plugin.Manifest.Name == name {
			err = sentinel.Errorf(sentinel.Conflict, "the plugin %s is there already: %s", name, path)
		}
	}
	m.mu.Unlock()
	switch {
	case err != nil:
		return err
	case running >= m.cfg.Max:
		return sentinel.Errorf(sentinel.ResourceExhausted, "there are %d plugins already: agent.plugins.max", running)
	}
	if p.order.Granted, err = m.cfg.Allow.grant(p.Manifest); err != nil {
		return err
	}
	if p.order.Settings, err = p.Manifest.settings(m.cfg.Settings[name]); err != nil {
		return fmt.Errorf("agent.plugins.settings.%s: %w", name, err)
	}
	if p.Signer == "" {
		return nil // development goes to and fro
	}
	return m.newer(p)
}

// past is the highest version of a plugin that ran here.
type past struct {
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// newer refuses an older version than the highest that ran here, and another content
// under the same version. It keeps what it lets through.
func (m *Manager) newer(p *Plugin) error {
	m.versions.Lock()
	defer m.versions.Unlock()
	path := filepath.Join(m.state, versionsName)
	seen := map[string]past{}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &seen)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return sentinel.Errorf(sentinel.Internal, "which versions of plugins ran here cannot be read, so none runs; remove %s to begin anew: %w", path, err)
	}
	was := seen[p.Manifest.Name]
	now, err := parseVersion(p.Manifest.Version)
	if err != nil {
		return err
	}
	if before, err := parseVersion(was.Version); err == nil {
		switch c := now.compare(before); {
		case c < 0:
			return sentinel.Errorf(sentinel.Conflict, "version %s of the plugin %s is older than %s, which ran here: an older one is published under a higher number", p.Manifest.Version, p.Manifest.Name, was.Version)
		case c == 0 && was.Digest != p.Digest:
			return sentinel.Errorf(sentinel.Conflict, "version %s of the plugin %s ran here with another content: publish this one under a higher number", p.Manifest.Version, p.Manifest.Name)
		case c == 0:
			return nil
		}
	}
	seen[p.Manifest.Name] = past{p.Manifest.Version, p.Digest}
	if raw, err = json.Marshal(seen); err == nil {
		err = atomicfile.Replace(path, raw, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the version of a plugin: %w", err)
	}
	return nil
}

// end stops what came from a file, and forgets it.
func (m *Manager) end(path string, f *file) {
	if f.stop != nil {
		f.stop()
		<-f.ended
		m.log.Info("plugin ended", "plugin", f.plugin.Manifest.Name, "version", f.plugin.Manifest.Version)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, path)
}

func (m *Manager) stopAll() {
	m.mu.Lock()
	all := maps.Clone(m.files)
	m.mu.Unlock()
	for _, f := range all {
		if f.stop != nil {
			f.stop()
		}
	}
	for path, f := range all {
		m.end(path, f)
	}
}

// sweep removes what was compiled from files that are gone.
func (m *Manager) sweep() {
	dir := filepath.Join(m.state, cacheName)
	list, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	used := map[string]bool{filepath.Base(m.cache(m.delivered)): true}
	for path := range m.files {
		used[filepath.Base(m.cache(path))] = true
	}
	for _, e := range list {
		if !used[e.Name()] {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

// Status returns how each plugin stands, those that are refused included, by name. done
// is how many times the folders have been looked at.
func (m *Manager) Status() (list []Status, done uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.files {
		if f.plugin != nil {
			list = append(list, f.plugin.Status())
		} else {
			list = append(list, *f.refused)
		}
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Name+a.File, b.Name+b.File) })
	return list, m.asked
}
