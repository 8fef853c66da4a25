package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) tokenCommand() *cobra.Command {
	group := &cobra.Command{Use: "token", Short: "Make, list and revoke API tokens", Args: command.NoArgs,
		Example: "  sentinelctl token create grafana --role viewer --ttl 30d --out grafana.token\n  sentinelctl token ls\n  sentinelctl token revoke 7"}
	create := &cobra.Command{Use: "create NAME", Short: "Make a token and hand it over, once", Args: command.Args(1, 1, "what the token is for"),
		Long: `Make a token and hand it over, once. It has at most your own role, and cannot
outlive your own token where that expires.`,
		Example: "  sentinelctl token create grafana --role viewer --ttl 30d --out grafana.token"}
	role := create.Flags().String("role", "viewer", "viewer, operator or admin")
	ttl := command.Duration(create, "ttl", 0, "how long it is valid; 0 means until it is revoked")
	out := create.Flags().String("out", "", "write the token to this file (mode 0600) instead of printing it")
	_ = create.RegisterFlagCompletionFunc("role", completeRole) // the flag exists
	create.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		t := api.NewToken{Name: args[0], Role: *role}
		if *ttl != 0 {
			t.TTL = ttl.String()
		}
		if *out != "" {
			return c.tokenToFile(cmd, client, t, *out)
		}
		made, err := client.CreateToken(cmd.Context(), t)
		if err != nil {
			return err
		}
		if !c.programs() {
			fmt.Fprintln(cmd.ErrOrStderr(), "This token is shown once:")
			_, err := fmt.Fprintln(cmd.OutOrStdout(), made.Secret)
			return err
		}
		return c.write(cmd.OutOrStdout(), made)
	}

	list := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List tokens", Args: command.NoArgs}
	watch := watchFlag(list)
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.watching(cmd, *watch, func(ctx context.Context, client *api.Client) error {
			tokens, err := client.Tokens(ctx)
			if err != nil {
				return err
			}
			t := table{columns: []string{"id", "name", "role", "created", "created_by", "expires", "last_used"}, empty: "there is no token"}
			for _, k := range tokens {
				t.add(k.ID, k.Name, k.Role, k.CreatedAt, k.CreatedBy, orZero(k.ExpiresAt), ago{orZero(k.LastUsed)})
			}
			return c.print(cmd.OutOrStdout(), t, tokens)
		})
	}

	revoke := &cobra.Command{Use: "revoke ID", Short: "Revoke a token: the next request with it is refused", Args: command.Args(1, 1, "the token's id (`sentinelctl token ls`)"),
		ValidArgsFunction: c.completeToken}
	revoke.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil || id < 1 {
			return sentinel.Errorf(sentinel.Invalid, "%.40q is not a token's id; `sentinelctl token ls` lists them", args[0])
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		done, err := client.RevokeToken(cmd.Context(), id)
		if err != nil {
			return err
		}
		if c.programs() {
			return c.write(cmd.OutOrStdout(), done)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "revoked token %d\n", id)
		if done.Own {
			fmt.Fprintln(cmd.ErrOrStderr(), "That was your own token: sentinelctl needs another one now, `sentinel-server token create` makes it.")
		}
		return nil
	}
	group.AddCommand(create, list, revoke)
	return group
}

// tokenToFile makes sure of the file before the token is made.
func (c *ctl) tokenToFile(cmd *cobra.Command, client *api.Client, t api.NewToken, path string) error {
	done, err := reserve(path)
	if err != nil {
		return err
	}
	defer done()
	made, err := client.CreateToken(cmd.Context(), t)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(made.Secret+"\n"), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("token %d is made, but could not be kept; revoke it and make another: %w", made.ID, err)
	}
	if c.programs() {
		return c.write(cmd.OutOrStdout(), made.Token)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "made token %d, kept in %s\n", made.ID, path)
	return nil
}

func completeRole(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"viewer", "operator", "admin"}, cobra.ShellCompDirectiveNoFileComp
}

func (c *ctl) completeToken(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.complete(cmd, args, func(ctx context.Context, client *api.Client) (out []string) {
		tokens, _ := client.Tokens(ctx)
		for _, t := range tokens {
			out = append(out, strconv.FormatInt(t.ID, 10)+"\t"+printable(t.Name))
		}
		return out
	})
}

// complete asks the server for what a first argument may be; a shell is neither kept
// waiting nor told of errors.
func (c *ctl) complete(cmd *cobra.Command, args []string, ask func(context.Context, *api.Client) []string) ([]string, cobra.ShellCompDirective) {
	client, err := c.client()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	return ask(ctx, client), cobra.ShellCompDirectiveNoFileComp
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// watchFlag adds --watch to a command that lists something.
func watchFlag(cmd *cobra.Command) *time.Duration {
	return command.Duration(cmd, "watch", 0, "ask again and again, such as every 5s, until interrupted")
}

// watching runs f once, or as --watch says.
func (c *ctl) watching(cmd *cobra.Command, every time.Duration, f func(context.Context, *api.Client) error) error {
	if every != 0 && every < time.Second {
		return sentinel.Errorf(sentinel.Invalid, "--watch wants at least 1s")
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	return repeat(cmd.Context(), every, func() error { return f(cmd.Context(), client) })
}
