package agent

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/atomicfile"
	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

const (
	courierEvery = 2 * time.Second  // between two looks at how plugins stand
	courierIdle  = 30 * time.Second // the same, where there are none: an agent sleeps
	askAgain     = 15 * time.Second // where no part of a bundle has come
	partName     = ".part"          // the bundle that is coming, in the remote folder
	indexName    = "index.json"     // what was delivered: digests by name
	maxDelivered = 200
	maxTold      = 500 // bytes of why a plugin does not run
)

// courier fetches the bundles that the service wants this agent to run, one after the
// other, hands them to the plugins, and tells the service how all plugins stand. It
// implements uplink.Courier.
type courier struct {
	plugs func() *plugin.Manager
	log   *slog.Logger
	out   chan *sentinelpb.ConnectRequest
	wake  chan struct{}

	mu    sync.Mutex // guards what follows
	begun bool       // a session has begun that Run has not seen yet
	set   *sentinelpb.PluginSet
	chunk *sentinelpb.PluginChunk

	// Run's.
	speaks   bool // a session speaks of plugins
	wanted   []*sentinelpb.PluginRef
	failed   map[string]string // digests that this agent cannot run, and why
	fetching *sentinelpb.PluginRef
	file     *os.File // of what is being fetched
	offset   uint32
	asked    time.Time
	told     *sentinelpb.PluginReport
}

func newCourier(plugs func() *plugin.Manager, log *slog.Logger) *courier {
	return &courier{plugs: plugs, log: log, out: make(chan *sentinelpb.ConnectRequest, 4), wake: make(chan struct{}, 1), failed: map[string]string{}}
}

// Begin implements uplink.Courier.
func (c *courier) Begin(s *sentinelpb.PluginSet) {
	c.mu.Lock()
	c.begun, c.set, c.chunk = true, s, nil
	c.mu.Unlock()
	for { // what was for an earlier session
		select {
		case <-c.out:
			continue
		default:
		}
		break
	}
	c.nudge()
}

// Set implements uplink.Courier.
func (c *courier) Set(s *sentinelpb.PluginSet) {
	c.mu.Lock()
	c.set = s
	c.mu.Unlock()
	c.nudge()
}

// Chunk implements uplink.Courier.
func (c *courier) Chunk(p *sentinelpb.PluginChunk) {
	c.mu.Lock()
	c.chunk = p
	c.mu.Unlock()
	c.nudge()
}

// Outgoing implements uplink.Courier.
func (c *courier) Outgoing() <-chan *sentinelpb.ConnectRequest { return c.out }

func (c *courier) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// say queues a message where there is room. What finds none is said again later.
func (c *courier) say(m *sentinelpb.ConnectRequest) bool {
	select {
	case c.out <- m:
		return true
	default:
		return false
	}
}

// run is the courier's work until ctx ends.
func (c *courier) run(ctx context.Context) error {
	defer c.drop()
	tick := time.NewTimer(courierIdle)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-c.wake:
		}
		tick.Reset(c.pace())
		c.mu.Lock()
		begun, set, chunk := c.begun, c.set, c.chunk
		c.begun, c.set, c.chunk = false, nil, nil
		c.mu.Unlock()
		if begun {
			c.speaks, c.told, c.asked = true, nil, time.Time{}
			clear(c.failed) // another try with each session
		}
		if set != nil {
			c.apply(set)
		}
		if chunk != nil {
			c.take(ctx, chunk)
		}
		if c.speaks {
			c.fetch()
			c.report()
		}
	}
}

// pace returns how long it is until the next look.
func (c *courier) pace() time.Duration {
	list, _ := c.plugs().Status()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(list) == 0 && len(c.wanted) == 0 && len(c.set.GetPlugins()) == 0 {
		return courierIdle
	}
	return courierEvery
}

// apply makes a set what is wanted, and takes back what is not in it.
func (c *courier) apply(set *sentinelpb.PluginSet) {
	for _, p := range set.GetPlugins() {
		if !slices.ContainsFunc(c.wanted, func(w *sentinelpb.PluginRef) bool { return proto.Equal(w, p) }) {
			delete(c.failed, p.GetDigest()) // another try
		}
	}
	c.wanted = set.GetPlugins()[:min(len(set.GetPlugins()), maxDelivered)]
	m := c.plugs()
	has := c.index()
	changed := false
	for name := range has {
		if slices.ContainsFunc(c.wanted, func(p *sentinelpb.PluginRef) bool { return p.GetName() == name }) {
			continue
		}
		if err := m.Withdraw(name); err != nil {
			c.log.Error("a plugin that the service has withdrawn cannot be removed", "plugin", name, "error", err)
			continue
		}
		c.log.Info("the service has withdrawn a plugin", "plugin", name)
		delete(has, name)
		changed = true
	}
	if changed {
		c.keep(has)
	}
	if f := c.fetching; f != nil && !slices.ContainsFunc(c.wanted, func(p *sentinelpb.PluginRef) bool { return p.GetDigest() == f.GetDigest() }) {
		c.drop()
	}
}

// fetch asks for the next part of what is missing.
func (c *courier) fetch() {
	if c.fetching == nil {
		c.next()
	}
	if c.fetching == nil || time.Since(c.asked) < askAgain {
		return
	}
	if c.say(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_PluginWant{PluginWant: &sentinelpb.PluginWant{Digest: c.fetching.GetDigest(), Offset: c.offset}}}) {
		c.asked = time.Now()
	}
}

