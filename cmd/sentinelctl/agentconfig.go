package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) configCommand() *cobra.Command {
	group := &cobra.Command{Use: "config", Short: "Tell agents what to collect, by their labels", Args: command.NoArgs,
		Long: `Tell agents what to collect, by their labels. A configuration is YAML with the keys
interval, timeout, intervals and collectors of an agent's section collect:

  interval: 5s
  intervals: {processes: 1m}
  collectors: {hwmon: false}

Of those that fit an agent the one with the highest priority counts. The agent gets
it in its session, signed, and keeps it. What a host allows is up to the host
(agent.remote), and nothing can make an agent run a program or read a file.`,
		Example: "  sentinelctl agent config set fast --label tier=db --file fast.yml\n  sentinelctl agent config ls\n  sentinelctl agent config rm fast"}
	group.AddCommand(c.configSet(), c.configList(), c.configShow(), c.configRemove())
	return group
}

func (c *ctl) configSet() *cobra.Command {
	cmd := &cobra.Command{Use: "set NAME --file FILE", Short: "Make or change a configuration", Args: command.Args(1, 1, "its name, of a-z, 0-9 and '-'"),
		ValidArgsFunction: c.completeConfig}
	file := cmd.Flags().StringP("file", "f", "", "the YAML; - is standard input")
	labels := cmd.Flags().StringArrayP("label", "l", nil, "name=value that its agents have; may stand there several times; none: all agents")
	priority := cmd.Flags().Int("priority", 0, "of those that fit an agent the highest counts")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := labelFlags(*labels)
		if err != nil {
			return err
		}
		var text []byte
		switch *file {
		case "":
			return sentinel.Errorf(sentinel.Invalid, "--file: want the YAML's file, or - for standard input")
		case "-":
			text, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
		default:
			text, err = os.ReadFile(*file)
		}
		if err != nil {
			return sentinel.Errorf(sentinel.NotFound, "--file: %w", err)
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		kept, err := client.PutAgentConfig(cmd.Context(), args[0], api.NewAgentConfig{Selector: set, Priority: *priority, Content: string(text)})
		if err != nil {
			return err
		}
		if c.output != "table" {
			return c.print(cmd.OutOrStdout(), table{}, kept)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is version %d; `sentinelctl agent ls -o wide` shows which agents run with it\n", kept.Name, kept.Version)
		return err
	}
	return cmd
}

func (c *ctl) configList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List configurations, in the order in which they count", Args: command.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.AgentConfigs(cmd.Context())
		if err != nil {
			return err
		}
		t := table{columns: []string{"name", "priority", "version", "changed", "selector"}, empty: "agents are told nothing: each collects what its host says"}
		for _, one := range list {
			t.add(one.Name, one.Priority, one.Version, one.ChangedAt, labelSet(one.Selector))
		}
		return c.print(cmd.OutOrStdout(), t, list)
	}
	return cmd
}

func (c *ctl) configShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show NAME", Short: "Print a configuration's YAML", Args: command.Args(1, 1, "its name (`sentinelctl agent config ls`)"), ValidArgsFunction: c.completeConfig}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.AgentConfigs(cmd.Context())
		if err != nil {
			return err
		}
		for _, one := range list {
			if one.Name == args[0] {
				if c.output != "table" {
					return c.print(cmd.OutOrStdout(), table{}, one)
				}
				_, err = io.WriteString(cmd.OutOrStdout(), one.Content)
				return err
			}
		}
		return sentinel.Errorf(sentinel.NotFound, "there is no agent configuration %.80q; `sentinelctl agent config ls` lists those there are", args[0])
	}
	return cmd
}

func (c *ctl) configRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "rm NAME", Short: "Remove a configuration; its agents go back to what else fits", Args: command.Args(1, 1, "its name (`sentinelctl agent config ls`)"), ValidArgsFunction: c.completeConfig}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		if err := client.DeleteAgentConfig(cmd.Context(), args[0]); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", args[0])
		return err
	}
	return cmd
}

// completeConfig completes the name of a configuration.
func (c *ctl) completeConfig(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	client, err := c.client()
	if len(args) > 0 || err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	list, _ := client.AgentConfigs(ctx)
	var names []string
	for _, one := range list {
		names = append(names, one.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
