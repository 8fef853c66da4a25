package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/app/server"
)

func user(cfg *server.Config, load func() error) *cobra.Command {
	group := &cobra.Command{Use: "user", Short: "People who sign in with a password", Args: command.NoArgs}
	create := &cobra.Command{Use: "create NAME", Short: "Make a user", Args: command.Args(1, 1, "the user's name"),
		Long: `Make a user. The password comes from a file, or from standard input with
--password-file -, never from the command line, which every process of the host can
read. It has at least 12 characters.`,
		Example: "  sentinel-server user create ann --role admin --password-file -"}
	role := create.Flags().String("role", "viewer", "viewer, operator or admin")
	file := create.Flags().String("password-file", "", "file that holds the password; - is standard input")
	create.RunE = func(c *cobra.Command, args []string) error {
		password, err := command.ReadSecret(c.InOrStdin(), "--password-file", *file)
		if err != nil {
			return err
		}
		if err := load(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
		defer cancel()
		if err := server.CreateUser(ctx, *cfg, args[0], *role, password); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "made the %s %s\n", *role, args[0])
		return nil
	}
	group.AddCommand(create)
	return group
}

func setupToken(cfg *server.Config, load func() error) *cobra.Command {
	return &cobra.Command{Use: "setup-token", Short: "Make a token that makes the first user, once, within an hour", Args: command.NoArgs,
		Long: `Make a token with which somebody else makes the first user, an administrator: once,
within an hour, and only while there is no user. It is redeemed by
"sentinelctl setup --user NAME --token-file FILE --password-file FILE", or by
POST /api/v1/setup.`,
		Example: "  sentinel-server setup-token > setup.token",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := load(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
			defer cancel()
			token, err := server.CreateSetupToken(ctx, *cfg)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), token)
			return nil
		}}
}
