package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// referenceCommand returns the hidden command that writes a program's reference from
// its own commands, for the documentation and for packages.
func referenceCommand() *cobra.Command {
	c := &cobra.Command{Use: "reference", Short: "Write this program's reference", Args: NoArgs, Hidden: true,
		Example: "  sentinelctl reference --form man >sentinelctl.1"}
	form := c.Flags().String("form", "markdown", "markdown or man")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch *form {
		case "markdown":
			return markdown(c.OutOrStdout(), c.Root())
		case "man":
			return manPage(c.OutOrStdout(), c.Root())
		}
		return sentinel.Errorf(sentinel.Invalid, "--form %s: want markdown or man", *form)
	}
	return c
}

// described calls f for a command and all below it that people are shown.
func described(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
			described(sub, f)
		}
	}
}

// about returns what a command's help says of it.
func about(c *cobra.Command) string {
	if c.Long != "" {
		return strings.TrimSpace(c.Long)
	}
	return c.Short + "."
}

func markdown(w io.Writer, root *cobra.Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nWritten by `%s reference`.\n", root.Name(), root.Name())
	described(root, func(c *cobra.Command) {
		fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n\n%s\n", c.CommandPath(), c.UseLine(), fence(about(c)))
		if c.Example != "" {
			fmt.Fprintf(&b, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
		}
		if c == root || c.HasAvailableLocalFlags() {
			flagRows(&b, c.LocalFlags())
		}
	})
	_, err := io.WriteString(w, b.String())
	return err
}

// fence puts the lines of a text that stand indented into a block of their own.
func fence(text string) string {
	var out []string
	inside := false
	for _, line := range strings.Split(text, "\n") {
		code := strings.HasPrefix(line, "  ")
		switch {
		case code && !inside:
			out, inside = append(out, "```"), true
		case inside && !code && line != "":
			if last := len(out) - 1; out[last] == "" { // the empty line goes behind the block
				out = out[:last]
			}
			out, inside = append(out, "```", ""), false
		}
		out = append(out, strings.TrimPrefix(line, "  "))
	}
	if inside {
		out = append(out, "```")
	}
	return strings.Join(out, "\n")
}

func flagRows(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("\n| flag | default | |\n|---|---|---|\n")
	visible(flags, func(f *pflag.Flag, name, value string) {
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, value, strings.ReplaceAll(f.Usage, "|", "\\|"))
	})
}

// visible calls show for each flag that people are shown, with its names and its
// default. Paths are the host's that writes, so they are left out.
func visible(flags *pflag.FlagSet, show func(f *pflag.Flag, name, value string)) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name, value := "--"+f.Name, f.DefValue
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if strings.HasPrefix(value, "/") || value == "[]" || value == "false" {
			value = ""
		}
		show(f, name, value)
	})
}

// manPage writes a page for man(1), in the macros of man(7).
func manPage(w io.Writer, root *cobra.Command) error {
	var b strings.Builder
	name := root.Name()
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"Sentinel\" \"Sentinel\"\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.B %s\n", strings.ToUpper(name), roff(name), roff(root.Short), roff(root.UseLine()))
	described(root, func(c *cobra.Command) {
		if c == root {
			b.WriteString(".SH DESCRIPTION\n")
		} else {
			fmt.Fprintf(&b, ".SH %s\n", roff(strings.ToUpper(c.CommandPath())))
			fmt.Fprintf(&b, ".B %s\n.PP\n", roff(c.UseLine()))
		}
		fmt.Fprintf(&b, ".nf\n%s\n.fi\n", roff(about(c)))
		if c.Example != "" {
			fmt.Fprintf(&b, ".PP\nExamples:\n.PP\n.nf\n%s\n.fi\n", roff(c.Example))
		}
		visible(c.LocalFlags(), func(f *pflag.Flag, name, value string) {
			usage := f.Usage
			if value != "" {
				usage += " (default " + value + ")"
			}
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(name), roff(usage))
		})
	})
	_, err := io.WriteString(w, b.String())
	return err
}

// roff writes a text so that troff shows it as it is.
func roff(text string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
