//go:build linux && bench

// Command compare-exporter runs node_exporter beside the collectors on this host, and
// on the hosts whose files are recorded for the tests, and
// compares them metric by metric: the series that each has under a name that both
// know, their kinds, and their values. It prints what differs and fails where that is
// not in the list of known exceptions. `make compare` runs it.
//
// The collectors are asked before and after node_exporter. A counter of node_exporter
// must lie between the two answers; a gauge too, give or take one per cent. What moves
// faster than that is asked again, some rounds long, and has to fit in one of them.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
	"github.com/sentinelgo/sentinel/scripts/exporter"
)

const (
	rounds      = 12
	between     = time.Second
	leastSeries = 100 // that any Linux host has
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	unexplained, err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare-exporter:", err)
		os.Exit(2)
	}
	if unexplained > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context) (unexplained int, err error) {
	dir, err := os.MkdirTemp("", "compare-exporter-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	path, err := exporter.Install(ctx, dir)
	if err != nil {
		return 0, err
	}
	for _, root := range hosts() {
		n, err := compare(ctx, path, root)
		if err != nil {
			return 0, err
		}
		unexplained += n
	}
	return unexplained, nil
}

// hosts are what is compared: this one, and those whose files are recorded for the
// tests, which have parts that this one may lack.
func hosts() []string {
	return []string{"", "internal/collector/testdata/linux-6.18", "internal/collector/testdata/linux-3.10"}
}

// compare compares one host: the recorded one below root, or this one.
func compare(ctx context.Context, path, root string) (unexplained int, err error) {
	cfg := collector.DefaultConfig()
	cfg.Interval = time.Minute // processes are counted in every cycle
	for name := range cfg.Collectors {
		cfg.Collectors[name] = true
	}
	proc, sys := "/proc", "/sys"
	if root != "" {
		proc, sys = root+"/proc", root+"/sys"
		// Only files are recorded: what the kernel is asked for is this host's. And
		// node_exporter counts no process where it cannot read one, as there.
		for _, name := range []string{"filesystem", "systemd", "uname", "tcpstat", "processes"} {
			cfg.Collectors[name] = false
		}
	}
	fmt.Printf("\n== %s\n", cmp.Or(root, "this host"))
	set, err := collector.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)), collector.WithRoots(proc, sys))
	if err != nil {
		return 0, err
	}
	url, stop, err := start(ctx, path, cfg, proc, sys)
	if err != nil {
		return 0, err
	}
	defer stop()
	c := comparison{open: make(map[string]difference), matched: make(map[string]bool), recorded: root != ""}
	for round := range rounds {
		before, err := collect(ctx, set)
		if err != nil {
			return 0, err
		}
		theirs, err := scrape(ctx, url)
		if err != nil {
			return 0, err
		}
		after, err := collect(ctx, set)
		if err != nil {
			return 0, err
		}
		if c.round(before, theirs, after); len(c.unexplained()) == 0 {
			fmt.Printf("everything has fitted after %d rounds\n", round+1)
			break
		}
		if c.recorded {
			break // nothing moves
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(between):
		}
	}
	if len(c.matched) < leastSeries {
		return 0, fmt.Errorf("only %d series could be compared, which says nothing", len(c.matched))
	}
	return c.report(os.Stdout)
}

// start runs node_exporter with the collectors and the filters that ours have, until
// it answers.
func start(ctx context.Context, path string, cfg collector.Config, proc, sys string) (url string, stop func(), err error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a free port, at once
	if err != nil {
		return "", nil, err
	}
	addr := lis.Addr().String()
	lis.Close()
	cmd := exec.CommandContext(ctx, path, "--web.listen-address="+addr, "--log.level=error",
		"--path.procfs="+proc, "--path.sysfs="+sys, "--collector.tcpstat", "--no-collector.netdev.netlink", "--collector.processes", "--collector.systemd",
		"--collector.netdev.device-exclude="+cfg.Network.Exclude,
		"--collector.netclass.ignored-devices="+cfg.Network.Exclude,
	)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	url = "http://" + addr + "/metrics"
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, err = scrape(ctx, url); err == nil {
			return url, stop, nil
		}
		if ctx.Err() != nil || time.Since(began) > 20*time.Second {
			stop()
			return "", nil, fmt.Errorf("node_exporter does not answer: %w", err)
		}
	}
}

// sample is one value and what kind it is said to be of.
type sample struct {
	name  string
	kind  string // counter or gauge; another word where node_exporter does not say
	value float64
}

