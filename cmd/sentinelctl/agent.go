package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

func (c *ctl) agentCommand() *cobra.Command {
	group := &cobra.Command{Use: "agent", Short: "Register, list, change and audit agents; ask the one on this host", Args: command.NoArgs,
		Example: `  sentinelctl agent register --hostname web-1 --out credential.json
  sentinelctl agent ls --search web
  sentinelctl agent audit web-1
  sentinelctl agent status`}
	group.AddCommand(c.registerCommand(), c.listCommand(), c.showCommand(), c.auditCommand(), c.labelCommand(),
		c.agentSwitch("disable", "Refuse an agent; it keeps its data until it is enabled", true),
		c.agentSwitch("enable", "Let an agent speak again", false), c.removeCommand(),
		c.keysCommand(), c.rotateCommand(), c.revokeCommand(), c.configCommand())
	group.AddCommand(c.localCommands()...)
	return group
}

func (c *ctl) registerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "register", Short: "Register an agent and hand over its credential, once", Args: command.NoArgs,
		Long: `Register an agent and hand over its credential, once.

The secret cannot be shown again. Copy the file to the agent's host, readable by
the agent alone, and name it as agent.credential_file. A file that exists is never
replaced.`,
		Example: `  sentinelctl agent register --hostname web-1 --label site=fra --out credential.json
  sentinelctl agent register --hostname web-1 -o json`,
	}
	hostname := cmd.Flags().String("hostname", "", "the host's name; the agent reports it too")
	labels := cmd.Flags().StringArrayP("label", "l", nil, "name=value; may stand there several times")
	out := cmd.Flags().String("out", "", "write the credential to this file (mode 0600) instead of printing it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		set, err := labelFlags(*labels)
		if err != nil {
			return err
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		if *out == "" {
			cred, err := client.Register(cmd.Context(), api.NewAgent{Hostname: *hostname, Labels: set})
			if err != nil {
				return err
			}
			if c.output != "json" {
				fmt.Fprintln(cmd.ErrOrStderr(), "This secret is shown once. Keep it as the agent's credential file, mode 0600:")
			}
			return writeJSON(cmd.OutOrStdout(), cred)
		}
		done, err := reserve(*out)
		if err != nil {
			return err
		}
		defer done()
		cred, err := client.Register(cmd.Context(), api.NewAgent{Hostname: *hostname, Labels: set})
		if err != nil {
			return err
		}
		key, err := sign.ParseSecret(cred.KeyID, cred.Secret)
		if err != nil {
			return err
		}
		if err := sign.FileStore(*out).Save(sign.Credential{Agent: sentinel.AgentID(cred.AgentID), Key: key}); err != nil {
			return fmt.Errorf("agent %s is registered, but its credential could not be kept and cannot be shown again; register another: %w", cred.AgentID, err)
		}
		if c.output == "json" {
			return writeJSON(cmd.OutOrStdout(), registered{cred.AgentID, cred.KeyID, *out})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "registered %s, credential in %s\n", cred.AgentID, *out)
		return nil
	}
	return cmd
}

// registered is what register says where the credential went to a file.
type registered struct {
	AgentID        string `json:"agent_id"`
	KeyID          string `json:"key_id"`
	CredentialFile string `json:"credential_file"`
}

// reserve makes an empty file at path, for the owner alone, so that it is known
// before the agent is registered that its secret can be kept and replaces no other
// agent's. The caller calls done, which removes the file where it stayed empty.
func reserve(path string) (done func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "--out: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, sentinel.Errorf(sentinel.Invalid, "--out: %s exists, and may hold the only copy of a secret; name another file, or move it away", path)
	}
	if err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "--out: %w", err)
	}
	f.Close()
	return func() {
		if info, err := os.Stat(path); err == nil && info.Size() == 0 {
			os.Remove(path)
		}
	}, nil
}

