//go:build linux && bench

// Command bench-agent measures the release build of the agent against a whole
// system on this host, over TLS, with node_exporter beside it, and fails where
// the agent takes more than it may. `make bench-agent` runs it.
//
// Nothing is asked of a process while it is measured: memory, CPU time and
// wake-ups are the kernel's counts of it, read before and after.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sentinelgo/sentinel/deploy"
	"github.com/sentinelgo/sentinel/scripts/exporter"
)

// What the agent may take. Memory is in kB as the kernel prints it.
const (
	maxRSS         = 15_000
	maxBinary      = 16_000_000 // bytes
	maxCPUPerHour  = 1.5        // seconds, at an interval of 10 s
	maxFirstAnswer = 100 * time.Millisecond
	maxPayload     = 3.0 // bytes per sample: batches of one cycle
)

const (
	settle = 6 * time.Second // after the start, before counting begins
	starts = 5               // runs that time the first acknowledgement; the median counts
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	broken, err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-agent:", err)
		os.Exit(2)
	}
	if broken > 0 {
		os.Exit(1)
	}
}

// bench is one run: a system that is up and where its things are.
type bench struct {
	dir     string // for everything, removed at the end
	state   string // of the system
	gateway string
}

func run(ctx context.Context) (broken int, err error) {
	seconds, err := strconv.Atoi(os.Getenv("BENCH_SECONDS"))
	if err != nil || seconds < 10 {
		return 0, fmt.Errorf("BENCH_SECONDS: is %q, want a whole number from 10 on", os.Getenv("BENCH_SECONDS"))
	}
	b := bench{}
	if b.dir, err = os.MkdirTemp("", "bench-agent-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(b.dir)
	if err := os.Chmod(b.dir, 0o755); err != nil { // the database may run as another user
		return 0, err
	}
	if err := b.build(ctx); err != nil {
		return 0, err
	}
	node, why := b.installExporter(ctx)
	stop, err := b.startSystem(ctx)
	if err != nil {
		return 0, err
	}
	defer stop()

	first, err := b.firstAnswers(ctx)
	if err != nil {
		return 0, err
	}
	ten, err := b.startAgent(ctx, "ten", "10s")
	if err != nil {
		return 0, err
	}
	defer ten.stop()
	one, err := b.startAgent(ctx, "one", "1s")
	if err != nil {
		return 0, err
	}
	defer one.stop()
	bare, err := b.startAgent(ctx, "bare", "10s")
	if err != nil {
		return 0, err
	}
	defer bare.stop()
	measured := []*process{ten, one, bare}
	if node != "" {
		p, err := b.startExporter(ctx, node)
		if err != nil {
			return 0, err
		}
		defer p.stop()
		measured = append(measured, p)
	}
	fmt.Printf("measuring for %d s ...\n", seconds)
	if err := measure(ctx, measured, time.Duration(seconds)*time.Second); err != nil {
		return 0, err
	}
	return b.report(ctx, ten, one, measured, first, why)
}

// build builds the agent as a release is built, and what it talks to.
func (b *bench) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", os.Getenv("BENCH_TAGS"), "-ldflags", os.Getenv("BENCH_LDFLAGS"),
		"-o", b.dir+"/", "./cmd/sentinel-agent", "./cmd/sentinel", "./cmd/sentinelctl")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// installExporter returns the path of node_exporter, or why there is none.
func (b *bench) installExporter(ctx context.Context) (path, why string) {
	path, err := exporter.Install(ctx, b.dir)
	if err != nil {
		return "", err.Error()
	}
	return path, ""
}

// startSystem runs the all-in-one process until this host's first samples are in
// its database.
func (b *bench) startSystem(ctx context.Context) (stop func(), err error) {
	ports, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	b.state, b.gateway = filepath.Join(b.dir, "state"), ports[0]
	p, out, err := start(ctx, "sentinel", nil, filepath.Join(b.dir, "sentinel"), "--state", b.state, "--gateway", ports[0], "--api", ports[1])
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "are in the database") {
			go func() { _, _ = io.Copy(io.Discard, out) }() // until it ends
			return p.stop, nil
		}
	}
	p.stop()
	return nil, errors.New("the system did not start; run bin/sentinel to see why")
}

