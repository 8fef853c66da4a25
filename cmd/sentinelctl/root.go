package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	timeout    time.Duration
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

Tables are for people; -o json and -o csv are for programs. Nothing is ever asked
back: every command can stand in a script.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused,
4 not found, 5 a part of the service does not answer, 6 what was checked does
not hold.`)
	root.PersistentFlags().StringVarP(&c.configFile, "config", "c", "", "file that says how to reach the server (SENTINELCTL_CONFIG)")
	root.PersistentFlags().StringVarP(&c.output, "output", "o", "table", "table, json or csv")
	root.PersistentFlags().DurationVar(&c.timeout, "timeout", 30*time.Second, "how long to wait for each answer of the server")
	formats := []string{"table", "json", "csv"}
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if c.timeout <= 0 {
			return sentinel.Errorf(sentinel.Invalid, "--timeout %s: want a positive duration such as 30s", c.timeout)
		}
		if slices.Contains(formats, c.output) {
			return nil
		}
		return sentinel.Errorf(sentinel.Invalid, "--output %q: want table, json or csv", c.output)
	}
	root.AddCommand(c.agentCommand(), c.queryCommand(), c.inspectCommand(),
		c.enrolmentCommand(), c.tokenCommand(), c.userCommand(), c.auditLogCommand(), c.whoamiCommand(), c.setupCommand(), c.ruleCommand())
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
	conn, err := c.connection()
	if err != nil {
		return nil, err
	}
	if conn.Server == "" || conn.TokenFile == "" {
		return nil, sentinel.Errorf(sentinel.Invalid, "server or token_file is not set: write %s (`sentinelctl --help` shows how), or name another file with --config", defaultConfig())
	}
	token, err := os.ReadFile(conn.TokenFile)
	if err != nil {
		return nil, sentinel.Errorf(sentinel.NotFound, "token_file: %w; `sentinel-server token create` makes a token", err)
	}
	text := strings.TrimSpace(string(token))
	if text == "" || strings.ContainsAny(text, " \t\r\n") {
		return nil, sentinel.Errorf(sentinel.Invalid, "token_file: %s does not hold one token; `sentinel-server token create > %s` makes one", conn.TokenFile, conn.TokenFile)
	}
	return api.NewClient(api.ClientConfig{Server: conn.Server, CAFile: conn.CAFile, Token: text, Timeout: c.timeout})
}

// anonymous returns a client without a token.
func (c *ctl) anonymous() (*api.Client, error) {
	conn, err := c.connection()
	if err != nil {
		return nil, err
	}
	return api.NewClient(api.ClientConfig{Server: conn.Server, CAFile: conn.CAFile, Timeout: c.timeout})
}

// connection reads how to reach the server.
func (c *ctl) connection() (conn connection, err error) {
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
	err = config.Load(path, os.Environ(), &conn)
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return conn, sentinel.Errorf(sentinel.NotFound, "configuration file %s does not exist; `sentinelctl --help` shows what belongs in it", path)
	}
	return conn, err
}
