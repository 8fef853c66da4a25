package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/service"
)

// serviceCommands install, remove, start and stop the agent as a service of this
// system.
func serviceCommands(d *daemon) []*cobra.Command {
	var list []*cobra.Command
	for _, c := range []struct{ verb, short, long string }{
		{"install", "Install the agent as a service of this system and start it", `Install the agent as a service of this system (systemd, launchd or the Windows
service manager) and start it, or start it anew. A configuration that is there is
kept; one that is missing is written, with the defaults. Doing it again is safe.

With --enrolment-token-file the host buys its identity first. Else give the agent its
credential before:

  ` + register()},
		{"uninstall", "Stop the agent and remove the service", `Stop the agent and remove the service. The configuration, and the state folder with
what is not sent yet, stay.`},
		{"start", "Start the service", "Start the service that install has made."},
		{"stop", "Stop the service", "Stop the service until the next start of the host. What is not sent yet is kept."},
	} {
		cmd := &cobra.Command{Use: c.verb, Short: c.short, Long: c.long, Args: command.NoArgs, Example: "  sentinel-agent " + c.verb + " --dry-run"}
		dry := cmd.Flags().Bool("dry-run", false, "say what would be done, and do nothing")
		root, program, enrol := new(string), new(string), &enrolment{}
		if c.verb == "install" {
			root = cmd.Flags().String("root", "", "write the files below this folder and run nothing, as for a package (not on Windows)")
			program = cmd.Flags().String("program", "", "the agent's program, where it is not this one")
			enrol = enrolmentFlags(cmd)
			cmd.Example += "\n  sentinel-agent install --server sentinel.example:7443 --ca-pin sha256:… --enrolment-token-file enrolment.token"
		}
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			in, err := installation(*program, *d.path, *root)
			if err != nil {
				return err
			}
			if enrol.token != "" && in.Root != "" {
				return sentinel.Errorf(sentinel.Invalid, "--enrolment-token-file: a package has no identity; leave it out with --root")
			}
			in.Server, in.CAPin = enrol.server, enrol.pin
			return carryOut(cmd.Context(), d, c.verb, in, enrol, *dry, cmd.OutOrStdout())
		}
		list = append(list, cmd)
	}
	return list
}

func register() string {
	return "sentinelctl agent register --out " + quoted(filepath.Join(agent.DefaultConfig().Agent.StateDir, "credential.json"))
}

func quoted(path string) string {
	if strings.Contains(path, " ") {
		return `"` + path + `"`
	}
	return path
}

// installation fills in what was not said.
func installation(program, config, root string) (in service.Install, err error) {
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return in, fmt.Errorf("find the agent's program: %w", err)
		}
	}
	if config == "" {
		config = command.SystemConfig()
	}
	if program, err = filepath.Abs(program); err != nil {
		return in, fmt.Errorf("--program: %w", err)
	}
	if config, err = filepath.Abs(config); err != nil {
		return in, fmt.Errorf("--config: %w", err)
	}
	if root != "" {
		if root, err = filepath.Abs(root); err != nil {
			return in, fmt.Errorf("--root: %w", err)
		}
		if runtime.GOOS == "windows" {
			return in, sentinel.Errorf(sentinel.Invalid, "--root: there is no such thing on Windows")
		}
	}
	return service.Install{Program: program, Config: config, State: agent.DefaultConfig().Agent.StateDir, Root: root}, nil
}

func carryOut(ctx context.Context, d *daemon, verb string, in service.Install, enrol *enrolment, dry bool, out io.Writer) error {
	steps, err := service.Plan(runtime.GOOS, verb, in)
	if err != nil {
		return err
	}
	if dry {
		for _, s := range steps {
			fmt.Fprintln(out, "would", s)
			if s.Configured && enrol.token != "" {
				fmt.Fprintln(out, "would enrol this host, unless it has a credential")
			}
		}
		return nil
	}
	if in.Root == "" && !service.Privileged() {
		return sentinel.Errorf(sentinel.Forbidden, "%s needs the rights of an administrator: run it as root (sudo), or from an elevated prompt; --dry-run shows what it would do", verb)
	}
	if verb == "install" && in.Root == "" && strings.HasPrefix(in.Program, "/tmp/") {
		return sentinel.Errorf(sentinel.Invalid, "%s: a service does not see /tmp, and it is emptied: move the program to /usr/local/bin first", in.Program)
	}
	for _, s := range steps {
		fmt.Fprintln(out, s)
		if err := s.Do(ctx, service.Host{}); err != nil {
			return err
		}
		if s.Configured && enrol.token != "" {
			if err := enrol.do(ctx, in.Config, d.version, out); err != nil {
				return err
			}
		}
	}
	if verb == "install" && in.Root == "" {
		fmt.Fprintln(out, "installed; `sentinelctl agent status` shows how the agent stands")
	}
	return nil
}
