package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

func (c *ctl) agentCommand() *cobra.Command {
	group := &cobra.Command{Use: "agent", Short: "Register, list and audit agents, change their keys; ask the one on this host", Args: command.NoArgs,
		Example: `  sentinelctl agent register --hostname web-1 --out credential.json
  sentinelctl agent ls --search web
  sentinelctl agent audit web-1
  sentinelctl agent status`}
	group.AddCommand(c.registerCommand(), c.listCommand(), c.auditCommand(), c.keysCommand(), c.rotateCommand(), c.revokeCommand())
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
or disabled.`,
		Example: "  sentinelctl agent ls\n  sentinelctl agent ls --search web -o csv"}
	search := cmd.Flags().String("search", "", "part of the id or the hostname")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		agents, err := client.Agents(cmd.Context(), *search)
		if err != nil {
			return err
		}
		t := table{columns: []string{"agent", "hostname", "state", "last_seen", "version", "os", "labels"}}
		for _, a := range agents {
			var seen ago
			if a.LastSeen != nil {
				seen.Time = *a.LastSeen
			}
			t.add(a.ID, a.Hostname, state(a), seen, a.Version, platform(a), labelSet(a.Labels))
		}
		t.empty = "no agent is registered; `sentinelctl agent register` registers one"
		if *search != "" {
			t.empty = fmt.Sprintf("no agent has %q in its id or hostname; `sentinelctl agent ls` lists all", *search)
		}
		if agents == nil {
			agents = []api.Agent{} // a list in JSON, not null
		}
		return c.print(cmd.OutOrStdout(), t, agents)
	}
	return cmd
}

// silentAfter is how long after its last heartbeat an agent counts as silent:
// three heartbeats, rounded up.
const silentAfter = 2 * time.Minute

func state(a api.Agent) string {
	switch {
	case a.Disabled:
		return "disabled"
	case a.LastSeen == nil:
		return "never seen"
	case time.Since(*a.LastSeen) > silentAfter:
		return "silent"
	}
	return "up"
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
