package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/pack"
	promql "github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const maxRuleFiles = 1000

func (c *ctl) ruleCommand() *cobra.Command {
	group := &cobra.Command{Use: "rule", Short: "Alerting rules: those that hold, and tests of those to come", Args: command.NoArgs,
		Long: `Alerting rules: those that hold, and tests of those to come. check, test and pack
need no server. docs/alerting.md explains the rules and their tests.`,
		Example: `  sentinelctl rule pack > rules.yml
  sentinelctl rule check rules.yml
  sentinelctl rule test tests.yml
  sentinelctl rule backtest rules.yml --since 30d --against
  sentinelctl rule apply rules.yml
  sentinelctl rule ls`}
	group.AddCommand(c.ruleList(), c.ruleShow(), c.ruleApply(), c.ruleRemove(), c.ruleCheck(), c.ruleTest(), c.rulePack(), c.ruleBacktest())
	return group
}

type checkedRule struct {
	Group    string `json:"group"`
	Alert    string `json:"alert"`
	Kind     string `json:"kind"`
	Severity string `json:"severity"`
	Sentence string `json:"sentence"`
}

func (c *ctl) ruleCheck() *cobra.Command {
	cmd := &cobra.Command{Use: "check FILE…", Short: "Validate files of rules, and say what they mean", Args: command.Args(1, maxRuleFiles, "files of rules"),
		Long: `Validate files of rules, and say each rule as a sentence.

Errors name file, line, rule and field, all of them at once. The files are taken
together: an alert may stand only once in a group.`,
		Example: "  sentinelctl rule check rules/*.yml"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		rules, err := alerting.LoadRules(promql.CheckAlert, args...)
		if err != nil {
			return err
		}
		t := table{columns: []string{"group", "alert", "severity", "fires"}, empty: "there are no rules"}
		list := []checkedRule{}
		for _, r := range rules.Rules {
			t.add(r.Group, r.Alert, r.Severity, r.String())
			list = append(list, checkedRule{r.Group, r.Alert, string(r.Kind), r.Severity, r.String()})
		}
		return c.print(cmd.OutOrStdout(), t, list)
	}
	return cmd
}

func (c *ctl) ruleTest() *cobra.Command {
	cmd := &cobra.Command{Use: "test FILE…", Short: "Run tests of rules through the engine that judges live data", Args: command.Args(1, maxRuleFiles, "files of tests"),
		Long: `Run tests of rules through the engine that judges live data.

A file names rules (rule_files, relative to it), series of values, and which alerts
fire at which time, in the form of promtool. The exit code is 6 where an
expectation does not hold.`,
		Example: "  sentinelctl rule test rules/*_test.yml"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t := table{columns: []string{"file", "line", "test", "alert", "at", "failure"}}
		list, total := []alerting.Failure{}, 0
		for _, path := range args {
			failures, checked, err := alerting.RunTests(cmd.Context(), path, overFixture)
			if err != nil {
				return err
			}
			total += checked
			for _, f := range failures {
				t.add(f.File, f.Line, f.Test, f.Alert, sentinel.FormatDuration(f.EvalTime), f.What)
				list = append(list, f)
			}
		}
		if total == 0 && len(list) == 0 {
			t.empty = "the files expect nothing: there is no alert_rule_test in them"
		} else {
			t.empty = fmt.Sprintf("all %d expectations hold", total)
		}
		if err := c.print(cmd.OutOrStdout(), t, list); err != nil {
			return err
		}
		if len(list) > 0 {
			return command.ErrDiffers
		}
		return nil
	}
	return cmd
}

// overFixture answers the expressions of a test as the service does.
func overFixture(who alerting.Agent, layout sentinel.Layout, times []time.Time, values [][]float64) alerting.Asker {
	return promql.Fixture(promql.Host{Agent: who.ID, Hostname: who.Hostname, Labels: who.Labels}, layout, times, values)
}

func (c *ctl) rulePack() *cobra.Command {
	cmd := &cobra.Command{Use: "pack", Short: "Print the rules that every fleet can start with", Args: command.NoArgs,
		Example: "  sentinelctl rule pack > rules.yml"}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := cmd.OutOrStdout().Write(pack.YAML()); err != nil {
			return fmt.Errorf("write rules: %w", err)
		}
		return nil
	}
	return cmd
}
