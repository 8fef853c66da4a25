package host

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/sentinelgo/sentinel/internal/guard"
	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Options are what a plugin runs with.
type Options struct {
	Cache    string              // folder for compiled modules; empty for none
	Granted  plugin.Capabilities // what it gets of what it wants
	Settings map[string]string   // their defaults included
}

// Instance is a plugin that has started. It is for one goroutine.
type Instance struct {
	runtime wazero.Runtime
	module  api.Module
	collect api.Function
	timeout time.Duration
	guest   *guest
}

// engine returns a runtime in which modules have at most so much memory.
func engine(ctx context.Context, memoryMiB int, cache string) (wazero.Runtime, error) {
	cfg := newConfig().WithMemoryLimitPages(uint32(memoryMiB << 20 / plugin.PageSize)).
		WithMemoryCapacityFromMax(true). // address space, of which only what is used is memory
		WithDebugInfoEnabled(false)
	if cache != "" {
		c, err := wazero.NewCompilationCacheWithDir(cache)
		if err != nil {
			return nil, fmt.Errorf("open the cache of compiled modules: %w", err)
		}
		cfg = cfg.WithCompilationCache(c)
	}
	return wazero.NewRuntimeWithConfig(ctx, cfg), nil
}

// Compile compiles the module of a bundle that was checked, into the cache. Nothing of
// it runs.
func Compile(ctx context.Context, b plugin.Bundle, o Options) error {
	m, err := plugin.ParseManifest(b.RawManifest)
	if err != nil {
		return err
	}
	r, err := engine(ctx, m.MemoryMiB, o.Cache)
	if err != nil {
		return err
	}
	defer r.Close(ctx) //nolint:errcheck // it ends with the process
	_, err = compile(ctx, r, b)
	return err
}

func compile(ctx context.Context, r wazero.Runtime, b plugin.Bundle) (wazero.CompiledModule, error) {
	c, err := r.CompileModule(ctx, b.Module)
	if err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "the module cannot be compiled: %w", err)
	}
	return c, nil
}

// Load starts the plugin of a bundle that was checked: its module is compiled, or
// found in the cache, and initialised.
func Load(ctx context.Context, b plugin.Bundle, o Options) (*Instance, error) {
	m, err := plugin.ParseManifest(b.RawManifest)
	if err != nil {
		return nil, err
	}
	g, err := guard.New(o.Granted.PrivateNetworks)
	if err != nil {
		return nil, err
	}
	r, err := engine(ctx, m.MemoryMiB, o.Cache)
	if err != nil {
		return nil, err
	}
	i := &Instance{runtime: r, timeout: m.Timeout, guest: newGuest(m, o, g)}
	if err := i.start(ctx, b); err != nil {
		i.Close(ctx)
		return nil, err
	}
	return i, nil
}

func (i *Instance) start(ctx context.Context, b plugin.Bundle) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, i.runtime); err != nil {
		return err
	}
	if err := i.guest.link(ctx, i.runtime); err != nil {
		return err
	}
	compiled, err := compile(ctx, i.runtime, b)
	if err != nil {
		return err
	}
	cfg := wazero.NewModuleConfig().WithName("plugin").WithStartFunctions(plugin.ExportInit).WithRandSource(rand.Reader).
		WithSysWalltime().WithSysNanotime().WithSysNanosleep().WithStdout(i.guest.stdout()).WithStderr(i.guest.stderr())
	if i.module, err = i.runtime.InstantiateModule(ctx, compiled, cfg); err != nil {
		return sentinel.Errorf(sentinel.Invalid, "the plugin does not start: %s", i.guest.misery(err))
	}
	version, err := i.export(plugin.ExportVersion)
	if err != nil {
		return err
	}
	if i.collect, err = i.export(plugin.ExportCollect); err != nil {
		return err
	}
	got, err := version.Call(ctx)
	if err != nil {
		return sentinel.Errorf(sentinel.Invalid, "%s: %s", plugin.ExportVersion, i.guest.misery(err))
	}
	if int32(got[0]) != plugin.ABI {
		return sentinel.Errorf(sentinel.Invalid, "the module speaks ABI %d, this host speaks %d", int32(got[0]), plugin.ABI)
	}
	return nil
}

// export returns an exported function that takes nothing and returns an i32.
func (i *Instance) export(name string) (api.Function, error) {
	f := i.module.ExportedFunction(name)
	if f == nil || len(f.Definition().ParamTypes()) != 0 || len(f.Definition().ResultTypes()) != 1 || f.Definition().ResultTypes()[0] != api.ValueTypeI32 {
		return nil, sentinel.Errorf(sentinel.Invalid, "the module's %s: want a function without parameters that returns an i32", name)
	}
	return f, nil
}

// Close ends the plugin.
func (i *Instance) Close(ctx context.Context) {
	_ = i.runtime.Close(ctx) // nothing is written there
	if t, is := i.guest.client.Transport.(*http.Transport); is {
		t.CloseIdleConnections()
	}
}
