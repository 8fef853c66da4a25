package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// backup is what people have configured, without secrets and without samples.
type backup struct {
	Format  string            `json:"format"`
	MadeAt  time.Time         `json:"made_at"`
	Configs []api.AgentConfig `json:"agent_configs"`
	Agents  []backupAgent     `json:"agents"`
	Rules   []backupRule      `json:"alert_rules,omitempty"`
	Plugins []backupPlugin    `json:"plugins,omitempty"`
}

type backupRule struct {
	Group string `json:"group"`
	Alert string `json:"alert"`
	YAML  string `json:"yaml"`
}

type backupPlugin struct {
	Name     string            `json:"name"`
	Version  string            `json:"version"`
	Digest   string            `json:"digest"`
	Selector map[string]string `json:"selector"`
	Stages   []int32           `json:"stages"`
	Hold     int               `json:"hold_seconds"`
	Bundle   []byte            `json:"bundle"`
}

type backupAgent struct {
	ID       string            `json:"id"`
	Hostname string            `json:"hostname"`
	Labels   map[string]string `json:"labels"`
	Disabled bool              `json:"disabled"`
}

const backupFormat = "sentinel backup v1"

func (c *ctl) backupCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "backup [FILE]", Short: "Write what people have configured to a file, or to standard output", Args: command.Args(0, 1, "the file to write"),
		Long: `Write what people have configured to a file, or to standard output: what agents are
told to collect, alerting rules, plugins with their roll-outs, and the agents' labels.
It holds no secret and no sample. The notification file, which has secrets, stays in the database.

Identities, keys (sealed), users and samples are in the database alone: back that up
with PostgreSQL's means (pg_dump), and the master key file beside it.`,
		Example: "  sentinelctl backup sentinel.json\n  sentinelctl restore sentinel.json --dry-run"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		b := backup{Format: backupFormat, MadeAt: time.Now().UTC(), Agents: []backupAgent{}}
		if b.Configs, err = client.AgentConfigs(cmd.Context()); err != nil {
			return err
		}
		agents, err := client.Agents(cmd.Context(), "")
		if err != nil {
			return err
		}
		for _, a := range agents {
			b.Agents = append(b.Agents, backupAgent{a.ID, a.Hostname, a.Labels, a.Disabled})
		}
		rules, err := client.Rules(cmd.Context())
		if err != nil {
			return err
		}
		for _, r := range rules {
			b.Rules = append(b.Rules, backupRule{r.Group, r.Alert, r.YAML})
		}
		plugins, err := client.Plugins(cmd.Context())
		if err != nil {
			return err
		}
		for _, p := range plugins {
			bundle, err := client.PluginBundle(cmd.Context(), p.Name)
			if err != nil {
				return err
			}
			b.Plugins = append(b.Plugins, backupPlugin{p.Name, p.Version, p.Digest, p.Selector, p.Stages, p.Hold, bundle})
		}
		if len(args) == 0 {
			return writeJSON(cmd.OutOrStdout(), b)
		}
		f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return sentinel.Errorf(sentinel.Invalid, "%w; name a file that is not there yet", err)
		}
		err = writeJSON(f, b)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("write backup: %w", err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d rules, %d plugins, %d configurations and %d agents are in %s\n", len(b.Rules), len(b.Plugins), len(b.Configs), len(b.Agents), args[0])
		return err
	}
	return cmd
}

func (c *ctl) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "restore FILE", Short: "Bring back what a backup holds", Args: command.Args(1, 1, "the file that backup wrote; - is standard input"),
		Long: `Bring back what a backup holds: configurations, rules and plugins are made or changed,
agents that are registered get their labels and are disabled or enabled. Nothing is removed, and what
is as the backup has it already is left alone. Doing it again is harmless.`,
		Example: "  sentinelctl restore sentinel.json --dry-run"}
	dry := cmd.Flags().Bool("dry-run", false, "say what would change, and change nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := readBackup(args[0], cmd.InOrStdin())
		if err != nil {
			return err
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		return c.restore(cmd, client, b, *dry)
	}
	return cmd
}

