package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
)

func (c *ctl) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "events [AGENT]", Short: "Show what happened in the fleet, newest first", Args: command.Args(0, 1, agentArgument),
		ValidArgsFunction: c.completeAgent,
		Long: `Show what happened in the fleet, newest first: agents that came and went, enrolled,
changed their key or what they collect. With --watch those that come from now on are
shown as they come, oldest first; none is missed.`,
		Example: "  sentinelctl events --since 12h\n  sentinelctl events web-1 --kind agent.disconnected\n  sentinelctl events --watch 2s"}
	var q api.EventQuery
	cmd.Flags().StringVar(&q.Kind, "kind", "", "only this kind, such as agent.connected")
	past := pastFlags(cmd, &q.From, &q.Limit, "events")
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := past(); err != nil {
			return err
		}
		if len(args) == 1 {
			_, agent, err := c.oneAgent(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			q.Agent = agent.ID
		}
		first := true
		return c.watching(cmd, *watch, func(ctx context.Context, client *api.Client) error {
			page, err := client.Events(ctx, q, !first)
			if err != nil || (!first && len(page.Events) == 0) {
				return err
			}
			t := table{columns: []string{"id", "at", "kind", "agent", "detail"}, empty: "nothing has happened"}
			for _, e := range page.Events {
				q.Since = max(q.Since, e.ID)
				t.add(e.ID, e.At, e.Kind, e.Agent, e.Detail)
			}
			if err := c.print(cmd.OutOrStdout(), t, page.Events); err != nil {
				return err
			}
			first, q.Limit = false, 1000
			return nil
		})
	}
	return cmd
}
