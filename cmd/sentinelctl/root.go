package main

import (
	"cmp"
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
	Server    string `yaml:"server" json:"server"`
	CAFile    string `yaml:"ca_file" json:"ca_file,omitempty"`
	TokenFile string `yaml:"token_file" json:"token_file"`
}

// ctl is what the commands share.
type ctl struct {
	configFile string
	context    string
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

or from SENTINEL_SERVER, SENTINEL_CA_FILE and SENTINEL_TOKEN_FILE. Who works with
several servers gives them names: "sentinelctl context --help". inspect-wal, and
agent status, flush and reload, which ask the agent on this host, need no server.

Tables are for people, -o wide shows more of them; -o json, -o yaml and -o csv are
for programs. Nothing is coloured or ever asked
back: every command can stand in a script.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused,
4 not found, 5 a part of the service does not answer, 6 what was checked does
not hold.`)
	root.PersistentFlags().StringVarP(&c.configFile, "config", "c", "", "file that says how to reach the server (SENTINELCTL_CONFIG)")
	root.PersistentFlags().StringVar(&c.context, "context", "", "context to use instead of the current one (SENTINEL_CONTEXT)")
	_ = root.RegisterFlagCompletionFunc("context", completeContext) // the flag exists
	root.PersistentFlags().StringVarP(&c.output, "output", "o", "table", "table, wide, json, yaml or csv")
	c.timeout = 30 * time.Second
	root.PersistentFlags().Var((*command.DurationValue)(&c.timeout), "timeout", "how long to wait for each answer of the server")
	formats := []string{"table", "wide", "json", "yaml", "csv"}
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if c.timeout <= 0 {
			return sentinel.Errorf(sentinel.Invalid, "--timeout %s: want a positive duration such as 30s", c.timeout)
		}
		if slices.Contains(formats, c.output) {
			return nil
		}
		return sentinel.Errorf(sentinel.Invalid, "--output %q: want table, wide, json, yaml or csv", c.output)
	}
	root.AddCommand(c.agentCommand(), c.queryCommand(), c.metricsCommand(), c.topCommand(), c.inspectCommand(),
		c.eventsCommand(), c.enrolmentCommand(), c.tokenCommand(), c.userCommand(), c.auditLogCommand(), c.whoamiCommand(), c.setupCommand(), c.dlqCommand(),
		c.pipelineCommand(), c.retentionCommand(), c.doctorCommand(), c.backupCommand(), c.restoreCommand(), c.ruleCommand(), c.alertCommand(), c.silenceCommand(), c.routeCommand(), c.receiverCommand(), c.pluginCommand(), c.contextCommand(), c.apiCommand())
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
	conn, strict, err := c.chosen()
	if err != nil {
		return nil, err
	}
	return c.connect(conn, strict)
}

// connect returns a client that sends the token of the connection's file; where
// strict is set others must not be able to read that.
func (c *ctl) connect(conn connection, strict bool) (*api.Client, error) {
	if conn.Server == "" || conn.TokenFile == "" {
		return nil, sentinel.Errorf(sentinel.Invalid, "server or token_file is not set: write %s (`sentinelctl --help` shows how), or name another file with --config", defaultConfig())
	}
	token, err := os.ReadFile(conn.TokenFile)
	if err == nil && strict {
		if err := private(conn.TokenFile); err != nil {
			return nil, err
		}
	}
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
func (c *ctl) connection() (connection, error) {
	conn, _, err := c.chosen()
	return conn, err
}

// chosen finds the connection: a context that is named, a file that is named, the
// environment, the current context, the usual file; strict says that it is a context.
// The environment changes no context: its token goes to its own server alone.
func (c *ctl) chosen() (conn connection, strict bool, err error) {
	name, path := cmp.Or(c.context, os.Getenv("SENTINEL_CONTEXT")), cmp.Or(c.configFile, os.Getenv("SENTINELCTL_CONFIG"))
	if c.configFile != "" && c.context == "" {
		name = ""
	}
	if name != "" || (path == "" && os.Getenv("SENTINEL_SERVER") == "") {
		cs, err := loadContexts()
		if err != nil {
			return conn, true, err
		}
		if name = cmp.Or(name, cs.Current); name != "" {
			conn, err = cs.pick(name)
			return conn, true, err
		}
	}
	if path == "" {
		path = defaultConfig()
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			path = "" // the environment may say everything
		}
	}
	err = config.Load(path, os.Environ(), &conn)
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		err = sentinel.Errorf(sentinel.NotFound, "configuration file %s does not exist; `sentinelctl --help` shows what belongs in it", path)
	}
	return conn, false, err
}