// next begins with the next bundle that is wanted, is not there and was not tried.
func (c *courier) next() {
	if len(c.wanted) == 0 {
		return
	}
	m, has := c.plugs(), c.index()
	for _, p := range c.wanted {
		if has[p.GetName()] == p.GetDigest() || c.failed[p.GetDigest()] != "" {
			continue
		}
		if !m.Remote() {
			c.failed[p.GetDigest()] = plugin.ErrNotRemote.Error()
			continue
		}
		if p.GetSize() > plugin.MaxBundle {
			c.failed[p.GetDigest()] = "the bundle is too large"
			continue
		}
		err := os.MkdirAll(m.RemoteFolder(), 0o700)
		if err == nil {
			c.file, err = os.OpenFile(filepath.Join(m.RemoteFolder(), partName), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		}
		if err != nil {
			c.failed[p.GetDigest()] = err.Error()
			continue
		}
		c.fetching, c.offset, c.asked = p, 0, time.Time{}
		return
	}
}

// take adds a part to what is being fetched. Where that is whole it is handed over.
func (c *courier) take(ctx context.Context, p *sentinelpb.PluginChunk) {
	if c.fetching == nil || p.GetDigest() != c.fetching.GetDigest() || p.GetOffset() != c.offset {
		return // an answer to an earlier question
	}
	ref := c.fetching
	if n := len(p.GetData()); n == 0 || uint64(c.offset)+uint64(n) > uint64(ref.GetSize()) {
		c.fail(ref, sentinel.Errorf(sentinel.NotFound, "the service does not have it any more"))
		return
	}
	if _, err := c.file.Write(p.GetData()); err != nil {
		c.fail(ref, err)
		return
	}
	c.offset += uint32(len(p.GetData()))
	c.asked = time.Time{}
	if c.offset < ref.GetSize() {
		return
	}
	err := c.file.Sync()
	if cerr := c.file.Close(); err == nil {
		err = cerr
	}
	c.file = nil
	if err == nil {
		err = c.plugs().Deliver(ctx, partName, ref.GetName(), ref.GetDigest())
	}
	if err != nil {
		c.fail(ref, err)
		return
	}
	has := c.index()
	has[ref.GetName()] = ref.GetDigest()
	c.keep(has)
	c.fetching = nil
	c.log.Info("the service has delivered a plugin", "plugin", ref.GetName(), "version", ref.GetVersion())
}

func (c *courier) fail(ref *sentinelpb.PluginRef, err error) {
	c.drop()
	c.failed[ref.GetDigest()] = err.Error()
	c.log.Error("a plugin that the service wants is not run", "plugin", ref.GetName(), "version", ref.GetVersion(), "error", err)
}

// drop ends what is being fetched.
func (c *courier) drop() {
	c.fetching = nil
	if c.file != nil {
		c.file.Close()
		os.Remove(c.file.Name())
		c.file = nil
	}
}

// index returns the digests of what was delivered and is there, by name.
func (c *courier) index() map[string]string {
	dir, out := c.plugs().RemoteFolder(), map[string]string{}
	raw, err := os.ReadFile(filepath.Join(dir, indexName))
	if err != nil || json.Unmarshal(raw, &out) != nil {
		return map[string]string{} // it is all fetched again
	}
	maps.DeleteFunc(out, func(name, _ string) bool {
		_, err := os.Stat(filepath.Join(dir, name+plugin.Suffix))
		return err != nil
	})
	return out
}

func (c *courier) keep(has map[string]string) {
	raw, err := json.Marshal(has)
	if err == nil {
		err = atomicfile.Replace(filepath.Join(c.plugs().RemoteFolder(), indexName), raw, 0o600)
	}
	if err != nil {
		c.log.Warn("which plugins the service delivered cannot be noted, they are fetched again", "error", err)
	}
}

// report tells the service how all plugins stand, where that has changed.
func (c *courier) report() {
	list, _ := c.plugs().Status()
	r := &sentinelpb.PluginReport{}
	for _, s := range list {
		one := &sentinelpb.PluginState{Name: s.Name, Version: s.Version, Digest: s.Digest, State: string(s.State), Unsigned: s.Signer == "" && s.State != plugin.Refused}
		if s.State != plugin.Running {
			one.Error = s.Error
		} else if s.Runs == 0 {
			continue // whether it does is not known yet
		}
		r.Plugins = append(r.Plugins, one)
	}
	for _, p := range c.wanted {
		if why := c.failed[p.GetDigest()]; why != "" {
			r.Plugins = append(r.Plugins, &sentinelpb.PluginState{Name: p.GetName(), Version: p.GetVersion(), Digest: p.GetDigest(), State: string(plugin.Refused), Error: why})
		}
	}
	for _, p := range r.GetPlugins() {
		text := strings.ToValidUTF8(p.GetError(), "?") // protobuf takes nothing else
		p.Error = strings.ToValidUTF8(text[:min(len(text), maxTold)], "")
	}
	if c.told != nil && proto.Equal(c.told, r) || c.told == nil && len(r.GetPlugins()) == 0 && len(c.wanted) == 0 {
		return
	}
	if c.say(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_PluginReport{PluginReport: r}}) {
		c.told = r
	}
}
