// Package command holds what all the programs have in common: flags, signals,
// exit codes and how an error looks.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Exit codes of every program.
const (
	ExitOK          = 0
	ExitFailed      = 1 // something went wrong
	ExitUsage       = 2 // the command line or the configuration is wrong
	ExitRefused     = 3 // not known, or not allowed
	ExitNotFound    = 4 // no such thing
	ExitUnavailable = 5 // a part of the service does not answer
	ExitDiffers     = 6 // what was checked does not hold: damage found, books do not balance
)

// ErrDiffers makes a program end with ExitDiffers after it has said why.
var ErrDiffers = errors.New("what was checked does not hold")

// Main runs the command until it is done or the process is asked to stop, and
// returns the exit code. A second signal ends the process at once.
func Main(root *cobra.Command) int {
	root.AddCommand(referenceCommand())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root.SilenceErrors, root.SilenceUsage = true, true
	runGroups(root)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if args := c.Flags().Args(); c.HasSubCommands() && len(args) > 0 { // its flags are not to blame
			return NoArgs(c, args)
		}
		return sentinel.Errorf(sentinel.Invalid, "%w; `%s --help` shows what there is", err, c.CommandPath())
	})
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	if !errors.Is(err, ErrDiffers) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", root.Name(), err)
	}
	return exitCode(err)
}

// runGroups makes commands that only hold others show their help. Cobra does that
// by itself, but then for a misspelt command below them as well, with success.
func runGroups(c *cobra.Command) {
	if !c.Runnable() {
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		runGroups(sub)
	}
}

func exitCode(err error) int {
	if errors.Is(err, ErrDiffers) {
		return ExitDiffers
	}
	switch sentinel.CodeOf(err) {
	case sentinel.Invalid:
		return ExitUsage
	case sentinel.Unauthenticated, sentinel.Forbidden:
		return ExitRefused
	case sentinel.NotFound:
		return ExitNotFound
	case sentinel.Unavailable, sentinel.ResourceExhausted:
		return ExitUnavailable
	}
	return ExitFailed
}

// Version returns the version that was linked in, or what the module says.
func Version(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// Root returns a program's root command with --version. The version is formatted
// here and not by cobra's template: one reachable use of text/template makes the
// linker keep every exported method of every type, a sixth of the agent's binary.
func Root(name, version, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Long: short + "\n\n" + long, Args: NoArgs,
		Version: fmt.Sprintf("%s (%s)", version, strings.Join(buildDetails(), ", ")),
	}
}

// buildDetails say what was built, from what and with which settings.
func buildDetails() []string {
	var commit, changed, tags string
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = "commit " + s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = " with changes"
			case s.Key == "-tags" && s.Value != "":
				tags = "tags " + s.Value
			}
		}
	}
	if commit != "" {
		commit += changed
	}
	list := []string{commit, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, tags}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// NoArgs refuses arguments with an error that fits the others, and names the command
// that was probably meant.
func NoArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if name := meant(c, args[0]); name != "" {
		return sentinel.Errorf(sentinel.Invalid, "%q is not a command of %s; did you mean %q?", args[0], c.CommandPath(), name)
	}
	return sentinel.Errorf(sentinel.Invalid, "%q is not a command of %s; `%s --help` shows what there is", args[0], c.CommandPath(), c.CommandPath())
}

// alike are words that programs use for the same.
var alike = [][]string{
	{"create", "add", "new", "make", "register"},
	{"rm", "delete", "remove", "revoke", "expire", "purge"},
	{"show", "get", "describe", "info"},
	{"set", "put", "edit", "update"},
}

// meant returns the command below c that a word nearly is, or says in other words.
func meant(c *cobra.Command, word string) string {
	c.SuggestionsMinimumDistance = 2
	if names := c.SuggestionsFor(word); len(names) > 0 {
		return names[0]
	}
	for _, words := range alike {
		for _, below := range c.Commands() {
			if below.IsAvailableCommand() && slices.Contains(words, word) && slices.Contains(words, below.Name()) {
				return below.Name()
			}
		}
	}
	return ""
}

// Args wants between min and max arguments, which are named for the error.
func Args(min, max int, names string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < min || len(args) > max {
			return sentinel.Errorf(sentinel.Invalid, "want %s; `%s --help` shows examples", names, c.CommandPath())
		}
		return nil
	}
}

// SystemConfig returns where a system has its one configuration file.
func SystemConfig() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("ProgramData"), "Sentinel", "sentinel.yml")
	}
	return "/etc/sentinel/sentinel.yml"
}

// ConfigFlag adds --config. Where nothing else was said the path is the program's own
// file, such as agent.yml for sentinel-agent, beside the system's, or the system's.
func ConfigFlag(root *cobra.Command) *string {
	path := ""
	own := filepath.Join(filepath.Dir(SystemConfig()), strings.TrimPrefix(root.Name(), "sentinel-")+".yml")
	for _, file := range []string{own, SystemConfig()} {
		if _, err := os.Stat(file); err == nil {
			path = file
			break
		}
	}
	root.PersistentFlags().StringVarP(&path, "config", "c", path, "configuration file; each key can be set from the environment too, see config.example.yml")
	return &path
}

// Daemon makes root run a daemon: cfg, a pointer to its default configuration, is
// loaded and handed to run. --check only loads it.
func Daemon(root *cobra.Command, cfg any, run func(ctx context.Context) error) (load func() error) {
	path := ConfigFlag(root)
	check := root.Flags().Bool("check", false, "check the configuration and exit")
	root.AddCommand(ConfigCommand(path, cfg))
	load = func() error { return config.Load(*path, os.Environ(), cfg) }
	root.RunE = func(c *cobra.Command, _ []string) error {
		if err := load(); err != nil {
			return err
		}
		if *check {
			fmt.Fprintln(c.OutOrStdout(), "the configuration is good")
			return nil
		}
		return run(c.Context())
	}
	return load
}
