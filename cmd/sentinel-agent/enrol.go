package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// enrolment is how a host finds its server and buys its identity there, as the
// command line says it.
type enrolment struct{ server, pin, token string }

func enrolmentFlags(cmd *cobra.Command) *enrolment {
	e := &enrolment{}
	cmd.Flags().StringVar(&e.server, "server", "", "host:port of the gateway, for a configuration that is not there yet")
	cmd.Flags().StringVar(&e.pin, "ca-pin", "", "the public key of the authority that vouches for it, sha256:…")
	cmd.Flags().StringVar(&e.token, "enrolment-token-file", "", "file of the token that buys this host's identity; sentinelctl enrolment create makes one")
	return e
}

// do enrols the agent that the configuration file describes.
func (e *enrolment) do(ctx context.Context, file, version string, out io.Writer) error {
	cfg := agent.DefaultConfig()
	if err := config.Load(file, os.Environ(), &cfg); err != nil {
		return err
	}
	s := &cfg.Agent.Server
	if e.server != "" && s.Address != e.server {
		return sentinel.Errorf(sentinel.Invalid, "%s is there already and says agent.server.address: %s, not %s: change it there, or leave --server out", file, s.Address, e.server)
	}
	if e.pin != "" && s.CAPin != e.pin {
		return sentinel.Errorf(sentinel.Invalid, "%s is there already and says another agent.server.ca_pin: change it there, or leave --ca-pin out", file)
	}
	if e.token != "" {
		s.EnrolmentTokenFile = e.token
	}
	if s.EnrolmentTokenFile == "" {
		return sentinel.Errorf(sentinel.Invalid, "--enrolment-token-file: want the file of a token; `sentinelctl enrolment create NAME --out FILE` makes one")
	}
	if err := s.Validate(); err != nil {
		return fmt.Errorf("agent.server.%w", err)
	}
	id, before, err := agent.Enrol(ctx, cfg.Agent, version)
	if err != nil {
		return err
	}
	if before {
		_, err = fmt.Fprintf(out, "this host is agent %s already; %s holds its credential\n", id, cfg.Agent.Credential())
	} else {
		_, err = fmt.Fprintf(out, "enrolled as agent %s; %s holds its credential\n", id, cfg.Agent.Credential())
	}
	return err
}

func enrolCommand(d *daemon) *cobra.Command {
	cmd := &cobra.Command{Use: "enroll", Aliases: []string{"enrol"}, Short: "Buy this host's identity with an enrolment token", Args: command.NoArgs,
		Long: `Buy this host's identity with an enrolment token and keep its credential in the
state folder. A host that has a credential keeps it. After a failure the same command
asks again for the same identity.

install does this too, before it starts the service; an agent whose configuration
names agent.server.enrolment_token_file does it when it starts.`,
		Example: "  sentinel-agent enroll --config sentinel.yml --enrolment-token-file enrolment.token"}
	e := enrolmentFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return e.do(cmd.Context(), *d.path, d.version, cmd.OutOrStdout())
	}
	return cmd
}
