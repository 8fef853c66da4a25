package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/control"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// localCommands ask the agent on this host, through the socket in its state folder.
func (c *ctl) localCommands() []*cobra.Command {
	return []*cobra.Command{c.statusCommand(), c.flushCommand(), c.reloadCommand()}
}

// socketFlags adds the flags that say where the agent is.
func socketFlags(cmd *cobra.Command) func() (*control.Client, error) {
	dir := cmd.Flags().String("state-dir", agent.DefaultConfig().Agent.StateDir, "the agent's state folder (SENTINEL_AGENT_STATE_DIR)")
	socket := cmd.Flags().String("socket", "", "the agent's socket, where it is not "+control.SocketName+" in the state folder")
	return func() (*control.Client, error) {
		if v := os.Getenv("SENTINEL_AGENT_STATE_DIR"); v != "" && !cmd.Flags().Changed("state-dir") {
			*dir = v
		}
		switch {
		case cmd.Flags().Changed("socket") && cmd.Flags().Changed("state-dir"):
			return nil, sentinel.Errorf(sentinel.Invalid, "--socket and --state-dir: name one of them")
		case *socket != "":
			return control.NewClient(filepath.Clean(*socket)), nil
		}
		return control.NewClient(control.SocketPath(*dir)), nil
	}
}

func (c *ctl) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show how the agent on this host stands", Args: command.NoArgs,
		Long: `Show how the agent on this host stands: its connection, what its log holds, which
configuration it runs with and how its collectors fare.

It asks the agent itself, through the socket in its state folder, and needs no
server. Only the agent's user and root may ask.`,
		Example: "  sentinelctl agent status\n  sentinelctl agent status --state-dir ./agent -o json",
	}
	client := socketFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		agent, err := client()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
		defer cancel()
		s, err := agent.Status(ctx)
		if err != nil {
			return err
		}
		if c.output == "table" {
			return writeStatus(cmd.OutOrStdout(), s)
		}
		t := table{columns: []string{"field", "value"}}
		for _, row := range statusRows(s) {
			t.add(row[0], row[1])
		}
		return c.print(cmd.OutOrStdout(), t, s)
	}
	return cmd
}

// statusRows are what every reader sees of a status.
func statusRows(s control.Status) [][2]any {
	state := "not connected"
	if s.Connection.Connected {
		state = "connected"
	}
	file := s.Config.File
	if file == "" {
		file = "defaults and environment"
	}
	condition := "good"
	if s.Config.LastGood {
		condition = "NOT GOOD, runs with the last good one: " + s.Config.Error
	}
	var oldest ago
	if s.Log.OldestUnsettled != nil {
		oldest.Time = *s.Log.OldestUnsettled
	}
	rows := [][2]any{
		{"agent", s.Agent}, {"version", s.Version}, {"pid", s.PID}, {"started", ago{s.Started}},
		{"server", s.Connection.Server}, {"connection", state}, {"since", ago{s.Connection.Since}},
	}
	if s.Connection.LastError != "" {
		rows = append(rows, [2]any{"last_error", s.Connection.LastError})
	}
	rows = append(rows, [][2]any{
		{"clock_ahead_seconds", s.Connection.ClockAhead},
		{"log_bytes", s.Log.Bytes}, {"records_appended", s.Log.Appended}, {"records_unsettled", unsettled(s.Log.Marks)}, {"oldest_unsettled", oldest},
		{"records_failed", s.Log.Failed}, {"records_dropped", dropped(s.Log.Dropped)},
	}...)
	if s.Log.Waiting > 0 {
		rows = append(rows, [2]any{"cycles_waiting_for_clock", s.Log.Waiting})
	}
	if s.Log.Error != "" {
		rows = append(rows, [2]any{"log_error", s.Log.Error})
	}
	rows = append(rows, [2]any{"config_file", file}, [2]any{"config", condition})
	if s.Config.LastReload != nil {
		rows = append(rows, [2]any{"last_reload", ago{*s.Config.LastReload}})
	}
	if len(s.Config.NeedsRestart) > 0 {
		rows = append(rows, [2]any{"needs_restart", strings.Join(s.Config.NeedsRestart, ", ")})
	}
	return rows
}

