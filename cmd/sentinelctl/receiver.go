package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) routeCommand() *cobra.Command {
	group := &cobra.Command{Use: "route", Short: "Who is told of which alerts", Args: command.NoArgs,
		Long: `Who is told of which alerts: the notification file, which docs/notifications.md
describes. It lies in the database, sealed; its secrets are never shown.`,
		Example: "  sentinelctl route show > notifications.yml\n  sentinelctl route apply notifications.yml\n  sentinelctl route explain alertname=DiskFull severity=critical"}
	group.AddCommand(c.routeShow(), c.routeApply(), c.routeExplain())
	return group
}

func (c *ctl) routeShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Print the notification file, without its secrets", Args: command.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		cfg, err := client.NotificationConfig(cmd.Context())
		if err != nil {
			return err
		}
		if c.output != "table" {
			return c.print(cmd.OutOrStdout(), table{}, cfg)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.TrimRight(cfg.YAML, "\n"))
		return err
	}
	return cmd
}

func (c *ctl) routeApply() *cobra.Command {
	cmd := &cobra.Command{Use: "apply FILE", Short: "Change the notification file", Args: command.Args(1, 1, "the file; - is standard input"),
		Example: "  sentinelctl route apply notifications.yml"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := readText(cmd, args[0])
		if err != nil {
			return err
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		cfg, err := client.PutNotificationConfig(cmd.Context(), api.NewNotificationConfig{YAML: text})
		return c.said(cmd, cfg, err, "version %d; `sentinelctl receiver test` tries who it names", cfg.Version)
	}
	return cmd
}

func (c *ctl) routeExplain() *cobra.Command {
	cmd := &cobra.Command{Use: "explain LABEL=VALUE…", Short: "Show where an alert with these labels would go now", Args: command.Args(1, 64, "labels such as alertname=DiskFull")}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, a := range args {
			if !strings.Contains(a, "=") {
				return sentinel.Errorf(sentinel.Invalid, "%.80q is no label: want name=value", a)
			}
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.ExplainRoute(cmd.Context(), args)
		if err != nil {
			return err
		}
		t := table{columns: []string{"route", "receiver", "waits", "repeats", "held back by", "escalates", "matchers"}, narrow: 6}
		for _, e := range list {
			held := append(append([]string{}, e.MutedBy...), e.SilencedBy...)
			if e.InhibitedBy != "" {
				held = append(held, e.InhibitedBy)
			}
			t.add(e.Path, e.Receiver, e.GroupWait, e.RepeatInterval, strings.Join(held, ", "), strings.Join(e.Escalations, ", "), strings.Join(e.Trail, " "))
		}
		return c.print(cmd.OutOrStdout(), t, list)
	}
	return cmd
}

func (c *ctl) receiverCommand() *cobra.Command {
	group := &cobra.Command{Use: "receiver", Short: "Those who are told, and what reached them", Args: command.NoArgs,
		Example: "  sentinelctl receiver ls\n  sentinelctl receiver test ops\n  sentinelctl receiver log --failed\n  sentinelctl receiver replay 0123abcd"}
	group.AddCommand(c.receiverList(), c.receiverTest(), c.receiverLog(), c.receiverUndelivered(), c.receiverReplay(), c.receiverDiscard())
	return group
}

func (c *ctl) receiverList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List receivers and their channels", Args: command.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.Receivers(cmd.Context())
		if err != nil {
			return err
		}
		t := table{columns: []string{"receiver", "channel", "kind"}}
		for _, r := range list {
			if len(r.Channels) == 0 {
				t.add(r.Name, "", "tells nobody")
			}
			for _, ch := range r.Channels {
				t.add(r.Name, ch.ID, ch.Kind)
			}
		}
		return c.print(cmd.OutOrStdout(), t, list)
	}
	return cmd
}

type tested struct {
	Channel string `json:"channel"`
	Error   string `json:"error,omitempty"`
}

