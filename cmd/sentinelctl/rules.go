package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const maxRuleFile = 1 << 20

// readText reads a file that people wrote; - is standard input.
func readText(cmd *cobra.Command, path string) (string, error) {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxRuleFile))
	} else {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return "", sentinel.Errorf(sentinel.NotFound, "read %s: %w", path, err)
	}
	return string(raw), nil
}

func ruleRows(list []api.Rule) table {
	t := table{columns: []string{"group", "alert", "severity", "fires", "version", "changed", "by"}, narrow: 4, empty: "there are no rules; `sentinelctl rule pack` prints some to start with"}
	for _, r := range list {
		t.add(r.Group, r.Alert, r.Severity, r.Sentence, r.Version, r.ChangedAt, r.ChangedBy)
	}
	return t
}

func (c *ctl) ruleList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List the rules that hold", Args: command.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.Rules(cmd.Context())
		if err != nil {
			return err
		}
		return c.print(cmd.OutOrStdout(), ruleRows(list), list)
	}
	return cmd
}

// findRule returns the rule with this name: group/alert, or the alert alone where only
// one has it.
func findRule(ctx context.Context, client *api.Client, name string) (api.Rule, error) {
	if group, alert, whole := strings.Cut(name, "/"); whole {
		return client.Rule(ctx, group, alert)
	}
	list, err := client.Rules(ctx)
	if err != nil {
		return api.Rule{}, err
	}
	var found []api.Rule
	for _, r := range list {
		if r.Alert == name {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return api.Rule{}, sentinel.Errorf(sentinel.NotFound, "there is no rule %.80q; `sentinelctl rule ls` lists those there are", name)
	case 1:
		return found[0], nil
	}
	return api.Rule{}, sentinel.Errorf(sentinel.Invalid, "%d groups have a rule %.80q: write %s/%s or so", len(found), name, found[0].Group, name)
}

const ruleArgument = "the rule: group/alert, or the alert alone (`sentinelctl rule ls`)"

func (c *ctl) ruleShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show RULE", Short: "Print a rule as it stands in a file", Args: command.Args(1, 1, ruleArgument), ValidArgsFunction: c.completeRule}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		r, err := findRule(cmd.Context(), client, args[0])
		if err != nil {
			return err
		}
		if c.output != "table" {
			return c.print(cmd.OutOrStdout(), ruleRows([]api.Rule{r}), r)
		}
		text := strings.ReplaceAll(strings.TrimSpace(r.YAML), "\n", "\n    ")
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "# %s\ngroups:\n- name: %q\n  rules:\n  - %s\n", printable(r.Sentence), r.Group, text)
		return err
	}
	return cmd
}

func (c *ctl) ruleApply() *cobra.Command {
	cmd := &cobra.Command{Use: "apply FILE…", Short: "Make or change the rules of files", Args: command.Args(1, maxRuleFiles, "files of rules; - is standard input"),
		Long: `Make or change the rules of files, each file as a whole or not at all. They hold
within seconds. What fires by other rules goes on, and so does what fires by a rule
of which only severity, labels, texts or durations change.`,
		Example: "  sentinelctl rule apply disk.yml\n  sentinelctl rule apply --prune --dry-run disk.yml"}
	prune := cmd.Flags().Bool("prune", false, "remove the rules of the files' groups that are not in them")
	dry := cmd.Flags().Bool("dry-run", false, "let the service check the files, and change nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list := []api.Rule{}
		for _, path := range args {
			text, err := readText(cmd, path)
			if err != nil {
				return err
			}
			kept, err := client.ApplyRules(cmd.Context(), api.RuleFile{YAML: text, Prune: *prune, DryRun: *dry})
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			list = append(list, kept...)
		}
		return c.print(cmd.OutOrStdout(), ruleRows(list), list)
	}
	return cmd
}

func (c *ctl) ruleRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "rm RULE", Short: "Remove a rule; what fires by it resolves", Args: command.Args(1, 1, ruleArgument), ValidArgsFunction: c.completeRule}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		r, err := findRule(cmd.Context(), client, args[0])
		if err != nil {
			return err
		}
		return c.said(cmd, r, client.DeleteRule(cmd.Context(), r.Group, r.Alert), "removed %s/%s", r.Group, r.Alert)
	}
	return cmd
}

func (c *ctl) completeRule(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.complete(cmd, args, func(ctx context.Context, client *api.Client) (out []string) {
		list, _ := client.Rules(ctx)
		for _, r := range list {
			out = append(out, printable(r.Group+"/"+r.Alert)+"\t"+printable(r.Sentence))
		}
		return out
	})
}
