package command

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// ConfigCommand returns the command that shows the configuration in force; cfg is a
// pointer to the program's default configuration, which is loaded from *path.
func ConfigCommand(path *string, cfg any) *cobra.Command {
	group := &cobra.Command{Use: "config", Short: "The configuration in force", Args: NoArgs}
	show := &cobra.Command{Use: "show", Short: "Show every key with its value, and with --origin where that comes from", Args: NoArgs,
		Long: `Show every key with its value, and with --origin where that comes from: the default,
a line of the file, or a variable of the environment, which wins. What a URL signs in
with is hidden.`,
		Example: "  sentinel-server config show --origin\n  sentinel-agent --config sentinel.yml config show -o json"}
	origin := show.Flags().Bool("origin", false, "say where each value comes from")
	output := show.Flags().StringP("output", "o", "table", "table or json")
	show.RunE = func(c *cobra.Command, _ []string) error {
		list, err := config.Show(*path, os.Environ(), cfg)
		if err != nil {
			return err
		}
		switch *output {
		case "json":
			enc := json.NewEncoder(c.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(list)
		case "table":
		default:
			return sentinel.Errorf(sentinel.Invalid, "--output %s: want table or json", *output)
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
		for _, s := range list {
			if *origin {
				fmt.Fprintf(w, "%s\t%s\t%s\n", s.Key, s.Origin, s.Value)
			} else {
				fmt.Fprintf(w, "%s\t%s\n", s.Key, s.Value)
			}
		}
		return w.Flush()
	}
	group.AddCommand(show)
	return group
}
