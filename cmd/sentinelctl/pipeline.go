package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
)

func (c *ctl) pipelineCommand() *cobra.Command {
	group := &cobra.Command{Use: "pipeline", Short: "The way of the samples through the service", Args: command.NoArgs}
	cmd := &cobra.Command{Use: "status", Short: "Show the state of the server, the broker and the database", Args: command.NoArgs,
		Long: `Show the state of the server that answers, the broker and the database. With --watch
there are rates too: of what changed since the line before.`,
		Example: "  sentinelctl pipeline status\n  sentinelctl pipeline status --watch 5s"}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var before *api.Status
		return c.watching(cmd, *watch, func(ctx context.Context, client *api.Client) error {
			s, err := client.Status(ctx)
			if err != nil {
				return err
			}
			t := statusTable(s, before)
			before = &s
			return c.print(cmd.OutOrStdout(), t, s)
		})
	}
	group.AddCommand(cmd, c.pipelineTestCommand())
	return group
}

func (c *ctl) pipelineTestCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "test", Short: "Send one marked sample through every stage and time it", Args: command.NoArgs,
		Long: `Send one marked sample the way of agents' samples and time each stage: the gateway's
checks, the broker, the worker's commit, a query that finds it, and the worker that
judges. It belongs to no host, changes no books and pages nobody. It takes at most
15 seconds. Needs the role operator.

The exit code is 6 where a stage failed.`,
		Example: "  sentinelctl pipeline test\n  sentinelctl pipeline test -o json"}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		st, err := client.SelfTest(cmd.Context())
		if err != nil {
			return err
		}
		t := table{columns: []string{"stage", "state", "ms", "what"}}
		for _, stage := range st.Stages {
			ms, what := any(stage.MS), stage.What
			if stage.State == "skipped" {
				ms = ""
			}
			if stage.Error != "" {
				what = stage.Error
			}
			t.add(stage.Name, stage.State, ms, what)
		}
		if st.OK {
			t.add("all", "passed", st.TookMS, "From the sample's making to the query's answer")
		}
		if err := c.print(cmd.OutOrStdout(), t, st); err != nil {
			return err
		}
		if !st.OK {
			return command.ErrDiffers
		}
		return nil
	}
	return cmd
}

func statusTable(s api.Status, before *api.Status) table {
	t := table{columns: []string{"part", "what", "value"}}
	t.add("server", "version", s.Version)
	t.add("server", "uptime", (time.Duration(s.UptimeSeconds) * time.Second).String())
	t.add("server", "sessions", s.Sessions)
	t.add("database", "engine", fmt.Sprintf("%s on PostgreSQL %s", s.Database.Engine, s.Database.Version))
	t.add("database", "schema", s.Database.Schema)
	t.add("database", "bytes", s.Database.Bytes)
	if s.Broker == nil {
		t.add("broker", "state", "DOES NOT ANSWER")
	} else {
		t.add("broker", "stream", fmt.Sprintf("%d messages, %d of %d bytes", s.Broker.Messages, s.Broker.Bytes, s.Broker.MaxBytes))
		for _, consumer := range s.Broker.Consumers {
			t.add("broker", "consumer "+consumer.Name, fmt.Sprintf("%d messages behind, the oldest %.1f s old", consumer.Pending, consumer.LagSeconds))
		}
	}
	for _, state := range sortedNames(s.Agents) {
		t.add("agents", state, s.Agents[state])
	}
	r := s.Records
	for _, row := range []struct {
		what string
		n    uint64
	}{{"appended", r.Appended}, {"stored", r.Stored}, {"quarantined", r.Quarantined}, {"lost", r.Lost}, {"in flight", r.InFlight}, {"samples", r.Samples}} {
		t.add("records", row.what, row.n)
	}
	if before != nil {
		if d := s.Time.Sub(before.Time).Seconds(); d > 0 && r.Samples >= before.Records.Samples {
			t.add("rate", "samples per second", float64(r.Samples-before.Records.Samples)/d)
		}
	}
	t.add("dead letters", "all", s.DeadLetters)
	t.add("dead letters", "orphans", s.Orphans)
	return t
}
