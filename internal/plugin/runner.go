package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	// startPatience is how long a plugin may take to start with a compiled module;
	// compilePatience how long it may take to compile it.
	startPatience   = 10 * time.Second
	compilePatience = time.Minute
	// What the system lets a process have, beyond the memory of its plugin: Go's runtime
	// maps 64 MiB at a time, and a compiler needs room.
	baseMiB    = 320 + raceMiB
	compileMiB = 1536 + raceMiB
	// residentMiB is what a process may really use beyond its plugin's memory.
	residentMiB = 96 + raceMiB
	// cpuSeconds ends a process that the agent did not. The agent starts another one at
	// half of it.
	cpuSeconds = 600

	firstPause    = time.Second
	longestPause  = 5 * time.Minute
	quarantineAt  = 5 // breakdowns in a row
	quarantineFor = time.Hour
)

// State is how a plugin stands.
type State string

const (
	Running     State = "running"
	BackingOff  State = "backing_off" // it broke down, and is tried again soon
	Quarantined State = "quarantined" // it broke down again and again
	Refused     State = "refused"     // it is not loaded
)

// Plugin is one plugin that the agent has loaded. Collect is for one goroutine, the rest
// is safe for concurrent use.
type Plugin struct {
	Manifest Manifest
	Digest   string
	Signer   string // empty where nobody signed it

	program []string
	start   time.Duration // how long it may take to start
	order   Order
	limit   time.Duration
	log     *slog.Logger
	now     func() time.Time
	proc    *process

	mu      sync.Mutex // guards what follows
	state   State
	trouble string    // of the last collection
	until   time.Time // it is not tried before
	row     int       // breakdowns in a row
	n       counts
}

// counts are what a plugin says of itself among its samples.
type counts struct {
	runs, errors, kills, starts    uint64
	logsLeft, recordsLeft          uint64
	memory, resident               int64
	lastSeconds                    float64
	wasmSeconds, collectionSeconds float64
}

// Interval returns how often it runs.
func (p *Plugin) Interval() time.Duration { return p.Manifest.Interval }

// Patience returns how long Collect may take: its timeout, and what it takes to kill it
// or to start it anew.
func (p *Plugin) Patience() time.Duration { return p.limit + p.start + endPatience }

// Collect runs the plugin once and pours its samples into to, and what there is to say
// of it besides. Where it fails there are no samples of its own; where it breaks down it
// is started anew in a later collection, at growing distances, and is left alone for an
// hour after the fifth time in a row.
func (p *Plugin) Collect(ctx context.Context, to Sink) error {
	err := p.once(ctx, to)
	p.mu.Lock()
	p.trouble = ""
	if err != nil {
		p.trouble = err.Error()
	}
	n, state := p.n, p.state
	p.mu.Unlock()
	p.say(to, n, state)
	return err
}

func (p *Plugin) once(ctx context.Context, to Sink) error {
	if err := p.ready(ctx); err != nil {
		return err
	}
	begin := p.now()
	a, emission, err := p.proc.collect(ctx, p.limit)
	if ctx.Err() != nil {
		return fmt.Errorf("collect: %w", ctx.Err())
	}
	p.count(func(n *counts) {
		n.runs++
		n.lastSeconds = p.now().Sub(begin).Seconds()
		n.collectionSeconds += n.lastSeconds
		n.wasmSeconds += time.Duration(a.Nanos).Seconds()
		n.memory, n.resident = a.Memory, resident(p.proc.cmd.Process.Pid)
		n.logsLeft += uint64(max(a.LogsLeft, 0))
		n.recordsLeft += uint64(max(a.RecordsLeft, 0))
	})
	p.pass(ctx, a.Logs)
	most := int64(p.Manifest.MemoryMiB+residentMiB) << 20
	switch {
	case err != nil:
		return p.broke(ctx, err)
	case a.Broken:
		return p.broke(ctx, sentinel.Errorf(sentinel.Invalid, "it broke down: %.600s", a.Error))
	case p.n.resident > most:
		p.proc.kill(nil)
		return p.broke(ctx, sentinel.Errorf(sentinel.ResourceExhausted, "its process used %d MiB and was killed", p.n.resident>>20))
	}
	p.mu.Lock()
	p.row, p.state = 0, Running
	p.mu.Unlock()
	if a.Error != "" {
		p.count(func(n *counts) { n.errors++ })
		return sentinel.Errorf(sentinel.Unknown, "%.600s", a.Error)
	}
	return Pour(emission, reserved{to})
}

