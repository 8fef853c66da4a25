package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) pluginPush() *cobra.Command {
	cmd := &cobra.Command{Use: "push BUNDLE", Short: "Deliver a signed bundle to agents, by their labels, in stages", Args: command.Args(1, 1, "a bundle"),
		Long: `Deliver a signed bundle to agents, by their labels, in stages. A stage ends when all of
its agents that are connected run the plugin; where more than a tenth of those that
answered do not, the roll-out halts and the others keep what they have.

An agent runs it where it trusts the key that signed it, and gives it no more than its
own configuration allows (agent.plugins.allow). Pushing the same bundle again begins
its roll-out anew.

With --wait the command ends when all connected agents run it, and with code 6 where
the roll-out halted or that did not come about in time.`,
		Example: "  sentinelctl plugin push room-0.1.0.plugin --label site=fra --wait 1m\n  sentinelctl plugin push room-0.1.1.plugin --stages 1,10,50,100 --hold 10m"}
	labels := cmd.Flags().StringArrayP("label", "l", nil, "name=value that its agents have; may stand there several times; none: all agents")
	stages := cmd.Flags().Int32Slice("stages", []int32{10, 100}, "percent of the agents in each stage")
	hold := command.Duration(cmd, "hold", 5*time.Second, "how long a stage lasts at the least")
	wait := command.Duration(cmd, "wait", 0, "wait so long for the agents to run it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := labelFlags(*labels)
		if err != nil {
			return err
		}
		if *hold < time.Second || *wait < 0 {
			return sentinel.Errorf(sentinel.Invalid, "--hold: want 1s or more, and --wait not less than nothing")
		}
		if _, err := readBundle(args[0]); err != nil {
			return err
		}
		raw, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		b, err := client.AddPlugin(cmd.Context(), raw)
		if err != nil {
			return err
		}
		if err := client.PutRollout(cmd.Context(), b.Name, api.NewRollout{Version: b.Version, Selector: set, Stages: *stages, HoldSeconds: int(hold.Seconds())}); err != nil {
			return err
		}
		if *wait > 0 {
			return c.awaitRollout(cmd, client, b, *wait)
		}
		if c.output != "table" {
			return c.print(cmd.OutOrStdout(), table{}, b)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s is on its way; `sentinelctl plugin ls` shows how far it has come\n", b.Name, b.Version)
		return err
	}
	return cmd
}

// awaitRollout waits until all agents run it, or it will not come to that.
func (c *ctl) awaitRollout(cmd *cobra.Command, client *api.Client, b api.Bundle, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := client.Plugins(cmd.Context())
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(p api.Plugin) bool { return p.Name == b.Name })
		if i < 0 || list[i].Version != b.Version {
			return sentinel.Errorf(sentinel.Conflict, "somebody has changed the roll-out meanwhile")
		}
		p := list[i]
		done := p.Stage == len(p.Stages) && p.Waiting == 0 && p.Failed == 0 && p.Running > 0
		if !done && p.Halted == "" && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
			continue
		}
		if err := c.print(cmd.OutOrStdout(), pluginTable([]api.Plugin{p}), p); err != nil {
			return err
		}
		if !done {
			return command.ErrDiffers
		}
		return nil
	}
}

func (c *ctl) pluginList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List the plugins that agents get, and how far they have come", Args: command.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.Plugins(cmd.Context())
		if err != nil {
			return err
		}
		return c.print(cmd.OutOrStdout(), pluginTable(list), list)
	}
	return cmd
}

func pluginTable(list []api.Plugin) table {
	t := table{columns: []string{"plugin", "version", "stage", "agents", "running", "failed", "waiting", "condition", "selector"}, empty: "agents get no plugins; `sentinelctl plugin push` delivers one"}
	for _, p := range list {
		condition := "rolling out"
		switch {
		case p.Halted != "":
			condition = "HALTED: " + p.Halted
		case p.Stage == len(p.Stages):
			condition = "rolled out"
		}
		t.add(p.Name, p.Version, fmt.Sprintf("%d%%", p.Stages[min(p.Stage, len(p.Stages))-1]), p.Agents, p.Running, p.Failed, p.Waiting, condition, labelSet(p.Selector))
	}
	return t
}

func (c *ctl) pluginStatus() *cobra.Command {
	cmd := &cobra.Command{Use: "status [PLUGIN]", Short: "Show how plugins stand on the agents, those that do not run first", Args: command.Args(0, 1, "a plugin's name (`sentinelctl plugin ls`)"), ValidArgsFunction: c.completePlugin}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		list, err := client.PluginStates(cmd.Context(), strings.Join(args, ""))
		if err != nil {
			return err
		}
		if len(args) > 0 && len(list) == 0 {
			return sentinel.Errorf(sentinel.NotFound, "no agent has said anything of the plugin %.60q yet", args[0])
		}
		t := table{columns: []string{"agent", "plugin", "version", "state", "signed", "said", "error"}, empty: "no agent has plugins"}
		for _, s := range list {
			signed := "yes"
			if s.Unsigned {
				signed = "NO"
			}
			t.add(s.Agent, s.Plugin, s.Version, s.State, signed, ago{s.ReportedAt}, s.Error)
		}
		return c.print(cmd.OutOrStdout(), t, list)
	}
	return cmd
}

func (c *ctl) pluginRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "rm PLUGIN", Short: "Remove a plugin from the service and from its agents", Args: command.Args(1, 1, "the plugin's name (`sentinelctl plugin ls`)"), ValidArgsFunction: c.completePlugin,
		Long: "Remove a plugin, with all its versions, from the service and from its agents. What\nlies in an agent's own folder stays."}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		if err := client.DeletePlugin(cmd.Context(), args[0]); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", args[0])
		return err
	}
	return cmd
}

// completePlugin completes the name of a plugin.
func (c *ctl) completePlugin(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	client, err := c.client()
	if len(args) > 0 || err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	list, _ := client.Plugins(ctx)
	var names []string
	for _, one := range list {
		names = append(names, one.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
