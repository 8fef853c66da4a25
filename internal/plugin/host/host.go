// Package host runs one plugin, in a process that does nothing else. It owns the
// WebAssembly runtime. The process is the agent's program started anew: Main is its
// whole life, from the bounds that it sets itself to the last collection.
package host

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Main is a plugin's process, as the agent starts it: it speaks with the agent over
// in and out until in ends, and returns the exit code.
func Main(ctx context.Context, in io.Reader, out io.Writer) int {
	runtime.GOMAXPROCS(2) // one for the plugin, one for whatever has to go on beside it
	err := serve(ctx, plugin.Conversation{In: in, Out: out})
	if err == nil || errors.Is(err, io.EOF) {
		return 0
	}
	return 1
}

// startMemory is the heap from which on garbage is collected while a plugin starts.
const startMemory = 128 << 20

func serve(ctx context.Context, c plugin.Conversation) error {
	o, err := c.Order()
	if err != nil {
		return err
	}
	if err := bound(o); err != nil {
		return c.Failed(sentinel.Errorf(sentinel.Internal, "the process cannot bound itself: %w", err))
	}
	if o.Run { // a start is short: its garbage can wait
		debug.SetGCPercent(-1)
		debug.SetMemoryLimit(startMemory)
	}
	ready, instance, err := carryOut(ctx, o)
	if err != nil {
		return c.Failed(err)
	}
	if err := c.Ready(ready); err != nil || !o.Run {
		return err
	}
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(math.MaxInt64)
	released := make(chan struct{})
	go func() { // while nothing is asked yet
		defer close(released)
		debug.FreeOSMemory() // of the bundle, and of loading it
	}()
	defer func() { <-released }()
	for {
		if err := c.Next(); err != nil {
			return err
		}
		a, emission := instance.Collect(ctx)
		if err := c.Answer(a, emission); err != nil || a.Broken {
			return err
		}
	}
}

// carryOut reads, verifies and checks the bundle that the order names, compiles it
// and, where it is to run, starts it.
func carryOut(ctx context.Context, o plugin.Order) (plugin.Ready, *Instance, error) {
	b, err := plugin.ReadBundle(o.Path)
	if err != nil {
		return plugin.Ready{}, nil, err
	}
	ready := plugin.Ready{Digest: b.Digest()}
	if o.Digest != "" && ready.Digest != o.Digest {
		return ready, nil, sentinel.Errorf(sentinel.Conflict, "the bundle is not the one that was looked at")
	}
	if b.Signed() || !o.Unsigned {
		trusted := make([]plugin.PublicKey, len(o.Trusted))
		for i, text := range o.Trusted {
			if trusted[i], err = plugin.ParsePublicKey(text); err != nil {
				return ready, nil, err
			}
		}
		if err := b.Verify(trusted); err != nil && !o.Unsigned {
			return ready, nil, err
		} else if err == nil {
			ready.Signer = plugin.PublicKey(b.Key).String()
		}
	}
	opts := Options{Cache: o.Cache, Granted: o.Granted, Settings: o.Settings}
	if ready.Manifest, err = Check(b); err != nil {
		return ready, nil, err
	}
	if !o.Run {
		return ready, nil, Compile(ctx, b, opts)
	}
	instance, err := Load(ctx, b, opts)
	return ready, instance, err
}

// Check returns the manifest of a bundle whose parts fit each other and the limits.
// Nothing of it is compiled or run.
func Check(b plugin.Bundle) (plugin.Manifest, error) {
	m, err := plugin.ParseManifest(b.RawManifest)
	if err != nil {
		return m, err
	}
	s, err := plugin.CheckModule(b.Module, m.MemoryMiB)
	if err != nil {
		return m, err
	}
	return m, s.Check(m.Capabilities)
}

// Collect has the plugin collect once. The emission is the caller's until the next
// call. It returns when the plugin does: whoever cannot wait kills the process.
func (i *Instance) Collect(ctx context.Context) (plugin.Answer, []byte) {
	begin := time.Now()
	i.guest.begin()
	i.guest.deadline = begin.Add(i.timeout) // of what it asks of the network
	var stack [1]uint64
	err := i.collect.CallWithStack(ctx, stack[:])
	a := i.guest.end()
	a.Nanos, a.Memory = time.Since(begin).Nanoseconds(), int64(i.module.Memory().Size())
	switch code := int32(stack[0]); {
	case err != nil:
		a.Error, a.Broken = i.guest.misery(err), true
	case code != 0:
		a.Error = i.guest.complaint(code)
	default:
		return a, i.guest.emission
	}
	return a, nil
}

// Run is what main of a program does where its first argument is plugin.Command: it
// returns false where that is not so.
func Run(ctx context.Context) (code int, is bool) {
	if len(os.Args) != 2 || os.Args[1] != plugin.Command {
		return 0, false
	}
	return Main(ctx, os.Stdin, os.Stdout), true
}