// startAgent registers an agent and starts it with an empty state folder.
func (b *bench) startAgent(ctx context.Context, name, interval string) (*process, error) {
	dir := filepath.Join(b.dir, "agent-"+name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	register := exec.CommandContext(ctx, filepath.Join(b.dir, "sentinelctl"), "--config", filepath.Join(b.state, "sentinelctl.yml"),
		"agent", "register", "--hostname", name, "--out", filepath.Join(dir, "credential.json"))
	if out, err := register.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("register: %w\n%s", err, out)
	}
	listen, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	label, run := "agent "+interval, b.asUnit
	if name == "bare" {
		label, run = label+", bare", start
	}
	p, out, err := run(ctx, label, []string{
		"SENTINEL_AGENT_STATE_DIR=" + dir, "SENTINEL_AGENT_SERVER_ADDRESS=" + b.gateway,
		"SENTINEL_AGENT_SERVER_CA_FILE=" + filepath.Join(b.state, "certs", "ca.crt"), "SENTINEL_AGENT_LISTEN=" + listen[0],
		"SENTINEL_AGENT_COLLECT_INTERVAL=" + interval, "SENTINEL_AGENT_COLLECT_TIMEOUT=1s",
	}, filepath.Join(b.dir, "sentinel-agent"))
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // until it ends
	p.metrics = "http://" + listen[0] + "/metrics"
	return p, nil
}

// asUnit starts a process with the timer slack that the agent's systemd unit gives it.
// "bare" agents show what it costs to go without.
func (b *bench) asUnit(ctx context.Context, name string, env []string, path string, args ...string) (*process, io.Reader, error) {
	_, text, found := strings.Cut(deploy.SystemdUnit(), "\nTimerSlackNSec=")
	text, _, _ = strings.Cut(text, "\n")
	slack, err := time.ParseDuration(text)
	if !found || err != nil {
		return nil, nil, fmt.Errorf("TimerSlackNSec of the agent's unit is %q: %w", text, err)
	}
	// It is the thread's own, and what it starts inherits it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0); err != nil {
		return nil, nil, fmt.Errorf("set timer slack: %w", err)
	}
	p, out, err := start(ctx, name, env, path, args...)
	return p, out, errors.Join(err, unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)) // 0 is what it was
}

func (b *bench) startExporter(ctx context.Context, path string) (*process, error) {
	listen, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	p, out, err := start(ctx, "node_exporter", nil, path, "--web.listen-address="+listen[0], "--log.level=error")
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // until it ends
	p.metrics, p.scraped = "http://"+listen[0]+"/metrics", true
	return p, nil
}

// firstAnswers times starts from exec to the first batch that the service has
// acknowledged. Asking is not free, so nothing else is measured in these runs.
func (b *bench) firstAnswers(ctx context.Context) ([]time.Duration, error) {
	var took []time.Duration
	for i := range starts {
		p, err := b.startAgent(ctx, "first-"+strconv.Itoa(i), "10s")
		if err != nil {
			return nil, err
		}
		for p.value(ctx, `sentinel_agent_receipts_total{code="ok"}`) < 1 {
			if err := ctx.Err(); err != nil || time.Since(p.began) > 30*time.Second {
				p.stop()
				return nil, errors.Join(err, errors.New("no batch was acknowledged in 30 s"))
			}
			time.Sleep(2 * time.Millisecond)
		}
		took = append(took, time.Since(p.began))
		p.stop()
	}
	slices.Sort(took)
	return took, nil
}

