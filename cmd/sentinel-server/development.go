package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/app/server"
	"github.com/sentinelgo/sentinel/internal/devca"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// development makes what a server for development needs, where it is missing.
func development(cfg *server.Config, load func() error) *cobra.Command {
	c := &cobra.Command{Use: "development DIR", Short: "Make what a server for development needs: certificates, a master key, tokens",
		Args: command.Args(1, 1, "the folder to write to"),
		Long: `Make what a server for development needs, in a folder, where it is missing: an authority
and a certificate of its (ca.crt, server.crt, server.key) and a master key (master.key).
With --tokens also what asks the database: a token with which ten hosts enrol
(enrolment-token) and one with which a dashboard reads (viewer-token). Not for
production, which brings its own authority and keeps its keys apart.`,
		Example: "  sentinel-server development ./dev --host sentinel.test\n  sentinel-server --config sentinel.yml development ./dev --tokens"}
	hosts := c.Flags().StringSlice("host", nil, "further names and addresses in the certificate; localhost and this host's are always there")
	tokens := c.Flags().Bool("tokens", false, "make tokens too; needs the database")
	c.RunE = func(c *cobra.Command, args []string) error {
		dir, out := args[0], c.OutOrStdout()
		if _, err := devca.Ensure(dir, *hosts...); err != nil {
			return err
		}
		master := filepath.Join(dir, "master.key")
		if missing(master) {
			if err := sign.CreateMasterKey(master); err != nil {
				return err
			}
		}
		fmt.Fprintf(out, "%s: ca.crt, server.crt, server.key, master.key\n", dir)
		if !*tokens {
			return nil
		}
		if err := load(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
		defer cancel()
		return errors.Join(
			keep(out, filepath.Join(dir, "enrolment-token"), func() (string, error) {
				return server.CreateEnrolmentToken(ctx, *cfg, "development", 10, 7*24*time.Hour)
			}),
			keep(out, filepath.Join(dir, "viewer-token"), func() (string, error) {
				return server.CreateToken(ctx, *cfg, "development", "viewer", 0)
			}))
	}
	return c
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// keep makes a token and writes it to a file, unless that is there.
func keep(out io.Writer, path string, make func() (string, error)) error {
	if !missing(path) {
		return nil
	}
	token, err := make()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep a token: %w", err)
	}
	fmt.Fprintln(out, path)
	return nil
}
