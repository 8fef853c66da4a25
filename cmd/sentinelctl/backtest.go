package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// backtestPatience is how long a backtest may take, unless --timeout says more.
const backtestPatience = 5 * time.Minute

func (c *ctl) ruleBacktest() *cobra.Command {
	cmd := &cobra.Command{Use: "backtest [FILE]", Short: "Play rules over stored history: what would have fired", Args: command.Args(0, 1, "a file of rules; none: the rules that hold"),
		Long: `Play rules over stored history through the engine that judges live data: what would
have fired, and how many messages people would have got as the notification file is
now (without repeats, silences and inhibition).

Up to two days are played cycle by cycle, what is longer minute by minute, but for
--fine. --transitions shows every change in place of the sums.`,
		Example: "  sentinelctl rule backtest disk.yml --since 30d\n  sentinelctl rule backtest disk.yml --rule DiskFull --against"}
	var in api.NewBacktest
	since := command.Duration(cmd, "since", 24*time.Hour, "how far back")
	cmd.Flags().StringVar(&in.Rule, "rule", "", "only this rule")
	cmd.Flags().BoolVar(&in.Against, "against", false, "compare with the rules that hold")
	cmd.Flags().BoolVar(&in.Fine, "fine", false, "play every cycle, however long that takes")
	agent := cmd.Flags().String("agent", "", "only the history of this agent, by id or hostname")
	each := cmd.Flags().Bool("transitions", false, "show every change")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *since <= 0 {
			return sentinel.Errorf(sentinel.Invalid, "--since %s: want a positive duration such as 30d", *since)
		}
		in.Since = since.String()
		if len(args) == 1 {
			text, err := readText(cmd, args[0])
			if err != nil {
				return err
			}
			in.YAML = text
		}
		c.timeout = max(c.timeout, backtestPatience)
		client, err := c.client()
		if err != nil {
			return err
		}
		if *agent != "" {
			a, err := findAgent(cmd.Context(), client, *agent)
			if err != nil {
				return err
			}
			in.Agents = []string{a.ID}
		}
		out, err := client.Backtest(cmd.Context(), in)
		if err != nil {
			return err
		}
		if err := c.print(cmd.OutOrStdout(), backtestRows(out, in.Against, *each), out); err != nil || c.programs() {
			return err
		}
		how := "cycle by cycle"
		if out.Minutes {
			how = "minute by minute"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d agents, %d samples, %s, in %s\n", out.Agents, out.Samples, how, time.Duration(out.TookMS)*time.Millisecond)
		return err
	}
	return cmd
}

func backtestRows(b api.Backtest, against, each bool) table {
	if each {
		t := table{columns: []string{"at", "rule", "host", "from", "to", "reason", "value", "series", "agent"}, narrow: 8, empty: "nothing would have happened"}
		for _, x := range b.Transitions {
			t.add(x.At, x.Rule, x.Hostname, x.From, x.To, x.Reason, x.Value, x.Series, x.Agent)
		}
		return t
	}
	t := table{columns: []string{"rule", "fired", "resolved", "messages"}, empty: "there are no rules"}
	if against {
		t.columns = append(t.columns, "fires now", "messages now")
	}
	for _, r := range b.Rules {
		cells := []any{r.Rule, r.Fired, r.Resolved, r.Messages}
		if against && r.Current != nil {
			cells = append(cells, r.Current.Fired, r.Current.Messages)
		} else if against {
			cells = append(cells, "-", "-")
		}
		t.add(cells...)
	}
	return t
}