// collect returns what our collectors say, by the series' notation. Absent values are
// left out.
func collect(ctx context.Context, set *collector.Set) (map[string]sample, error) {
	all, err := set.Collect(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]sample)
	for _, snap := range all {
		layout, err := wire.DecodeLayout(snap.Layout, sentinel.DefaultLimits())
		if err != nil {
			return nil, err
		}
		for i, s := range layout {
			v := snap.Cycle.Values[i]
			if !sentinel.IsAbsent(v) && !strings.HasPrefix(s.Name, "node_scrape_") { // each speaks of its own collectors
				out[s.String()] = sample{s.Name, s.Kind.String(), v}
			}
		}
	}
	return out, nil
}

// scrape returns what node_exporter says, by the same notation.
func scrape(ctx context.Context, url string) (map[string]sample, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	return parse(string(text))
}

// difference is one series that did not fit in the last round.
type difference struct {
	name, series, what    string
	before, theirs, after float64
}

// comparison is what the rounds so far have shown.
type comparison struct {
	recorded     bool            // the host is a recorded one
	matched      map[string]bool // series that have fitted in a round
	open         map[string]difference
	ours, theirs map[string]bool // names
}

// round compares one reading.
func (c *comparison) round(before, theirs, after map[string]sample) {
	c.ours, c.theirs = make(map[string]bool), make(map[string]bool)
	for _, s := range after {
		c.ours[s.name] = true
	}
	for _, s := range theirs {
		c.theirs[s.name] = true
	}
	for key, t := range theirs {
		if !c.ours[t.name] {
			continue
		}
		b, inBefore := before[key]
		a, inAfter := after[key]
		d := difference{name: t.name, series: key, before: b.value, theirs: t.value, after: a.value}
		switch {
		case !inBefore || !inAfter:
			d.what = missingHere
		case t.kind != a.kind && (t.kind == "counter" || t.kind == "gauge"):
			d.what = "a " + a.kind + " here, a " + t.kind + " there"
		case !fits(a.kind, b.value, t.value, a.value):
			d.what = value
		}
		c.note(key, d)
	}
	for key, a := range after {
		if _, there := theirs[key]; there || !c.theirs[a.name] {
			continue
		}
		d := difference{name: a.name, series: key, what: missingThere, before: math.NaN(), theirs: math.NaN(), after: a.value}
		if a.value == 0 {
			d.what = zeroHere
		}
		c.note(key, d)
	}
	// Names of node_exporter's that it does not know must be explained too.
	for name := range c.ours {
		if strings.HasPrefix(name, "node_") && !c.theirs[name] {
			c.note(name, difference{name: name, series: name, what: nameMissing})
		}
	}
}

func (c *comparison) note(key string, d difference) {
	if d.what == "" {
		c.matched[key] = true
		delete(c.open, key)
	} else if !c.matched[key] {
		c.open[key] = d
	}
}

// fits says whether what node_exporter says lies between our two answers.
func fits(kind string, before, theirs, after float64) bool {
	if theirs == before || theirs == after || math.IsNaN(theirs) && math.IsNaN(after) {
		return true
	}
	slack := math.Abs(theirs) * 1e-9 // the last digit
	if kind == "gauge" {
		slack = math.Abs(theirs) / 100
	}
	return theirs >= min(before, after)-slack && theirs <= max(before, after)+slack
}

func (c *comparison) unexplained() (list []difference) {
	for _, d := range c.open {
		if c.reasonOf(d) == "" {
			list = append(list, d)
		}
	}
	return list
}

// report prints what differs and returns how much of it nobody can explain.
func (c *comparison) report(w io.Writer) (unexplained int, err error) {
	var list []difference
	for _, d := range c.open {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b difference) int { return strings.Compare(a.series, b.series) })
	known := make(map[string]int)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, d := range list {
		if reason := c.reasonOf(d); reason != "" {
			known[d.name+"\t"+d.what+"\t"+reason]++
			continue
		}
		unexplained++
		fmt.Fprintf(out, "%s\t%s\tbefore %v\tthere %v\tafter %v\tUNEXPLAINED\n", d.series, d.what, d.before, d.theirs, d.after)
	}
	for _, line := range slices.Sorted(maps.Keys(known)) {
		fmt.Fprintf(out, "%d × %s\n", known[line], line)
	}
	if err := out.Flush(); err != nil {
		return 0, err
	}
	shared, others := 0, []string{}
	for name := range c.theirs {
		if c.ours[name] {
			shared++
		} else if strings.HasPrefix(name, "node_") {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	fmt.Fprintf(w, "\nnot collected here: %s\n", strings.Join(others, " "))
	fmt.Fprintf(w, "\n%d names and %d series agree, %d differ for a known reason, %d are unexplained\n",
		shared, len(c.matched), len(list)-unexplained, unexplained)
	return unexplained, nil
}
