package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) enrolmentCommand() *cobra.Command {
	group := &cobra.Command{Use: "enrolment", Aliases: []string{"enrollment"}, Short: "Make, list and revoke the tokens with which agents enrol", Args: command.NoArgs,
		Long: `Make, list and revoke the tokens with which agents enrol.

An agent that has no credential buys one with such a token: name its file as
agent.server.enrolment_token_file. A token is good for so many hosts until it
expires; what it bought stays when it is revoked.`,
		Example: "  sentinelctl enrolment create rack-7 --uses 40 --ttl 2h --label site=fra --out enrolment.token\n  sentinelctl enrolment ls\n  sentinelctl enrolment revoke 3"}
	group.AddCommand(c.enrolmentCreate(), c.enrolmentList(), c.enrolmentRevoke())
	return group
}

func (c *ctl) enrolmentCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Make an enrolment token and hand it over, once", Args: command.Args(1, 1, "what the token is for"),
		Example: "  sentinelctl enrolment create web-1\n  sentinelctl enrolment create fleet --uses 1000 --hostnames 'edge-*' --out enrolment.token"}
	uses := cmd.Flags().Int("uses", 1, "hosts that may enrol with it")
	ttl := command.Duration(cmd, "ttl", 24*time.Hour, "how long it is valid, up to a year")
	hostnames := cmd.Flags().String("hostnames", "", "a pattern such as web-* that the host's name must match")
	labels := cmd.Flags().StringArrayP("label", "l", nil, "name=value for its agents; may stand there several times")
	out := cmd.Flags().String("out", "", "write the token to this file (mode 0600) instead of printing it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := labelFlags(*labels)
		if err != nil {
			return err
		}
		if *uses < 1 {
			return sentinel.Errorf(sentinel.Invalid, "--uses %d: want 1 or more", *uses)
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		if *out != "" {
			done, err := reserve(*out)
			if err != nil {
				return err
			}
			defer done()
		}
		made, err := client.CreateEnrolmentToken(cmd.Context(), api.NewEnrolmentToken{Name: args[0], TTL: ttl.String(), MaxUses: *uses, Hostnames: *hostnames, Labels: set})
		if err != nil {
			return err
		}
		if *out != "" {
			if err := os.WriteFile(*out, []byte(made.Secret+"\n"), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("enrolment token %d is made, but could not be kept; revoke it and make another: %w", made.ID, err)
			}
			made.Secret = ""
		}
		if c.output != "table" {
			return writeJSON(cmd.OutOrStdout(), made)
		}
		return c.printEnrolment(cmd, made, *out)
	}
	return cmd
}

// printEnrolment shows the token alone on standard output, for a script, and beside
// it what a person does next.
func (c *ctl) printEnrolment(cmd *cobra.Command, made api.IssuedEnrolmentToken, file string) error {
	if file != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "made enrolment token %d, kept in %s\n", made.ID, file)
	} else {
		fmt.Fprintln(cmd.ErrOrStderr(), "This token is shown once:")
		fmt.Fprintln(cmd.OutOrStdout(), made.Secret)
		file = "FILE"
	}
	pin := ""
	if made.CAPin != "" {
		pin = " --ca-pin " + made.CAPin
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "On each host, with the token in %s:\n  sentinel-agent install --server %s%s --enrolment-token-file %s\n", file, c.gateway(), pin, file)
	return err
}

// gateway returns where agents find the server, as far as it can be told from where
// people find it.
func (c *ctl) gateway() string {
	conn, err := c.connection()
	if err != nil {
		return "HOST:7443"
	}
	u, err := url.Parse(conn.Server)
	if err != nil || u.Hostname() == "" {
		return "HOST:7443"
	}
	return net.JoinHostPort(u.Hostname(), "7443")
}

func (c *ctl) enrolmentList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List enrolment tokens, newest first", Args: command.NoArgs}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.watching(cmd, *watch, func(ctx context.Context, client *api.Client) error {
			tokens, err := client.EnrolmentTokens(ctx)
			if err != nil {
				return err
			}
			t := table{columns: []string{"id", "name", "state", "uses", "max_uses", "expires", "hostnames", "labels"},
				empty: "there is no enrolment token; `sentinelctl enrolment create` makes one"}
			for _, k := range tokens {
				t.add(k.ID, k.Name, k.State, k.Uses, k.MaxUses, k.ExpiresAt, k.Hostnames, labelSet(k.Labels))
			}
			return c.print(cmd.OutOrStdout(), t, tokens)
		})
	}
	return cmd
}

func (c *ctl) enrolmentRevoke() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke ID", Short: "Revoke an enrolment token; the agents that it bought stay", Args: command.Args(1, 1, "the token's id (`sentinelctl enrolment ls`)")}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil || id < 1 {
			return sentinel.Errorf(sentinel.Invalid, "%.40q is not an enrolment token's id; `sentinelctl enrolment ls` lists them", args[0])
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		if err := client.RevokeEnrolmentToken(cmd.Context(), id); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "revoked enrolment token %d\n", id)
		return err
	}
	return cmd
}
