package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) queryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "query EXPRESSION | AGENT [METRIC]", Short: "Evaluate PromQL, or show an agent's last values or one of its metrics",
		Args: command.Args(1, 2, "an expression in PromQL, or an agent's id or hostname (`sentinelctl agent ls`) and perhaps a metric's name"),
		Long: `Evaluate an expression in PromQL now, or with --since over a time; or show an
agent's last values, or with --since one metric of it over a time.

One argument with a character that no hostname has is an expression, and so is
whatever comes with --promql, and a name such as node_load1 that no agent has.
AGENT is an agent's id, or a hostname that only one agent has.

Over a time, a table shows an expression as one line for each series, drawn small;
-o csv and -o json give every value. An agent's metric is shown sample by sample;
with --step one line for each step, with the last, least, greatest and average value.

Tables are for people: times are local, numbers rounded and long labels cut. With
-o json and -o csv times are in UTC and numbers exact.`,
		Example: `  sentinelctl query 'topk(5, sentinel_host_cpu_used_percent)'
  sentinelctl query 'sum by (instance) (rate(node_network_receive_bytes_total[5m]))' --since 6h
  sentinelctl query node_load1 -o csv
  sentinelctl query web-1
  sentinelctl query ag-abcdefghijklmnop node_load1
  sentinelctl query ag-abcdefghijklmnop node_cpu_seconds_total --since 1h --step 1m -l mode=idle -o csv
  sentinelctl query ag-abcdefghijklmnop sentinel_host_cpu_used_percent --watch 5s`,
		ValidArgsFunction: c.completeAgent,
	}
	since := command.Duration(cmd, "since", 0, "show this much of the past, such as 1h")
	step := command.Duration(cmd, "step", 0, "one line for each step, such as 1m")
	labels := cmd.Flags().StringArrayP("label", "l", nil, "only series with name=value; may stand there several times")
	watch := command.Duration(cmd, "watch", 0, "ask again and again, such as every 5s, until interrupted")
	promql := cmd.Flags().Bool("promql", false, "the argument is an expression, whatever it looks like")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		expression := *promql || len(args) == 1 && isExpression(args[0])
		if !expression && len(args) == 1 && strings.ContainsAny(args[0], "_:") { // as metrics have, and hosts hardly
			client, err := c.client()
			if err != nil {
				return err
			}
			_, err = findAgent(cmd.Context(), client, args[0])
			expression = sentinel.CodeOf(err) == sentinel.NotFound
		}
		if expression {
			return c.runPromQL(cmd, args, promQuery{since: *since, step: *step, labels: len(*labels) > 0}, *watch)
		}
		set, err := labelFlags(*labels)
		if err != nil {
			return err
		}
		q := query{agent: args[0], since: *since, step: *step, labels: set}
		if len(args) == 2 {
			q.metric = args[1]
		}
		if err := q.check(*watch); err != nil {
			return err
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		agent, err := findAgent(cmd.Context(), client, q.agent)
		if err != nil {
			return err
		}
		q.agent = agent.ID
		return repeat(cmd.Context(), *watch, func() error { return c.runQuery(cmd.Context(), cmd.OutOrStdout(), client, q) })
	}
	return cmd
}

type query struct {
	agent, metric string
	since, step   time.Duration
	labels        map[string]string
}

func (q query) check(watch time.Duration) error {
	switch {
	case q.since < 0 || q.step < 0 || watch < 0:
		return sentinel.Errorf(sentinel.Invalid, "--since, --step and --watch want a positive duration such as 5m")
	case q.since > 0 && q.metric == "":
		return sentinel.Errorf(sentinel.Invalid, "--since wants a metric: sentinelctl query %s METRIC --since %s", q.agent, q.since)
	case q.step > 0 && q.since == 0:
		return sentinel.Errorf(sentinel.Invalid, "--step goes with --since")
	case watch > 0 && watch < time.Second:
		return sentinel.Errorf(sentinel.Invalid, "--watch wants at least 1s")
	}
	return nil
}

// repeat runs f once, or every so often until ctx ends, which is no failure then.
func repeat(ctx context.Context, every time.Duration, f func() error) error {
	for {
		err := f()
		if every > 0 && ctx.Err() != nil {
			return nil
		}
		if err != nil || every == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func (c *ctl) runQuery(ctx context.Context, out io.Writer, client *api.Client, q query) error {
	if q.since == 0 {
		latest, err := client.Latest(ctx, q.agent, q.metric)
		if err != nil {
			return err
		}
		latest.Samples = slices.DeleteFunc(latest.Samples, func(s api.Sample) bool { return !hasLabels(s.Labels, q.labels) })
		return c.print(out, latestTable(latest, q), latest)
	}
	to := time.Now()
	r, err := client.Range(ctx, q.agent, api.RangeQuery{Metric: q.metric, Labels: q.labels, From: to.Add(-q.since), To: to, Step: q.step})
	if err != nil {
		return err
	}
	return c.print(out, rangeTable(r, q), r)
}

func latestTable(l api.Latest, q query) table {
	t := table{columns: []string{"metric", "labels", "value", "unit", "time"}}
	for _, s := range l.Samples {
		t.add(s.Name, labelSet(s.Labels), s.Value, s.Unit, s.Time)
	}
	t.empty = fmt.Sprintf("agent %s has no such values within the last 10 minutes of its data", q.agent)
	return t
}

func hasLabels(have, want map[string]string) bool {
	for name, v := range want {
		if have[name] != v {
			return false
		}
	}
	return true
}

func rangeTable(r api.Range, q query) table {
	t := table{columns: []string{"time", "labels", "value"}}
	if q.step > 0 {
		t.columns = []string{"time", "labels", "last", "min", "max", "avg", "samples"}
	}
	for _, s := range r.Series {
		for _, p := range s.Points {
			if q.step > 0 {
				t.add(p.Time, labelSet(s.Labels), p.Last, p.Min, p.Max, p.Avg, p.Count)
			} else {
				t.add(p.Time, labelSet(s.Labels), p.Last)
			}
		}
	}
	t.empty = fmt.Sprintf("agent %s has no samples of %s in that time", q.agent, q.metric)
	return t
}