// measure lets the processes run and notes what the kernel counted meanwhile.
func measure(ctx context.Context, list []*process, d time.Duration) error {
	wait := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
	if err := wait(settle); err != nil {
		return err
	}
	for _, p := range list {
		if err := p.note(&p.before); err != nil {
			return err
		}
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		for _, p := range list {
			if p.scraped {
				p.value(ctx, "")
			}
		}
		if err := wait(min(10*time.Second, time.Until(end))); err != nil {
			return err
		}
	}
	for _, p := range list {
		if err := p.note(&p.after); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) report(ctx context.Context, ten, one *process, all []*process, first []time.Duration, why string) (broken int, err error) {
	fmt.Printf("\n%-15s %9s %9s %9s %9s %12s %9s %9s\n", "", "RSS kB", "anon kB", "file kB", "peak kB", "CPU s/hour", "wakes/s", "threads")
	for _, p := range all {
		fmt.Printf("%-15s %9d %9d %9d %9d %12.2f %9.2f %9d\n", p.name, p.after.rss, p.after.anon, p.after.file, p.after.peak, p.cpuPerHour(), p.wakes(), p.after.threads)
	}
	if why != "" {
		fmt.Println("node_exporter is missing:", why)
	}
	bin, err := os.Stat(filepath.Join(b.dir, "sentinel-agent"))
	if err != nil {
		return 0, err
	}
	samples := one.value(ctx, "sentinel_agent_samples_appended_total")
	payload, envelopes := one.value(ctx, "sentinel_agent_payload_bytes_sent_total"), one.value(ctx, "sentinel_agent_envelope_bytes_sent_total")
	if samples == 0 {
		return 0, errors.New("the agent's metrics do not say how many samples it took")
	}
	fmt.Printf("\nsamples in a cycle %.0f, envelope %.2f bytes per sample; exec to first acknowledged batch %v\n\n",
		samples/one.value(ctx, "sentinel_agent_cycles_total"), envelopes/samples, first)
	check := func(what string, got, limit float64) {
		verdict := "ok"
		if got > limit {
			verdict = "BROKEN"
			broken++
		}
		fmt.Printf("%-44s %12.2f  at most %12.2f  %s\n", what, got, limit, verdict)
	}
	check("RSS at 10 s, kB", float64(ten.after.rss), maxRSS)
	check("RSS at 1 s, kB", float64(one.after.rss), maxRSS)
	check("CPU at 10 s, seconds per hour", ten.cpuPerHour(), maxCPUPerHour)
	check("binary, bytes", float64(bin.Size()), maxBinary)
	check("first acknowledged batch (median), ms", float64(first[len(first)/2].Microseconds())/1000, float64(maxFirstAnswer.Milliseconds()))
	check("payload of single cycles, bytes per sample", payload/samples, maxPayload)
	return broken, nil
}

// process is a child and what the kernel says about it.
type process struct {
	name          string
	cmd           *exec.Cmd
	began         time.Time
	metrics       string
	scraped       bool // every 10 s while it is measured
	before, after counts
}

type counts struct {
	at                    time.Time
	cpu                   time.Duration
	wakes                 int64 // voluntary context switches
	rss, anon, file, peak int64 // kB
	threads               int
}

// start runs a child whose output may be read. It ends with this process.
func start(ctx context.Context, name string, env []string, path string, args ...string) (*process, io.Reader, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	if !strings.HasPrefix(name, "sentinel") {
		cmd.Stderr = nil
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 40 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches it through us, once
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	p := &process{name: name, cmd: cmd, began: time.Now()}
	return p, out, cmd.Start()
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = p.cmd.Wait()
}

// value asks the process for one of its metrics; 0 is also "it has none".
func (p *process) value(ctx context.Context, name string) float64 {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.metrics, nil)
	if err != nil {
		return 0
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0 // not up yet
	}
	defer res.Body.Close()
	value := 0.0
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok && name != "" {
			value, _ = strconv.ParseFloat(rest, 64)
		}
	}
	return value
}

// note reads the kernel's counts. CPU time comes from each thread's schedstat: the
// clock ticks of stat are too coarse for a process that sleeps.
func (p *process) note(c *counts) error {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		return fmt.Errorf("%s has ended", p.name)
	}
	*c = counts{at: time.Now(), threads: len(tasks)}
	for _, t := range tasks {
		raw, err := os.ReadFile(filepath.Join(t, "schedstat"))
		if err != nil {
			return err
		}
		ns, err := strconv.ParseInt(strings.Fields(string(raw))[0], 10, 64)
		if err != nil {
			return err
		}
		c.cpu += time.Duration(ns)
		c.wakes += field(filepath.Join(t, "status"), "voluntary_ctxt_switches:")
	}
	status := fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)
	c.rss, c.anon, c.file, c.peak = field(status, "VmRSS:"), field(status, "RssAnon:"), field(status, "RssFile:"), field(status, "VmHWM:")
	return nil
}

func field(path, key string) int64 {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}

func (p *process) cpuPerHour() float64 {
	return (p.after.cpu - p.before.cpu).Seconds() / p.after.at.Sub(p.before.at).Hours()
}

func (p *process) wakes() float64 {
	return float64(p.after.wakes-p.before.wakes) / p.after.at.Sub(p.before.at).Seconds()
}

// freeAddresses returns addresses on this host that nobody listened on just now.
func freeAddresses(n int) ([]string, error) {
	var list []string
	for range n {
		lis, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a free port, at once
		if err != nil {
			return nil, err
		}
		defer lis.Close() // all at the end, so that they differ
		list = append(list, lis.Addr().String())
	}
	return list, nil
}
