package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// sample is one value as --once prints it in JSON.
type sample struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Unit   string            `json:"unit,omitempty"`
	Value  *float64          `json:"value"` // null for NaN and infinity, which JSON does not have
}

// onceBetween is how long Once waits between its two cycles.
const onceBetween = time.Second

// Once collects this host's metrics and writes them to w, as a table or, where
// format says so, as JSON. It needs no credential, touches no log and contacts
// nobody. It reads the host twice, a second apart, and writes the second reading:
// what is a share of the time in between (CPU used) needs two. Series without a
// value are left out. An unknown format is Invalid.
func Once(ctx context.Context, cfg collector.Config, format string, w io.Writer, logger *slog.Logger) error {
	if format != "table" && format != "json" {
		return sentinel.Errorf(sentinel.Invalid, "--output: %q is not known, want table or json", format)
	}
	set, err := collector.New(cfg, logger)
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	if _, err := set.Collect(ctx); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("agent: collect: %w", ctx.Err())
	case <-time.After(onceBetween):
	}
	all, err := set.Collect(ctx)
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	layout, cycle, err := joined(all)
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	if format == "json" {
		return writeSamples(w, layout, cycle)
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "SERIES\tVALUE\tUNIT")
	for i, s := range layout {
		if v := cycle.Values[i]; !sentinel.IsAbsent(v) {
			fmt.Fprintf(out, "%s\t%s\t%s\n", s, strconv.FormatFloat(v, 'f', -1, 64), s.Unit)
		}
	}
	return out.Flush()
}

// joined returns the snapshots as one cycle, at the time of the first.
func joined(all []collector.Snapshot) (layout sentinel.Layout, cycle sentinel.Cycle, err error) {
	for i, snap := range all {
		part, err := wire.DecodeLayout(snap.Layout, sentinel.DefaultLimits())
		if err != nil {
			return nil, cycle, err
		}
		layout = append(layout, part...)
		if i == 0 {
			cycle.Time = snap.Cycle.Time
		}
		cycle.Values = append(cycle.Values, snap.Cycle.Values...)
	}
	return layout, cycle, nil
}

func writeSamples(w io.Writer, layout sentinel.Layout, c sentinel.Cycle) error {
	doc := struct {
		Time    time.Time `json:"time"`
		Samples []sample  `json:"samples"`
	}{Time: c.Time, Samples: []sample{}}
	for i, s := range layout {
		v := c.Values[i]
		if sentinel.IsAbsent(v) {
			continue
		}
		one := sample{Name: s.Name, Unit: s.Unit}
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			one.Value = &v
		}
		for _, l := range s.Labels {
			if one.Labels == nil {
				one.Labels = map[string]string{}
			}
			one.Labels[l.Name] = l.Value
		}
		doc.Samples = append(doc.Samples, one)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("agent: write json: %w", err)
	}
	return nil
}
