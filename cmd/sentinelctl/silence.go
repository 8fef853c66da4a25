package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) silenceCommand() *cobra.Command {
	group := &cobra.Command{Use: "silence", Short: "Hold alerts back for a time", Args: command.NoArgs,
		Long: `Hold alerts back for a time. Matchers are those of Alertmanager: name="value",
name!="value", name=~"pattern", name!~"pattern"; all of them must match.`,
		Example: "  sentinelctl silence preview 'hostname=\"web-1\"'\n  sentinelctl silence create 'hostname=\"web-1\"' --for 2h --comment \"new disk\"\n  sentinelctl silence expire sil-…"}
	group.AddCommand(c.silenceCreate(), c.silenceList(), c.silenceExpire(), c.silencePreview())
	return group
}

const matcherArgument = `matchers such as 'hostname="web-1"'`

func silenceRows(list []api.Silence) table {
	t := table{columns: []string{"id", "state", "ends", "matchers", "author", "comment", "starts"}, narrow: 6, empty: "there are no silences"}
	for _, s := range list {
		t.add(s.ID, s.State, s.EndsAt, strings.Join(s.Matchers, " "), s.Author, s.Comment, s.StartsAt)
	}
	return t
}

func (c *ctl) silenceCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create MATCHER…", Short: "Hold back the alerts that match, for a time", Args: command.Args(1, 32, matcherArgument)}
	lasts := command.Duration(cmd, "for", 0, "how long")
	comment := cmd.Flags().String("comment", "", "why")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *lasts < time.Second || *comment == "" {
			return sentinel.Errorf(sentinel.Invalid, "want --for, such as 2h, and --comment, which says why")
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		s, err := client.CreateSilence(cmd.Context(), api.NewSilence{Matchers: args, Lasts: lasts.String(), Comment: *comment})
		return c.said(cmd, s, err, "%s lasts until %s", s.ID, moment(s.EndsAt))
	}
	return cmd
}

func (c *ctl) silenceList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List silences, the last to end first", Args: command.NoArgs}
	all := cmd.Flags().Bool("all", false, "also those that have ended")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.Silences(cmd.Context(), *all)
		if err != nil {
			return err
		}
		return c.print(cmd.OutOrStdout(), silenceRows(list), list)
	}
	return cmd
}

func (c *ctl) silenceExpire() *cobra.Command {
	cmd := &cobra.Command{Use: "expire ID", Short: "End a silence now", Args: command.Args(1, 1, "the silence's id (`sentinelctl silence ls`)"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return c.complete(cmd, args, func(ctx context.Context, client *api.Client) (out []string) {
				list, _ := client.Silences(ctx, false)
				for _, s := range list {
					out = append(out, s.ID+"\t"+printable(s.Comment))
				}
				return out
			})
		}}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		s, err := client.ExpireSilence(cmd.Context(), args[0])
		return c.said(cmd, s, err, "%s has ended", s.ID)
	}
	return cmd
}

func (c *ctl) silencePreview() *cobra.Command {
	cmd := &cobra.Command{Use: "preview MATCHER…", Short: "Show what fires now and would be held back", Args: command.Args(1, 32, matcherArgument)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.PreviewSilence(cmd.Context(), args)
		if err != nil {
			return err
		}
		t := table{columns: []string{"id", "severity", "alert", "host", "since", "what"}, empty: "nothing that fires now matches"}
		for _, in := range list {
			t.add(in.Fingerprint[:12], in.Severity, in.Alert, in.Hostname, ago{orZero(in.StartsAt)}, what(in))
		}
		return c.print(cmd.OutOrStdout(), t, list)
	}
	return cmd
}
