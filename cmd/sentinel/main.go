// Command sentinel is the whole system in one process: for a first look, for
// development and for small fleets.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/app/standalone"
	"github.com/sentinelgo/sentinel/internal/plugin/host"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

var version string // set by the linker

func main() {
	if code, is := host.Run(context.Background()); is { // the process of a plugin
		os.Exit(code)
	}
	v := command.Version(version)
	root := command.Root("sentinel", v, "Run the whole of Sentinel in one process, with an agent of this host",
		`Starts a broker, a server, a worker and an agent, all over TLS, with a private
PostgreSQL beside them. Everything is kept in one folder: starting again finds it,
removing the folder removes all. Ctrl-C ends it cleanly.

With DATABASE_URL in the environment that database is used instead.

Examples:
  sentinel
  sentinel --state /srv/sentinel --gateway :7443 --api :7480`)
	state := root.Flags().String("state", defaultState(), "folder that keeps everything")
	gateway := root.Flags().String("gateway", "127.0.0.1:7443", "address that agents connect to")
	api := root.Flags().String("api", "127.0.0.1:7480", "address of the REST interface")
	interval := command.Duration(root, "interval", 10*time.Second, "time between two collections on this host")
	level := root.Flags().String("log-level", "warn", "debug, info, warn or error")
	root.RunE = func(c *cobra.Command, _ []string) error {
		logger, err := telemetry.LogConfig{Level: *level, Format: "text"}.Logger(os.Stderr)
		if err != nil {
			return err
		}
		out := c.OutOrStdout()
		fmt.Fprintf(out, "Sentinel %s is starting in %s ...\n", v, *state)
		err = standalone.Run(c.Context(), standalone.Options{
			StateDir: *state, DatabaseURL: os.Getenv("DATABASE_URL"), Gateway: *gateway, API: *api, Interval: *interval,
			Version: v, Log: logger, Ready: func(p standalone.Place) { welcome(out, p) },
		})
		if err == nil {
			fmt.Fprintln(out, "Sentinel has stopped; its data is kept in", *state)
		}
		return err
	}
	os.Exit(command.Main(root))
}

// defaultState is a folder that PostgreSQL, which never runs as root, can reach.
func defaultState() string {
	if os.Geteuid() == 0 {
		return "/var/lib/sentinel-demo"
	}
	if data := os.Getenv("XDG_DATA_HOME"); data != "" {
		return filepath.Join(data, "sentinel-demo")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "share", "sentinel-demo")
	}
	return filepath.Join(os.TempDir(), "sentinel-demo")
}

// welcome says that it works, where to look and what to try.
func welcome(out io.Writer, p standalone.Place) {
	ctl := "./bin/sentinelctl --config " + p.CtlConfig
	fmt.Fprintf(out, `
This host's first %d series are in the database, %.1f s after the start:
collected, logged on disk, signed, sent over TLS, through JetStream, into
PostgreSQL. A new cycle follows every few seconds.

%s
  agent   %s
  API     %s/api/v1   (described at /openapi.json)

Three things to try, in another terminal:

  1. What this host says now:
     %s query %s
  2. How busy it was, as it comes in:
     %s query %s sentinel_host_cpu_used_percent --since 10m --watch 5s
  3. That no sample is missing:
     %s agent audit %s

Ctrl-C ends everything; the data stays and the next start goes on with it.
`, p.Series, p.Took.Seconds(), browser(p), p.Agent, p.API, ctl, p.Agent, ctl, p.Agent, ctl, p.Agent)
}

// browser says how to open the web interface. The link holds a token: a terminal
// gets it, and a file or a journal, which keeps what it gets, the way to make it.
func browser(p standalone.Place) string {
	link, err := p.SignInLink()
	setup, serr := p.SetupLink()
	info, terr := os.Stdout.Stat()
	if err != nil || serr != nil || terr != nil || info.Mode()&os.ModeCharDevice == 0 {
		text := fmt.Sprintf(`  Open in a browser (the certificate is this host's own: your browser will ask once)
  the address that this prints; it signs you in:

      echo "%s/#token=$(cat %s)"
`, p.API, p.TokenFile)
		if p.SetupFile != "" {
			text += fmt.Sprintf(`
  And this one's makes a user with a password for you, within an hour:

      echo "%s/setup#token=$(cat %s)"
`, p.API, p.SetupFile)
		}
		return text
	}
	text := fmt.Sprintf(`  Open in a browser (the certificate is this host's own: your browser will ask once):

      %s
`, link)
	if setup != "" {
		text += fmt.Sprintf(`
  And to make a user with a password for you, within an hour:

      %s
`, setup)
	}
	return text
}