// ready sees to it that there is a process, unless it is too early for another.
func (p *Plugin) ready(ctx context.Context) error {
	if p.proc != nil && p.proc.alive() && p.n.wasmSeconds < cpuSeconds/2 {
		return nil
	}
	p.stop()
	p.mu.Lock()
	wait, state := p.until.Sub(p.now()), p.state
	p.mu.Unlock()
	if wait > 0 {
		return sentinel.Errorf(sentinel.Unavailable, "%s: it broke down and is tried again in %s", state, wait.Round(time.Second))
	}
	proc, err := start(p.program, uint64(p.Manifest.MemoryMiB)+baseMiB)
	if err != nil {
		return err
	}
	p.proc = proc
	p.count(func(n *counts) { n.starts++; n.wasmSeconds = 0 })
	o := p.order
	o.Run, o.DataMiB, o.CPUSeconds = true, uint64(p.Manifest.MemoryMiB)+baseMiB, cpuSeconds
	if _, err := proc.order(ctx, p.start, o); err != nil {
		return p.broke(ctx, err)
	}
	return nil
}

// broke ends the process of a plugin that broke down and says when there will be
// another one.
func (p *Plugin) broke(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("collect: %w", ctx.Err())
	}
	killed := p.proc.wasKilled()
	p.stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n.errors++
	if killed {
		p.n.kills++
	}
	p.row++
	pause := min(firstPause<<min(p.row-1, 16), longestPause)
	p.state = BackingOff
	if p.row >= quarantineAt {
		p.state, pause = Quarantined, quarantineFor
		p.log.LogAttrs(ctx, slog.LevelError, "a plugin breaks down again and again; it is left alone for a while",
			slog.Int("times", p.row), slog.Duration("until_next_try", pause), slog.Any("error", err))
	}
	p.until = p.now().Add(pause)
	return err
}

// pass hands what the plugin said to the agent's log.
func (p *Plugin) pass(ctx context.Context, logs []Log) {
	for _, l := range logs {
		p.log.LogAttrs(ctx, slog.Level(l.Level), "a plugin says", slog.String("text", l.Text))
	}
}

func (p *Plugin) count(f func(*counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.n)
}

// stop ends the process. Another one may follow.
func (p *Plugin) stop() {
	if p.proc != nil {
		p.proc.close()
		p.proc = nil
	}
}

// Status is how a plugin stands, for people.
type Status struct {
	Name    string  `json:"name"`
	Version string  `json:"version,omitempty"`
	Digest  string  `json:"digest,omitempty"`
	File    string  `json:"file,omitempty"`
	Signer  string  `json:"signer,omitempty"` // empty where nobody signed it
	State   State   `json:"state"`
	Error   string  `json:"error,omitempty"`
	Runs    uint64  `json:"runs"`
	Errors  uint64  `json:"errors"`
	Kills   uint64  `json:"kills"`
	Seconds float64 `json:"seconds"` // of the last collection
	Memory  int64   `json:"memory_bytes"`
}

// Status returns how the plugin stands.
func (p *Plugin) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Status{
		Name: p.Manifest.Name, Version: p.Manifest.Version, Digest: p.Digest, File: p.order.Path, Signer: p.Signer, State: p.state, Error: p.trouble,
		Runs: p.n.runs, Errors: p.n.errors, Kills: p.n.kills, Seconds: p.n.lastSeconds, Memory: p.n.memory,
	}
}
