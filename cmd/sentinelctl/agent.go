package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

func (c *ctl) agentCommand() *cobra.Command {
	group := &cobra.Command{Use: "agent", Short: "Register, list and audit agents", Args: command.NoArgs}
	group.AddCommand(c.registerCommand(), c.listCommand(), c.auditCommand())
	return group
}

func (c *ctl) registerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "register", Short: "Register an agent and hand over its credential, once", Args: command.NoArgs,
		Long: `Register an agent and hand over its credential, once.

The secret cannot be shown again. Copy the file to the agent's host, readable by
the agent alone, and name it as agent.credential_file.`,
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
		cred, err := client.Register(cmd.Context(), api.NewAgent{Hostname: *hostname, Labels: set})
		if err != nil {
			return err
		}
		if *out == "" {
			if c.output != "json" {
				fmt.Fprintln(cmd.ErrOrStderr(), "This secret is shown once. Keep it as the agent's credential file, mode 0600:")
			}
			return writeJSON(cmd.OutOrStdout(), cred)
		}
		key, err := sign.ParseSecret(cred.KeyID, cred.Secret)
		if err != nil {
			return err
		}
		if err := (sign.Credential{Agent: sentinel.AgentID(cred.AgentID), Key: key}).Save(*out); err != nil {
			return fmt.Errorf("agent %s is registered, but its credential could not be kept: %w", cred.AgentID, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "registered %s, credential in %s\n", cred.AgentID, *out)
		return nil
	}
	return cmd
}

func (c *ctl) listCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List agents", Args: command.NoArgs,
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
			t.add(a.ID, a.Hostname, state(a), ago(a.LastSeen), a.Version, a.OS+"/"+a.Arch, labelText(a.Labels))
		}
		t.empty = "no agent is registered; `sentinelctl agent register` registers one"
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

func ago(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return time.Since(*t).Round(time.Second).String() + " ago"
}

func (c *ctl) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit AGENT", Short: "Show that an agent's books balance", Args: command.Args(1, 1, "the agent's id (`sentinelctl agent ls`)"),
		Long: `Show that an agent's books balance: every record that its log has acknowledged is
stored, rejected, quarantined, declared lost, or still in flight.

  appended = stored + rejected + quarantined + lost + in flight

The exit code is 6 where they do not, where records were lost, or where the agent
writes under a copied identity.`,
		Example: "  sentinelctl agent audit ag-abcdefghijklmnop",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		books, err := client.Books(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		t := table{columns: []string{"epoch", "appended", "stored", "rejected", "quarantined", "lost", "in_flight", "holes", "samples", "note"}}
		for _, e := range books.Epochs {
			note := verdict(e.Book)
			if e.Forked {
				note = "forked: two agents write under this identity"
			}
			t.add(append([]string{e.Epoch}, append(figures(e.Book), strconv.Itoa(e.Holes), number(e.Samples), note)...)...)
		}
		t.add(append([]string{"total"}, append(figures(books.Total), "", number(books.Total.Samples), verdict(books.Total))...)...)
		if err := c.print(cmd.OutOrStdout(), t, books); err != nil {
			return err
		}
		if sound(books) {
			return nil
		}
		return command.ErrDiffers
	}
	return cmd
}

func figures(b api.Book) []string {
	return []string{number(b.Appended), number(b.Stored), number(b.Rejected), number(b.Quarantined), number(b.Lost), number(b.InFlight)}
}

func balances(b api.Book) bool {
	return b.Appended == b.Stored+b.Rejected+b.Quarantined+b.Lost+b.InFlight
}

func verdict(b api.Book) string {
	if !balances(b) {
		return "DOES NOT BALANCE"
	}
	if b.Lost == 0 {
		return "balances"
	}
	var why []string
	for reason, n := range b.LostBy {
		why = append(why, fmt.Sprintf("%s %d", reason, n))
	}
	slices.Sort(why)
	return "balances; lost: " + strings.Join(why, ", ")
}

func sound(b api.Books) bool {
	ok := balances(b.Total) && b.Total.Lost == 0
	for _, e := range b.Epochs {
		ok = ok && balances(e.Book) && !e.Forked
	}
	return ok
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

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

func labelText(labels map[string]string) string {
	var list []string
	for name, value := range labels {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}