func readBackup(path string, in io.Reader) (b backup, err error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return b, sentinel.Errorf(sentinel.NotFound, "%w", err)
		}
		defer f.Close()
		in = f
	}
	dec := json.NewDecoder(io.LimitReader(in, 256<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil || b.Format != backupFormat {
		return b, sentinel.Errorf(sentinel.Invalid, "%s is not what `sentinelctl backup` writes (%s)", path, backupFormat)
	}
	return b, nil
}

func (c *ctl) restore(cmd *cobra.Command, client *api.Client, b backup, dry bool) error {
	ctx := cmd.Context()
	t := table{columns: []string{"what", "name", "change"}, empty: "everything is as the backup has it"}
	change := func(what, name, how string, do func() error) error {
		t.add(what, name, how)
		if dry {
			return nil
		}
		return do()
	}
	now, err := client.AgentConfigs(ctx)
	if err != nil {
		return err
	}
	configs := map[string]api.AgentConfig{}
	for _, one := range now {
		configs[one.Name] = one
	}
	for _, want := range b.Configs {
		is, there := configs[want.Name]
		if there && is.Content == want.Content && is.Priority == want.Priority && maps.Equal(is.Selector, want.Selector) {
			continue
		}
		how := "make"
		if there {
			how = "change"
		}
		err := change("agent config", want.Name, how, func() error {
			_, err := client.PutAgentConfig(ctx, want.Name, api.NewAgentConfig{Selector: want.Selector, Priority: want.Priority, Content: want.Content})
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := restoreRules(ctx, client, b.Rules, change); err != nil {
		return err
	}
	if err := restorePlugins(ctx, client, b.Plugins, change); err != nil {
		return err
	}
	agents, err := client.Agents(ctx, "")
	if err != nil {
		return err
	}
	known := map[string]api.Agent{}
	for _, a := range agents {
		known[a.ID] = a
	}
	for _, want := range b.Agents {
		is, there := known[want.ID]
		if !there {
			t.add("agent", want.ID, "is not registered here: left out")
			continue
		}
		if maps.Equal(is.Labels, want.Labels) && is.Disabled == want.Disabled {
			continue
		}
		err := change("agent", want.ID, fmt.Sprintf("labels %s, disabled %t", labelText(want.Labels), want.Disabled), func() error {
			_, err := client.ChangeAgent(ctx, want.ID, is.Tag, api.AgentPatch{Labels: &want.Labels, Disabled: &want.Disabled})
			return err
		})
		if err != nil {
			return err
		}
	}
	return c.print(cmd.OutOrStdout(), t, t.rows)
}

// restoreRules makes or changes the rules that are not as they were.
func restoreRules(ctx context.Context, client *api.Client, rules []backupRule, change func(what, name, how string, do func() error) error) error {
	if len(rules) == 0 {
		return nil
	}
	now, err := client.Rules(ctx)
	if err != nil {
		return err
	}
	is := map[backupRule]bool{}
	there := map[string]bool{}
	for _, r := range now {
		is[backupRule{r.Group, r.Alert, r.YAML}] = true
		there[r.Group+"/"+r.Alert] = true
	}
	for _, want := range rules {
		if is[want] {
			continue
		}
		name, how := want.Group+"/"+want.Alert, "make"
		if there[name] {
			how = "change"
		}
		if err := change("rule", name, how, func() error { _, err := client.PutRule(ctx, want.Group, want.Alert, want.YAML); return err }); err != nil {
			return err
		}
	}
	return nil
}

// restorePlugins rolls out what is not rolled out as it was.
func restorePlugins(ctx context.Context, client *api.Client, plugins []backupPlugin, change func(what, name, how string, do func() error) error) error {
	if len(plugins) == 0 {
		return nil
	}
	now, err := client.Plugins(ctx)
	if err != nil {
		return err
	}
	is := map[string]api.Plugin{}
	for _, p := range now {
		is[p.Name] = p
	}
	for _, want := range plugins {
		how := "make, version " + want.Version
		if p, there := is[want.Name]; there {
			if p.Digest == want.Digest && maps.Equal(p.Selector, want.Selector) && slices.Equal(p.Stages, want.Stages) && p.Hold == want.Hold {
				continue
			}
			how = "change, version " + p.Version + " to " + want.Version
		}
		err := change("plugin", want.Name, how, func() error {
			if _, err := client.AddPlugin(ctx, want.Bundle); err != nil {
				return err
			}
			return client.PutRollout(ctx, want.Name, api.NewRollout{Version: want.Version, Selector: want.Selector, Stages: want.Stages, HoldSeconds: want.Hold})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
