package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
)

// shown is what agent show says of an agent.
type shown struct {
	api.Agent
	Keys   []api.Key    `json:"keys"`
	Books  api.Book     `json:"books"`
	Values []api.Sample `json:"values"`
}

// forPeople is how the series begin that say in one number how a host is.
const forPeople = "sentinel_host_"

func (c *ctl) showCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show AGENT", Short: "Show an agent: presence, keys, books and how its host is", Args: command.Args(1, 1, agentArgument),
		ValidArgsFunction: c.completeAgent, Example: "  sentinelctl agent show web-1\n  sentinelctl agent show web-1 -o json"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		client, agent, err := c.oneAgent(ctx, args[0])
		if err != nil {
			return err
		}
		s := shown{Agent: agent, Values: []api.Sample{}}
		if s.Keys, err = client.Keys(ctx, agent.ID); err != nil {
			return err
		}
		books, err := client.Books(ctx, agent.ID)
		if err != nil {
			return err
		}
		s.Books = books.Total
		latest, err := client.Latest(ctx, agent.ID, "")
		if err != nil {
			return err
		}
		for _, v := range latest.Samples {
			if strings.HasPrefix(v.Name, forPeople) {
				s.Values = append(s.Values, v)
			}
		}
		return c.print(cmd.OutOrStdout(), showTable(s), s)
	}
	return cmd
}

func showTable(s shown) table {
	t := table{columns: []string{"what", "value"}}
	t.add("agent", s.ID)
	t.add("hostname", s.Hostname)
	t.add("state", s.State)
	t.add("last seen", ago{orZero(s.LastSeen)})
	t.add("registered", s.CreatedAt)
	t.add("version", s.Version)
	t.add("system", platform(s.Agent))
	t.add("labels", labelText(s.Labels))
	t.add("collects", configState(s.Agent))
	t.add("clock ahead seconds", s.Clock)
	for _, k := range s.Keys {
		t.add("key "+k.ID, k.State)
	}
	t.add("books", fmt.Sprintf("%d appended, %d stored, %d in flight: %s", s.Books.Appended, s.Books.Stored, s.Books.InFlight, verdict(s.Books)))
	for _, v := range s.Values {
		name := strings.TrimPrefix(v.Name, forPeople)
		if len(v.Labels) > 0 {
			name += "{" + labelText(v.Labels) + "}"
		}
		t.add(name, v.Value)
	}
	return t
}
