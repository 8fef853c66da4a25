package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) alertCommand() *cobra.Command {
	group := &cobra.Command{Use: "alert", Short: "What fires, what became of it, and who looks after it", Args: command.NoArgs,
		Example: "  sentinelctl alert ls --watch 2s\n  sentinelctl alert show 0123abcd\n  sentinelctl alert ack 0123abcd --comment \"on it\""}
	group.AddCommand(c.alertList(), c.alertShow(), c.alertAck())
	return group
}

func (c *ctl) alertList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List incidents, those that changed last first", Args: command.NoArgs,
		Example: "  sentinelctl alert ls --state firing --severity critical"}
	var q api.IncidentQuery
	cmd.Flags().StringVar(&q.State, "state", "", "only those that are pending, firing, resolved, unknown or inactive")
	cmd.Flags().StringVar(&q.Severity, "severity", "", "only those of this severity")
	cmd.Flags().StringVar(&q.Rule, "rule", "", "only those of this rule, group/alert")
	agent := cmd.Flags().String("agent", "", "only those of this agent, by id or hostname")
	cmd.Flags().BoolVar(&q.All, "all", false, "also those that are over")
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "at most so many")
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if q.Limit < 1 {
			return sentinel.Errorf(sentinel.Invalid, "--limit wants at least 1")
		}
		return c.watching(cmd, *watch, func(ctx context.Context, client *api.Client) error {
			if *agent != "" {
				a, err := findAgent(ctx, client, *agent)
				if err != nil {
					return err
				}
				q.Agent = a.ID
			}
			list, err := client.Incidents(ctx, q)
			if err != nil {
				return err
			}
			t := table{columns: []string{"id", "state", "severity", "alert", "host", "since", "what", "acked by", "agent", "rule", "reason"}, narrow: 8, empty: "nothing fires"}
			for _, in := range list {
				t.add(in.Fingerprint[:12], in.State, in.Severity, in.Alert, in.Hostname, ago{orZero(in.StartsAt)}, what(in), in.AckedBy, in.Agent, in.Rule, in.Reason)
			}
			return c.print(cmd.OutOrStdout(), t, list)
		})
	}
	return cmd
}

// what says in a line what an incident is about.
func what(in api.Incident) string {
	if text := in.Annotations["summary"]; text != "" {
		return text
	}
	return in.Series
}

const alertArgument = "the incident's id, or its beginning (`sentinelctl alert ls`)"

// findIncident returns the incident whose id begins so.
func findIncident(ctx context.Context, client *api.Client, begin string) (api.IncidentContent, error) {
	if len(begin) < 32 {
		list, err := client.Incidents(ctx, api.IncidentQuery{All: true, Limit: 10_000})
		if err != nil {
			return api.IncidentContent{}, err
		}
		var found []string
		for _, in := range list {
			if begin != "" && strings.HasPrefix(in.Fingerprint, begin) {
				found = append(found, in.Fingerprint)
			}
		}
		if len(found) != 1 {
			return api.IncidentContent{}, sentinel.Errorf(sentinel.NotFound, "%d incidents have an id that begins with %.40q; `sentinelctl alert ls --all` lists them", len(found), begin)
		}
		begin = found[0]
	}
	return client.Incident(ctx, begin)
}

func (c *ctl) alertShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show an incident and what became of it", Args: command.Args(1, 1, alertArgument), ValidArgsFunction: c.completeIncident}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		in, err := findIncident(cmd.Context(), client, args[0])
		if err != nil {
			return err
		}
		t := table{columns: []string{"what", "value"}}
		t.add("alert", in.Alert+" ("+in.Rule+"), "+in.Severity)
		host := whom(in.Incident)
		if in.Agent != "" {
			host += " (" + in.Agent + ")"
		}
		t.add("host", host)
		t.add("series", in.Series)
		t.add("state", in.State+" ("+in.Reason+")")
		t.add("summary", in.Annotations["summary"])
		t.add("runbook", in.Runbook)
		t.add("began", orZero(in.StartsAt))
		t.add("fired", orZero(in.FiredAt))
		t.add("ended", orZero(in.EndsAt))
		t.add("acknowledged", strings.TrimSpace(in.AckedBy+" "+in.AckComment))
		t.add("labels", labelText(in.Labels))
		for _, l := range in.Timeline {
			t.add(moment(l.At), l.From+" → "+l.To+" ("+l.Reason+")")
		}
		return c.print(cmd.OutOrStdout(), t, in)
	}
	return cmd
}

// whom says what an incident is about: a host, or what an expression over all of them found.
func whom(in api.Incident) string { return cmp.Or(in.Hostname, "the fleet") }

func (c *ctl) alertAck() *cobra.Command {
	cmd := &cobra.Command{Use: "ack ID", Short: "Take an incident on: nobody is told of it again while it fires", Args: command.Args(1, 1, alertArgument), ValidArgsFunction: c.completeIncident}
	comment := cmd.Flags().String("comment", "", "what others should know")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		in, err := findIncident(cmd.Context(), client, args[0])
		if err != nil {
			return err
		}
		acked, err := client.Ack(cmd.Context(), in.Fingerprint, *comment)
		return c.said(cmd, acked, err, "%s on %s is yours", in.Alert, whom(in.Incident))
	}
	return cmd
}

func (c *ctl) completeIncident(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.complete(cmd, args, func(ctx context.Context, client *api.Client) (out []string) {
		list, _ := client.Incidents(ctx, api.IncidentQuery{Limit: 50})
		for _, in := range list {
			out = append(out, in.Fingerprint+"\t"+printable(in.Alert+" on "+in.Hostname))
		}
		return out
	})
}
