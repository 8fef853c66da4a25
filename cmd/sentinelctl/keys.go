package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const agentArgument = "the agent's id or hostname (`sentinelctl agent ls`)"

func (c *ctl) keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys AGENT", Short: "List an agent's keys", Args: command.Args(1, 1, agentArgument), ValidArgsFunction: c.completeAgent,
		Long: `List an agent's keys, oldest first. A key is pending until the agent has proven
that it holds it, active while it is what the agent signs with, retiring while it is
still accepted, and revoked for good.`}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, agent, err := c.oneAgent(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		keys, err := client.Keys(cmd.Context(), agent.ID)
		if err != nil {
			return err
		}
		t := table{columns: []string{"key", "state", "created", "activated", "expires", "master_key"}}
		for _, k := range keys {
			t.add(k.ID, k.State, k.CreatedAt, orZero(k.ActivatedAt), orZero(k.ExpiresAt), k.MasterKey)
		}
		return c.print(cmd.OutOrStdout(), t, keys)
	}
	return cmd
}

// oneAgent returns the agent with this id or hostname, and a client to go on with.
func (c *ctl) oneAgent(ctx context.Context, name string) (*api.Client, api.Agent, error) {
	client, err := c.client()
	if err != nil {
		return nil, api.Agent{}, err
	}
	agent, err := findAgent(ctx, client, name)
	return client, agent, err
}

func (c *ctl) rotateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "rotate AGENT | --all", Short: "Replace an agent's key, or everybody's", ValidArgsFunction: c.completeAgent,
		Args: command.Args(0, 1, agentArgument+", or --all"),
		Long: `Replace an agent's key. The agent gets the new key in its session and proves that
it holds it; only then the old key's time of grace begins (server.keys.grace). An
agent that is not connected gets it when it comes back: nothing is refused meanwhile.

With --wait the command ends when the agents use their new keys, and with code 6
where some do not within that time; they still get them later.`,
		Example: "  sentinelctl agent rotate web-1 --wait 30s\n  sentinelctl agent rotate --all"}
	all := cmd.Flags().Bool("all", false, "every agent that is not disabled")
	wait := command.Duration(cmd, "wait", 0, "wait so long until the new keys are in use")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *all == (len(args) == 1) {
			return sentinel.Errorf(sentinel.Invalid, "want one agent or --all; `sentinelctl agent rotate --help` shows examples")
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		var agents []api.Agent
		if *all {
			agents, err = client.Agents(cmd.Context(), "")
		} else {
			var agent api.Agent
			agent, err = findAgent(cmd.Context(), client, args[0])
			agents = []api.Agent{agent}
		}
		if err != nil {
			return err
		}
		return c.rotateAll(cmd, client, agents, *wait)
	}
	return cmd
}

// rotation is what became of one agent's new key.
type rotation struct {
	Agent    string `json:"agent"`
	Hostname string `json:"hostname"`
	KeyID    string `json:"key_id,omitempty"`
	State    string `json:"state"`
	problem  bool
}

func (c *ctl) rotateAll(cmd *cobra.Command, client *api.Client, agents []api.Agent, wait time.Duration) error {
	list := make([]*rotation, 0, len(agents))
	for _, a := range agents {
		if a.Disabled && len(agents) > 1 {
			continue
		}
		r := &rotation{Agent: a.ID, Hostname: a.Hostname, State: "pending"}
		var err error
		if r.KeyID, err = client.RotateKey(cmd.Context(), a.ID); err != nil {
			if len(agents) == 1 || sentinel.CodeOf(err) != sentinel.Conflict {
				return err
			}
			r.State, r.problem = "has no active key: it must enrol again", true
		}
		list = append(list, r)
	}
	for deadline := time.Now().Add(wait); wait > 0; {
		left, err := c.lookAtRotations(cmd.Context(), client, list)
		if err != nil {
			return err
		}
		if left == 0 || !time.Now().Before(deadline) {
			break
		}
		pause := time.NewTimer(min(time.Second, time.Until(deadline)))
		select {
		case <-cmd.Context().Done():
			pause.Stop()
			return cmd.Context().Err()
		case <-pause.C:
		}
	}
	t := table{columns: []string{"agent", "hostname", "key", "state"}, empty: "no agent is registered"}
	whole := true
	for _, r := range list {
		t.add(r.Agent, r.Hostname, r.KeyID, r.State)
		whole = whole && !r.problem && (wait == 0 || r.State == "active")
	}
	if err := c.print(cmd.OutOrStdout(), t, list); err != nil {
		return err
	}
	if !whole {
		return command.ErrDiffers
	}
	return nil
}

// lookAtRotations brings the states up to date and returns how many keys are not in
// use yet.
func (c *ctl) lookAtRotations(ctx context.Context, client *api.Client, list []*rotation) (left int, err error) {
	for _, r := range list {
		if r.problem || r.State == "active" {
			continue
		}
		keys, err := client.Keys(ctx, r.Agent)
		if err != nil {
			return 0, err
		}
		for _, k := range keys {
			if k.ID == r.KeyID {
				r.State = k.State
			}
		}
		if r.State != "active" {
			left++
		}
	}
	return left, nil
}

func (c *ctl) revokeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke AGENT KEY", Short: "Revoke a key: within seconds nothing signed with it is taken",
		Args: command.Args(2, 2, agentArgument+" and the key's id (`sentinelctl agent keys`)"), ValidArgsFunction: c.completeAgent,
		Long: `Revoke a key: within five seconds nothing signed with it is taken any more.

An agent whose active key is revoked cannot be given another one over its session: it
must enrol again, under a new identity. What it has not delivered it sends then. To
change a key that is not known to anybody else, use rotate.`,
		Example: "  sentinelctl agent revoke web-1 k-abcdefgh"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, agent, err := c.oneAgent(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if err := client.RevokeKey(cmd.Context(), agent.ID, args[1]); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "revoked key %s of %s\n", args[1], agent.ID)
		return err
	}
	return cmd
}
