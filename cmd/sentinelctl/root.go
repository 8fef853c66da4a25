package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// connection says how to reach the server. It is read from a file, and each key
// from the environment too: SENTINEL_SERVER, SENTINEL_CA_FILE, SENTINEL_TOKEN_FILE.
type connection struct {
	Server    string `yaml:"server"`
	CAFile    string `yaml:"ca_file"`
	TokenFile string `yaml:"token_file"`
}

// ctl is what the commands share.
type ctl struct {
	configFile string
	output     string
}

func root() *cobra.Command {
	c := &ctl{}
	root := command.Root("sentinelctl", command.Version(version), "Run a fleet of Sentinel agents",
		`Commands that ask the server read how to reach it from a file, by default
`+defaultConfig()+`:

  server: https://sentinel.example:7480
  ca_file: /etc/sentinel/ca.crt
  token_file: /home/me/.config/sentinel/token

or from SENTINEL_SERVER, SENTINEL_CA_FILE and SENTINEL_TOKEN_FILE. inspect-wal
needs no server.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused,
4 not found, 5 a part of the service does not answer, 6 what was checked does
not hold.`)
	root.PersistentFlags().StringVarP(&c.configFile, "config", "c", "", "file that says how to reach the server (SENTINELCTL_CONFIG)")
	root.PersistentFlags().StringVarP(&c.output, "output", "o", "table", "table, json or csv")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		switch c.output {
		case "table", "json", "csv":
			return nil
		}
		return sentinel.Errorf(sentinel.Invalid, "--output %q: want table, json or csv", c.output)
	}
	root.AddCommand(c.agentCommand(), c.queryCommand(), c.inspectCommand())
	return root
}

func defaultConfig() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		dir = "."
	}
	return filepath.Join(dir, "sentinel", "sentinelctl.yml")
}

// client returns a client for the configured server.
func (c *ctl) client() (*api.Client, error) {
	path := c.configFile
	if path == "" {
		path = os.Getenv("SENTINELCTL_CONFIG")
	}
	if path == "" {
		path = defaultConfig()
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			path = "" // the environment may say everything
		}
	}
	var conn connection
	if err := config.Load(path, os.Environ(), &conn); err != nil {
		return nil, err
	}
	if conn.Server == "" || conn.TokenFile == "" {
		return nil, sentinel.Errorf(sentinel.Invalid, "server or token_file is not set: write %s (`sentinelctl --help` shows how), or name another file with --config", defaultConfig())
	}
	token, err := os.ReadFile(conn.TokenFile)
	if err != nil {
		return nil, sentinel.Errorf(sentinel.NotFound, "token_file: %w; `sentinel-server token create` makes a token", err)
	}
	return api.NewClient(conn.Server, conn.CAFile, strings.TrimSpace(string(token)))
}