func (c *ctl) receiverTest() *cobra.Command {
	cmd := &cobra.Command{Use: "test RECEIVER", Short: "Send a test message through the channels of a receiver", Args: command.Args(1, 1, "a receiver, or one of its channels (`sentinelctl receiver ls`)"),
		Long:              "Send a test message through the channels of a receiver, for real. The exit code is 6\nwhere one of them fails.",
		ValidArgsFunction: c.completeReceiver}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.Receivers(cmd.Context())
		if err != nil {
			return err
		}
		t, results, failed := table{columns: []string{"channel", "outcome"}}, []tested{}, false
		for _, r := range list {
			for _, ch := range r.Channels {
				if r.Name != args[0] && ch.ID != args[0] {
					continue
				}
				one := tested{Channel: ch.ID}
				if err := client.TestReceiver(cmd.Context(), ch.ID); err != nil {
					if code := sentinel.CodeOf(err); code != sentinel.Unavailable && code != sentinel.NotFound {
						return err
					}
					one.Error, failed = err.Error(), true
					t.add(ch.ID, err.Error())
				} else {
					t.add(ch.ID, "delivered")
				}
				results = append(results, one)
			}
		}
		if len(results) == 0 {
			return sentinel.Errorf(sentinel.NotFound, "no receiver or channel with a way to tell somebody is named %.80q; `sentinelctl receiver ls` lists them", args[0])
		}
		if err := c.print(cmd.OutOrStdout(), t, results); err != nil {
			return err
		}
		if failed {
			return command.ErrDiffers
		}
		return nil
	}
	return cmd
}

func (c *ctl) completeReceiver(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.complete(cmd, args, func(ctx context.Context, client *api.Client) (out []string) {
		list, _ := client.Receivers(ctx)
		for _, r := range list {
			out = append(out, printable(r.Name))
		}
		return out
	})
}

func (c *ctl) receiverLog() *cobra.Command {
	cmd := &cobra.Command{Use: "log", Short: "List what was sent to whom, newest first", Args: command.NoArgs}
	channel := cmd.Flags().String("receiver", "", "only to this receiver or channel")
	failed := cmd.Flags().Bool("failed", false, "only attempts that failed")
	limit := cmd.Flags().Int("limit", 100, "at most so many")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 1 || *limit > 1000 {
			return sentinel.Errorf(sentinel.Invalid, "--limit %d: want 1 to 1000", *limit)
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.Deliveries(cmd.Context(), *channel, *failed, *limit)
		if err != nil {
			return err
		}
		t := table{columns: []string{"at", "channel", "reason", "alerts", "attempt", "took ms", "error", "group", "key"}, narrow: 7, empty: "nothing was sent"}
		for _, d := range list {
			t.add(d.At, d.Channel, d.Reason, d.Alerts, d.Attempt, d.TookMS, d.Error, d.GroupKey, d.Key)
		}
		return c.print(cmd.OutOrStdout(), t, list)
	}
	return cmd
}

func (c *ctl) receiverUndelivered() *cobra.Command {
	cmd := &cobra.Command{Use: "undelivered", Short: "List messages that were given up, newest first", Args: command.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.Undelivered(cmd.Context())
		if err != nil {
			return err
		}
		t := table{columns: []string{"id", "at", "channel", "reason", "error", "alerts"}, empty: "every message was delivered"}
		for _, m := range list {
			t.add(m.ID, ago{m.At}, m.Channel, m.Reason, m.Error, strings.Join(m.Alerts, ", "))
		}
		return c.print(cmd.OutOrStdout(), t, list)
	}
	return cmd
}

const messageArgument = "the message's id (`sentinelctl receiver undelivered`)"

func (c *ctl) receiverReplay() *cobra.Command {
	cmd := &cobra.Command{Use: "replay ID", Short: "Send a message that was given up once more", Args: command.Args(1, 1, messageArgument)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		return c.said(cmd, tested{Channel: args[0]}, client.Redeliver(cmd.Context(), args[0]), "delivered %s", args[0])
	}
	return cmd
}

func (c *ctl) receiverDiscard() *cobra.Command {
	cmd := &cobra.Command{Use: "discard ID", Short: "Remove a message that was given up", Args: command.Args(1, 1, messageArgument)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		return c.said(cmd, tested{Channel: args[0]}, client.Discard(cmd.Context(), args[0]), "removed %s", args[0])
	}
	return cmd
}
