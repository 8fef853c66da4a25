package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// findAgent returns the agent with this id or, where there is none, the only one
// with this hostname, in any case. An unknown name is NotFound; one that several
// agents have is Invalid and lists them.
func findAgent(ctx context.Context, client *api.Client, name string) (api.Agent, error) {
	if sentinel.AgentID(name).Validate() == nil {
		a, err := client.Agent(ctx, name)
		if err == nil || sentinel.CodeOf(err) != sentinel.NotFound {
			return a, err
		}
	}
	if name == "" {
		return api.Agent{}, sentinel.Errorf(sentinel.Invalid, "the agent's name is empty; `sentinelctl agent ls` lists agents")
	}
	found, err := client.Agents(ctx, name)
	if err != nil {
		return api.Agent{}, err
	}
	var same []api.Agent
	for _, a := range found {
		if strings.EqualFold(a.Hostname, name) {
			same = append(same, a)
		}
	}
	switch len(same) {
	case 0:
		return api.Agent{}, sentinel.Errorf(sentinel.NotFound, "no agent has the id or hostname %.80q; `sentinelctl agent ls` lists those that are registered", name)
	case 1:
		return same[0], nil
	}
	const most = 10
	var ids []string
	for _, a := range same[:min(most, len(same))] {
		ids = append(ids, a.ID+" ("+a.State+")")
	}
	if len(same) > most {
		ids = append(ids, "…")
	}
	return api.Agent{}, sentinel.Errorf(sentinel.Invalid, "%d agents have the hostname %.80q: name one by its id: %s", len(same), name, strings.Join(ids, ", "))
}

// completionPatience bounds what a shell waits for when Tab is pressed.
const completionPatience = 2 * time.Second

// completeAgent completes an agent's id, by the beginning of id or hostname.
func (c *ctl) completeAgent(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, none
	}
	client, err := c.client()
	if err != nil {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	agents, err := client.Agents(ctx, begun)
	if err != nil {
		return nil, none
	}
	var out []string
	for _, a := range agents {
		if strings.HasPrefix(a.ID, begun) {
			out = append(out, a.ID+"\t"+printable(a.Hostname))
		} else if strings.HasPrefix(a.Hostname, begun) {
			out = append(out, printable(a.Hostname)+"\t"+a.ID)
		}
	}
	return out, none
}
