package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) auditLogCommand() *cobra.Command {
	group := &cobra.Command{Use: "audit", Short: "Who changed what (for an agent's books see `sentinelctl agent audit`)", Args: command.NoArgs}
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "Show the audit log, newest first", Args: command.NoArgs,
		Long: `Show the audit log, newest first. With --watch those that come from now on are
shown as they come, oldest first; none is missed.`,
		Example: "  sentinelctl audit ls --action user --since 24h\n  sentinelctl audit ls --watch 2s"}
	var q api.AuditQuery
	cmd.Flags().StringVar(&q.Actor, "actor", "", "only what this user or token did")
	cmd.Flags().StringVar(&q.Action, "action", "", "only this action, or all of its kind: user, token, session, agent, …")
	cmd.Flags().StringVar(&q.Target, "target", "", "only what was done to this")
	past := pastFlags(cmd, &q.From, &q.Limit, "entries")
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := past(); err != nil {
			return err
		}
		first := true
		return c.watching(cmd, *watch, func(ctx context.Context, client *api.Client) error {
			page, err := client.Audit(ctx, q, !first)
			if err != nil || (!first && len(page.Entries) == 0) {
				return err
			}
			for _, e := range page.Entries {
				q.Since = max(q.Since, e.ID)
			}
			if err := c.print(cmd.OutOrStdout(), auditTable(page.Entries), page.Entries); err != nil {
				return err
			}
			first, q.Limit = false, 1000
			return nil
		})
	}
	group.AddCommand(cmd)
	return group
}

// pastFlags adds --since and --limit to a command that shows what was noted, and returns
// what reads them into from and limit.
func pastFlags(cmd *cobra.Command, from *time.Time, limit *int, what string) func() error {
	since := command.Duration(cmd, "since", 0, "only this much of the past, such as 24h")
	cmd.Flags().IntVar(limit, "limit", 100, "at most so many "+what+", up to 1000")
	return func() error {
		if *since < 0 || *limit < 1 || *limit > 1000 {
			return sentinel.Errorf(sentinel.Invalid, "--since wants a positive duration, --limit 1 to 1000")
		}
		if *since > 0 {
			*from = time.Now().Add(-*since)
		}
		return nil
	}
}

func auditTable(entries []api.AuditEntry) table {
	t := table{columns: []string{"id", "at", "actor", "action", "target", "remote", "details"}, empty: "the audit log has no such entry"}
	for _, e := range entries {
		details := ""
		if len(e.Details) > 0 {
			raw, _ := json.Marshal(e.Details) // it came as JSON
			details = string(raw)
		}
		t.add(e.ID, e.At, e.ActorKind+":"+e.Actor, e.Action, e.Target, e.Remote, details)
	}
	return t
}
