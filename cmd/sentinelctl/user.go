package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) userCommand() *cobra.Command {
	group := &cobra.Command{Use: "user", Short: "The people who sign in with a password", Args: command.NoArgs,
		Example: "  sentinelctl user create ann --role operator --password-file -\n  sentinelctl user ls\n  sentinelctl user disable ann"}
	group.AddCommand(c.userCreate(), c.userList(), c.userSet(),
		c.userSwitch("disable", "Forbid a user to sign in, and end all sessions at once", true),
		c.userSwitch("enable", "Allow a user to sign in again", false), c.userDelete())
	return group
}

func (c *ctl) userCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Make a user", Args: command.Args(1, 1, "the user's name"),
		Long: `Make a user. The password, of at least 12 characters, comes from a file or from
standard input, never from the command line.`,
		Example: "  sentinelctl user create ann --role operator --password-file -"}
	role := cmd.Flags().String("role", "viewer", "viewer, operator or admin")
	file := cmd.Flags().String("password-file", "", "file that holds the password; - is standard input")
	_ = cmd.RegisterFlagCompletionFunc("role", completeRole) // the flag exists
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		password, err := command.ReadSecret(cmd.InOrStdin(), "--password-file", *file)
		if err != nil {
			return err
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		u, err := client.CreateUser(cmd.Context(), api.NewUser{Name: args[0], Role: *role, Password: password})
		return c.said(cmd, u, err, "made the %s %s", u.Role, u.Name)
	}
	return cmd
}

// said shows what a change came to: a sentence for people, the thing for programs.
func (c *ctl) said(cmd *cobra.Command, value any, err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	if c.programs() {
		return c.write(cmd.OutOrStdout(), value)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	return err
}

func (c *ctl) userList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List users", Args: command.NoArgs}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.watching(cmd, *watch, func(ctx context.Context, client *api.Client) error {
			users, err := client.Users(ctx)
			if err != nil {
				return err
			}
			t := table{columns: []string{"user", "role", "disabled", "created", "password_set", "last_login"},
				empty: "there is no user; `sentinelctl user create` makes one"}
			for _, u := range users {
				t.add(u.Name, u.Role, u.Disabled, u.CreatedAt, u.PasswordAt, ago{orZero(u.LastLogin)})
			}
			return c.print(cmd.OutOrStdout(), t, users)
		})
	}
	return cmd
}

func (c *ctl) userSet() *cobra.Command {
	cmd := &cobra.Command{Use: "set NAME", Short: "Give a user another role or password, and end all sessions at once",
		Args: command.Args(1, 1, "the user's name (`sentinelctl user ls`)"), ValidArgsFunction: c.completeUser,
		Example: "  sentinelctl user set ann --role admin\n  sentinelctl user set ann --password-file -"}
	role := cmd.Flags().String("role", "", "viewer, operator or admin")
	file := cmd.Flags().String("password-file", "", "file that holds the new password; - is standard input")
	_ = cmd.RegisterFlagCompletionFunc("role", completeRole) // the flag exists
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		patch := api.UserPatch{Role: *role}
		if *role == "" && *file == "" {
			return sentinel.Errorf(sentinel.Invalid, "want --role or --password-file; `sentinelctl user set --help` shows examples")
		}
		if *file != "" {
			var err error
			if patch.Password, err = command.ReadSecret(cmd.InOrStdin(), "--password-file", *file); err != nil {
				return err
			}
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		u, err := client.ChangeUser(cmd.Context(), args[0], patch)
		return c.said(cmd, u, err, "changed %s; all sessions have ended", u.Name)
	}
	return cmd
}

func (c *ctl) userSwitch(use, short string, disabled bool) *cobra.Command {
	return &cobra.Command{Use: use + " NAME", Short: short, Args: command.Args(1, 1, "the user's name (`sentinelctl user ls`)"), ValidArgsFunction: c.completeUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			u, err := client.ChangeUser(cmd.Context(), args[0], api.UserPatch{Disabled: &disabled})
			return c.said(cmd, u, err, "%sd %s", use, u.Name)
		}}
}

func (c *ctl) userDelete() *cobra.Command {
	return &cobra.Command{Use: "rm NAME", Short: "Remove a user and all sessions", Args: command.Args(1, 1, "the user's name (`sentinelctl user ls`)"), ValidArgsFunction: c.completeUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			err = client.DeleteUser(cmd.Context(), args[0])
			return c.said(cmd, map[string]string{"removed": args[0]}, err, "removed %s; tokens that were made stay, `sentinelctl token ls` lists them", args[0])
		}}
}

func (c *ctl) completeUser(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.complete(cmd, args, func(ctx context.Context, client *api.Client) (out []string) {
		users, _ := client.Users(ctx)
		for _, u := range users {
			out = append(out, u.Name+"\t"+u.Role)
		}
		return out
	})
}

func (c *ctl) whoamiCommand() *cobra.Command {
	return &cobra.Command{Use: "whoami", Short: "Show whose token this is, and what it may", Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			who, err := client.Who(cmd.Context())
			if err != nil {
				return err
			}
			t := table{columns: []string{"kind", "name", "role", "expires"}}
			t.add(who.Kind, who.Name, who.Role, orZero(who.ExpiresAt))
			return c.print(cmd.OutOrStdout(), t, who)
		}}
}

func (c *ctl) setupCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "setup", Short: "Make the first user, an administrator, for a setup token", Args: command.NoArgs,
		Long: `Make the first user, an administrator, for a token of "sentinel-server setup-token".
The token serves once. No API token is needed.`,
		Example: "  sentinelctl setup --user ann --token-file setup.token --password-file -"}
	user := cmd.Flags().String("user", "", "the name to sign in with")
	token := cmd.Flags().String("token-file", "", "file that holds the setup token")
	file := cmd.Flags().String("password-file", "", "file that holds the password; - is standard input")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s := api.Setup{User: *user}
		if s.User == "" {
			return sentinel.Errorf(sentinel.Invalid, "--user: is empty")
		}
		var err error
		if s.Token, err = command.ReadSecret(cmd.InOrStdin(), "--token-file", *token); err != nil {
			return err
		}
		if s.Password, err = command.ReadSecret(cmd.InOrStdin(), "--password-file", *file); err != nil {
			return err
		}
		client, err := c.anonymous()
		if err != nil {
			return err
		}
		u, err := client.Setup(cmd.Context(), s)
		return c.said(cmd, u, err, "made the %s %s; sign in with the password", u.Role, u.Name)
	}
	return cmd
}