func writeStatus(w io.Writer, s control.Status) error {
	for _, row := range statusRows(s) {
		fmt.Fprintf(w, "%-24s  %s\n", strings.ReplaceAll(row[0].(string), "_", " "), readable(row[1]))
	}
	var failing []string
	for _, c := range s.Collectors {
		if !c.Success {
			failing = append(failing, c.Name)
		}
	}
	line := fmt.Sprintf("%d, all well", len(s.Collectors))
	if len(failing) > 0 {
		line = fmt.Sprintf("%d, failing: %s", len(s.Collectors), printable(strings.Join(failing, ", ")))
	}
	_, err := fmt.Fprintf(w, "%-24s  %s\n", "collectors", line)
	for _, p := range s.Plugins {
		line := p.State
		if p.Signer == "" && p.State != "refused" {
			line += ", UNSIGNED"
		}
		if p.Error != "" {
			line += ": " + p.Error
		}
		_, err = fmt.Fprintf(w, "%-24s  %s\n", "plugin "+printable(p.Name)+" "+printable(p.Version), printable(line))
	}
	return err
}

// unsettled counts the records behind the marks. Those of an epoch whose end is not
// known yet are not among them.
func unsettled(marks []control.Mark) (n uint64) {
	for _, m := range marks {
		n += m.Appended - min(m.Appended, m.Settled)
	}
	return n
}

func dropped(byReason map[string]uint64) string {
	var list []string
	for _, reason := range sortedNames(byReason) {
		if n := byReason[reason]; n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, reason))
		}
	}
	if list == nil {
		return "0"
	}
	return strings.Join(list, ", ")
}

func (c *ctl) flushCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "flush", Short: "Have the agent on this host send what it has, and wait until it is stored", Args: command.NoArgs,
		Long: `Have the agent on this host send what it has, and wait until everything that its
log holds now is settled: stored, quarantined or declared lost. It waits for up
to --wait and ends with exit code 5 where that is not enough; nothing is lost then,
the agent goes on.`,
		Example: "  sentinelctl agent flush\n  sentinelctl agent flush --wait 2m && systemctl poweroff",
	}
	client := socketFlags(cmd)
	wait := command.Duration(cmd, "wait", 30*time.Second, "how long to wait, up to 10m")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *wait <= 0 || *wait > 10*time.Minute {
			return sentinel.Errorf(sentinel.Invalid, "--wait %s: want a duration up to 10m", *wait)
		}
		agent, err := client()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *wait+c.timeout)
		defer cancel()
		f, err := agent.Flush(ctx, *wait)
		if err != nil {
			return err
		}
		t := table{columns: []string{"epoch", "appended", "settled"}, empty: "everything is settled, the log is empty"}
		for _, m := range f.Marks {
			t.add(m.Epoch, m.Appended, m.Settled)
		}
		if err := c.print(cmd.OutOrStdout(), t, f); err != nil {
			return err
		}
		if !f.Done {
			return sentinel.Errorf(sentinel.Unavailable, "not everything is settled after %s: %s; the agent keeps it and goes on", wait, f.Reason)
		}
		return nil
	}
	return cmd
}

func (c *ctl) reloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reload", Short: "Have the agent on this host read its configuration again", Args: command.NoArgs,
		Long: `Have the agent on this host read its configuration again, and say what of it holds
now and what waits for a restart. A configuration that is not good changes nothing:
the agent goes on as it was, and the exit code is 2.`,
		Example: "  sentinelctl agent reload",
	}
	client := socketFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		agent, err := client()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
		defer cancel()
		r, err := agent.Reload(ctx)
		if err != nil {
			return err
		}
		if !r.OK {
			if c.output == "json" {
				if err := writeJSON(cmd.OutOrStdout(), r); err != nil {
					return err
				}
			}
			return sentinel.Errorf(sentinel.Invalid, "nothing has changed: %s", r.Error)
		}
		t := table{columns: []string{"key", "holds"}, empty: "reloaded, nothing has changed"}
		for _, key := range r.Applied {
			t.add(key, "now")
		}
		for _, key := range r.NeedsRestart {
			t.add(key, "after a restart")
		}
		return c.print(cmd.OutOrStdout(), t, r)
	}
	return cmd
}