func (c *ctl) listCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List agents", Args: command.NoArgs,
		Long: `List agents. The state is up, silent (no heartbeat for two minutes), never seen,
or disabled. With -o wide there stand also the records that are not settled, how far
the agent's clock is ahead, and which of the configurations it runs with.`,
		Example: "  sentinelctl agent ls\n  sentinelctl agent ls --search web -o csv\n  sentinelctl agent ls -l site=fra --state silent --watch 5s"}
	var q api.AgentQuery
	cmd.Flags().StringVar(&q.Search, "search", "", "part of the id or the hostname")
	cmd.Flags().StringArrayVarP(&q.Labels, "label", "l", nil, "name=value or name!=value; may stand there several times")
	cmd.Flags().StringVar(&q.State, "state", "", "up, silent, unseen or disabled")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"up", "silent", "unseen", "disabled"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if q.State == "unseen" {
			q.State = string(postgres.AgentUnseen)
		}
		return c.watching(cmd, *watch, func(ctx context.Context, client *api.Client) error {
			agents, err := client.FindAgents(ctx, q)
			if err != nil {
				return err
			}
			t := agentTable(agents)
			if q.Search != "" || q.State != "" || len(q.Labels) > 0 {
				t.empty = "no agent is such; `sentinelctl agent ls` lists all"
			}
			if q.Search != "" && q.State == "" && len(q.Labels) == 0 {
				t.empty = fmt.Sprintf("no agent has %q in its id or hostname; `sentinelctl agent ls` lists all", q.Search)
			}
			if agents == nil {
				agents = []api.Agent{} // a list in JSON, not null
			}
			return c.print(cmd.OutOrStdout(), t, agents)
		})
	}
	return cmd
}

func agentTable(agents []api.Agent) table {
	t := table{columns: []string{"agent", "hostname", "state", "last_seen", "version", "os", "labels", "in_flight", "clock_ahead_seconds", "config", "created"}, narrow: 7,
		empty: "no agent is registered; `sentinelctl agent register` registers one"}
	for _, a := range agents {
		t.add(a.ID, a.Hostname, a.State, ago{orZero(a.LastSeen)}, a.Version, platform(a), labelSet(a.Labels), a.InFlight, a.Clock, configState(a), a.CreatedAt)
	}
	return t
}

// configState says with what of what it is told an agent runs.
func configState(a api.Agent) string {
	switch {
	case a.Refused != "":
		return "REFUSED: " + a.Refused
	case a.Config == 0:
		return "its own"
	}
	return fmt.Sprint("version ", a.Config)
}

func (c *ctl) labelCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "label AGENT NAME=VALUE|NAME-...", Short: "Set and remove an agent's labels", Args: command.Args(2, 64, "an agent's id or hostname, and name=value to set or name- to remove"),
		Example: "  sentinelctl agent label web-1 site=fra rack-", ValidArgsFunction: c.completeAgent}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		a, err := findAgent(cmd.Context(), client, args[0])
		if err != nil {
			return err
		}
		labels := maps.Clone(a.Labels)
		for _, l := range args[1:] {
			name, value, set := strings.Cut(l, "=")
			removed, remove := strings.CutSuffix(l, "-")
			switch {
			case set && name != "":
				labels[name] = value
			case remove && removed != "":
				delete(labels, removed)
			default:
				return sentinel.Errorf(sentinel.Invalid, "%q: want name=value to set a label or name- to remove one", l)
			}
		}
		a, err = client.ChangeAgent(cmd.Context(), a.ID, a.Tag, api.AgentPatch{Labels: &labels})
		return c.said(cmd, a, err, "labels of %s: %s", a.ID, printable(labelText(a.Labels)))
	}
	return cmd
}

func (c *ctl) agentSwitch(use, short string, disabled bool) *cobra.Command {
	return &cobra.Command{Use: use + " AGENT", Short: short, Args: command.Args(1, 1, "the agent's id or hostname (`sentinelctl agent ls`)"), ValidArgsFunction: c.completeAgent,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			a, err := findAgent(cmd.Context(), client, args[0])
			if err == nil {
				a, err = client.ChangeAgent(cmd.Context(), a.ID, "", api.AgentPatch{Disabled: &disabled})
			}
			return c.said(cmd, a, err, "%sd %s", use, a.ID)
		}}
}

func (c *ctl) removeCommand() *cobra.Command {
	return &cobra.Command{Use: "rm ID", Short: "Remove an agent, its keys and its books for good", Args: command.Args(1, 1, "the agent's id (`sentinelctl agent ls`)"), ValidArgsFunction: c.completeAgent,
		Long: `Remove an agent with its keys, books, dead letters and series, for good: it is refused
from then on, and its samples can no longer be read. A hostname does not do here.
To keep the data, disable the agent instead.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sentinel.AgentID(args[0]).Validate(); err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			err = client.DeleteAgent(cmd.Context(), args[0])
			return c.said(cmd, map[string]string{"removed": args[0]}, err, "removed %s", args[0])
		}}
}

func platform(a api.Agent) string {
	if a.OS == "" {
		return "" // it has never reported
	}
	return a.OS + "/" + a.Arch
}

func labelFlags(list []string) (map[string]string, error) {
	set := map[string]string{}
	for _, l := range list {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			return nil, sentinel.Errorf(sentinel.Invalid, "--label %q: want name=value", l)
		}
		set[name] = value
	}
	return set, nil
}
