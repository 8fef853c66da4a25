package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) metricsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "metrics", Short: "See which metrics there are, and take their samples out"}
	cmd.AddCommand(c.metricsListCommand(), c.metricsExportCommand())
	return cmd
}

func (c *ctl) metricsListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls [PART]", Short: "List the metrics that any agent has", Args: command.Args(0, 1, "part of a metric's name"),
		Example: "  sentinelctl metrics ls\n  sentinelctl metrics ls filesystem"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		all, err := client.Metrics(cmd.Context())
		if err != nil {
			return err
		}
		t := table{columns: []string{"metric", "type", "unit"}, empty: "there are no such metrics"}
		shown := []api.MetricInfo{}
		for _, m := range all {
			if len(args) == 0 || strings.Contains(m.Name, args[0]) {
				shown = append(shown, m)
				t.add(m.Name, m.Type, m.Unit)
			}
		}
		return c.print(cmd.OutOrStdout(), t, shown)
	}
	return cmd
}

func (c *ctl) metricsExportCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "export SELECTOR", Short: "Write the samples of series, as they came, as CSV",
		Args: command.Args(1, 1, "a selector of PromQL, such as node_load1 or '{agent=\"ag-…\"}'"),
		Long: `Write every sample of the series that a selector of PromQL finds, as CSV with the
columns time, metric, labels and value: times in UTC, numbers exact. The time is
cut into pieces that are asked for one after the other, so it may be long. A server
keeps samples as they came for as long as worker.retention.raw says.`,
		Example: "  sentinelctl metrics export node_load1 --since 24h > load.csv\n  sentinelctl metrics export '{agent=\"ag-…\",__name__=~\"node_disk.*\"}' --since 1h"}
	since := command.Duration(cmd, "since", time.Hour, "how much of the past")
	piece := command.Duration(cmd, "piece", 15*time.Minute, "how much to ask for at once")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case *since < time.Second:
			return sentinel.Errorf(sentinel.Invalid, "--since %s: want at least 1s", *since)
		case *piece < time.Second:
			return sentinel.Errorf(sentinel.Invalid, "--piece %s: want at least 1s", *piece)
		case strings.ContainsAny(args[0], "()[]") && !strings.Contains(args[0], "{"):
			return sentinel.Errorf(sentinel.Invalid, "%q is no selector: a metric's name, labels in braces, or both; `sentinelctl query` evaluates expressions", args[0])
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		return export(cmd.Context(), cmd.OutOrStdout(), client, args[0], time.Now().Add(-*since), time.Now(), *piece)
	}
	return cmd
}

func export(ctx context.Context, w io.Writer, client *api.Client, selector string, from, to time.Time, piece time.Duration) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"time", "metric", "labels", "value"}); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	for from.Before(to) {
		end := from.Add(piece).Truncate(time.Millisecond)
		if end.After(to) {
			end = to
		}
		// A range holds its end, not its beginning: pieces meet and do not overlap.
		length := max(time.Millisecond, end.Sub(from).Truncate(time.Millisecond))
		a, err := client.Query(ctx, fmt.Sprintf("%s[%dms]", selector, length.Milliseconds()), end)
		if err != nil {
			return err
		}
		for _, s := range a.Series {
			for _, p := range s.Points {
				if err := out.Write([]string{exact(p.Time), s.Labels[nameLabel], exact(withoutName(s.Labels)), exact(p.Value)}); err != nil {
					return fmt.Errorf("write csv: %w", err)
				}
			}
		}
		from = end
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	return nil
}
