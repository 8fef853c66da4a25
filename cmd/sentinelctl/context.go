package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/atomicfile"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// contexts are the servers that somebody works with, by name.
type contexts struct {
	Current  string                `yaml:"current" json:"current"`
	Contexts map[string]connection `yaml:"contexts" json:"contexts"`
}

func contextsFile() string { return filepath.Join(filepath.Dir(defaultConfig()), "contexts.yml") }

// private refuses a file that others may read.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return sentinel.Errorf(sentinel.Invalid, "%s: others than its owner may read it (mode %o); `chmod 600 %s` forbids it", path, info.Mode().Perm(), path)
	}
	return nil
}

// loadContexts reads the file; where there is none there are none.
func loadContexts() (cs contexts, err error) {
	err = private(contextsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return contexts{Contexts: map[string]connection{}}, nil
	}
	if err == nil {
		err = config.Load(contextsFile(), nil, &cs)
	}
	if cs.Contexts == nil {
		cs.Contexts = map[string]connection{}
	}
	return cs, err
}

// save replaces the file as a whole, for its owner alone.
func (cs contexts) save() error {
	raw, err := json.Marshal(cs)
	if err == nil {
		raw, err = config.YAML(raw)
	}
	if err != nil {
		return err
	}
	dir := filepath.Dir(contextsFile())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep contexts: %w", err)
	}
	if err := atomicfile.Replace(contextsFile(), raw, 0o600); err != nil {
		return fmt.Errorf("keep contexts: %w", err)
	}
	return nil
}

// pick returns a context's connection.
func (cs contexts) pick(name string) (connection, error) {
	conn, ok := cs.Contexts[name]
	if !ok {
		return conn, sentinel.Errorf(sentinel.NotFound, "there is no context %.80q; `sentinelctl context ls` lists them", name)
	}
	return conn, nil
}

var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (c *ctl) contextCommand() *cobra.Command {
	group := &cobra.Command{Use: "context", Short: "The servers that you work with, by name", Args: command.NoArgs,
		Long: `The servers that you work with, by name. They are kept in
` + contextsFile() + `
for its owner alone, and so are tokens that are given with --token-stdin; files that
others may read are refused. --context, or SENTINEL_CONTEXT, takes another one than
the current for one command. A file named with --config, and SENTINEL_SERVER in the
environment, go before the current context.`,
		Example: "  sentinelctl context add prod --server https://sentinel.example:7480 --ca-file ca.crt --token-stdin < token\n  sentinelctl context use prod"}
	list := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List contexts", Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cs, err := loadContexts()
			if err != nil {
				return err
			}
			t := table{columns: []string{"current", "context", "server", "ca_file", "token_file"}, empty: "there is no context; `sentinelctl context add` adds one"}
			for _, name := range sortedNames(cs.Contexts) {
				mark := ""
				if name == cs.Current {
					mark = "*"
				}
				one := cs.Contexts[name]
				t.add(mark, name, one.Server, one.CAFile, one.TokenFile)
			}
			return c.print(cmd.OutOrStdout(), t, cs)
		}}
	use := &cobra.Command{Use: "use NAME", Short: "Make a context the current one", Args: command.Args(1, 1, "the context's name (`sentinelctl context ls`)"), ValidArgsFunction: completeContext,
		RunE: func(cmd *cobra.Command, args []string) error {
			cs, err := loadContexts()
			if err != nil {
				return err
			}
			if _, err := cs.pick(args[0]); err != nil {
				return err
			}
			cs.Current = args[0]
			return c.said(cmd, cs, cs.save(), "commands now go to %s, %s", args[0], cs.Contexts[args[0]].Server)
		}}
	remove := &cobra.Command{Use: "rm NAME", Short: "Forget a context, and its token where that was given with --token-stdin", Args: command.Args(1, 1, "the context's name (`sentinelctl context ls`)"), ValidArgsFunction: completeContext,
		RunE: func(cmd *cobra.Command, args []string) error {
			cs, err := loadContexts()
			if err != nil {
				return err
			}
			if _, err := cs.pick(args[0]); err != nil {
				return err
			}
			delete(cs.Contexts, args[0])
			if cs.Current == args[0] {
				cs.Current = ""
			}
			if err := os.Remove(ownToken(args[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove its token: %w", err)
			}
			return c.said(cmd, cs, cs.save(), "removed %s", args[0])
		}}
	group.AddCommand(list, use, c.contextAdd(), remove)
	return group
}

// ownToken is where a context keeps a token that came from standard input.
func ownToken(name string) string { return filepath.Join(filepath.Dir(contextsFile()), name+".token") }

func (c *ctl) contextAdd() *cobra.Command {
	cmd := &cobra.Command{Use: "add NAME", Short: "Add a context; the first becomes the current one", Args: command.Args(1, 1, "a name"),
		Example: "  sentinelctl context add prod --server https://sentinel.example:7480 --ca-file ca.crt --token-file token"}
	var conn connection
	cmd.Flags().StringVar(&conn.Server, "server", "", "URL of the REST interface")
	cmd.Flags().StringVar(&conn.CAFile, "ca-file", "", "authority of its certificate, in PEM; else those of the system")
	cmd.Flags().StringVar(&conn.TokenFile, "token-file", "", "file that holds the token, which its owner alone may read")
	stdin := cmd.Flags().Bool("token-stdin", false, "read the token from standard input, and keep it beside the contexts")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		cs, err := loadContexts()
		_, exists := cs.Contexts[name]
		switch {
		case err != nil:
			return err
		case !contextName.MatchString(name):
			return sentinel.Errorf(sentinel.Invalid, "%.80q: want a name of letters, digits, . _ -", name)
		case exists:
			return sentinel.Errorf(sentinel.Conflict, "context %s exists; `sentinelctl context rm %s` removes it", name, name)
		case conn.Server == "" || (conn.TokenFile == "") == !*stdin:
			return sentinel.Errorf(sentinel.Invalid, "want --server, and either --token-file or --token-stdin; `sentinelctl context add --help` shows examples")
		}
		for _, path := range []*string{&conn.CAFile, &conn.TokenFile} { // from wherever it is used
			if *path != "" {
				if *path, err = filepath.Abs(*path); err != nil {
					return err
				}
			}
		}
		if *stdin {
			token, err := command.ReadSecret(cmd.InOrStdin(), "--token-stdin", "-")
			if err != nil {
				return err
			}
			conn.TokenFile = ownToken(name)
			if err := os.MkdirAll(filepath.Dir(conn.TokenFile), 0o700); err != nil {
				return fmt.Errorf("keep the token: %w", err)
			}
			if err := os.WriteFile(conn.TokenFile, []byte(token+"\n"), 0o600); err != nil {
				return fmt.Errorf("keep the token: %w", err)
			}
		}
		if _, err := c.connect(conn, true); err != nil {
			if *stdin {
				os.Remove(conn.TokenFile)
			}
			return err
		}
		cs.Contexts[name] = conn
		if cs.Current == "" {
			cs.Current = name
		}
		return c.said(cmd, cs, cs.save(), "added %s; the current context is %s", name, cs.Current)
	}
	return cmd
}

func completeContext(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cs, err := loadContexts()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return sortedNames(cs.Contexts), cobra.ShellCompDirectiveNoFileComp
}
