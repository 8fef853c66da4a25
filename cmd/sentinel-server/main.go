// Command sentinel-server is the gateway for agents and the REST interface for
// people.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/app/server"
	"github.com/sentinelgo/sentinel/internal/sign"
)

var version string // set by the linker

func main() {
	root := command.Root("sentinel-server", command.Version(version), "Receive batches from agents, and serve the REST interface",
		`The server proves who is speaking, checks every batch and hands it to the broker.
Before the first start it needs a certificate, a master key and a token:

  scripts/gen-dev-certs.sh certs                  # or your own authority
  sentinel-server master-key create /etc/sentinel/master.key
  sentinel-server token create --role admin       # after the database is set
  sentinel-server user create ann --role admin --password-file -

Examples:
  sentinel-server --config /etc/sentinel/sentinel.yml
  sentinel-server --config sentinel.yml --check`)
	cfg := server.DefaultConfig()
	cfg.Version = command.Version(version)
	load := command.Daemon(root, &cfg, func(ctx context.Context) error {
		logger, err := cfg.Log.Logger(os.Stderr)
		if err != nil {
			return err
		}
		return server.Run(ctx, cfg, logger)
	})
	root.AddCommand(command.HealthCommand(func() (string, string, error) {
		err := load()
		return "server.listen", cfg.Server.Listen, err
	}))
	root.AddCommand(masterKey(&cfg, load), token(&cfg, load), user(&cfg, load), setupToken(&cfg, load), development(&cfg, load))
	os.Exit(command.Main(root))
}

func masterKey(cfg *server.Config, load func() error) *cobra.Command {
	group := &cobra.Command{Use: "master-key", Short: "The key that seals agents' secrets in the database", Args: command.NoArgs,
		Long: `The key that seals agents' secrets in the database.

To replace it: rotate puts a new key before the old one in the file; bring the file
to every server and worker and restart them, in any order; then reencrypt seals
what the old key sealed under the new one. After that the old line may go. A process
that lacks a key lets the agents concerned wait; nothing is lost.`,
		Example: `  sentinel-server master-key create /etc/sentinel/master.key
  sentinel-server master-key rotate /etc/sentinel/master.key
  sentinel-server master-key reencrypt --config /etc/sentinel/sentinel.yml`}
	create := &cobra.Command{
		Use: "create FILE", Short: "Write a new master key; back the file up, without it every agent must be registered anew",
		Args: command.Args(1, 1, "the file to write"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := sign.CreateMasterKey(args[0]); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "wrote %s\n", args[0])
			return nil
		},
	}
	rotate := &cobra.Command{
		Use: "rotate FILE", Short: "Put a new master key before those of the file", Args: command.Args(1, 1, "the master key file"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := sign.RotateMasterKey(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s seals from now on; next: restart every server and worker with this file, then `sentinel-server master-key reencrypt`\n", id)
			return nil
		},
	}
	reencrypt := &cobra.Command{
		Use: "reencrypt", Short: "Seal agents' secrets and the notification file under the first master key", Args: command.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := load(); err != nil {
				return err
			}
			done, err := server.Reseal(c.Context(), *cfg, func(done int) { fmt.Fprintf(c.ErrOrStderr(), "%d secrets\n", done) })
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "sealed %d secrets anew; no other master key is needed any more\n", done)
			return nil
		},
	}
	group.AddCommand(create, rotate, reencrypt)
	return group
}

func token(cfg *server.Config, load func() error) *cobra.Command {
	group := &cobra.Command{Use: "token", Short: "Tokens for the REST interface and sentinelctl", Args: command.NoArgs}
	create := &cobra.Command{Use: "create", Short: "Make a token and print it, once", Args: command.NoArgs,
		Example: "  sentinel-server token create --role viewer --name grafana --ttl 30d"}
	name := create.Flags().String("name", "admin", "what the token is for")
	role := create.Flags().String("role", "admin", "viewer, operator or admin")
	ttl := command.Duration(create, "ttl", 0, "how long it is valid; 0 means until it is deleted")
	create.RunE = func(c *cobra.Command, _ []string) error {
		if err := load(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
		defer cancel()
		text, err := server.CreateToken(ctx, *cfg, *name, *role, *ttl)
		if err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), text)
		return nil
	}
	group.AddCommand(create)
	return group
}
