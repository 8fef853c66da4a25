package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) topCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "top", Short: "Watch the whole fleet, the busiest hosts first", Args: command.Args(0, 0, ""),
		Long: `Watch the whole fleet: hosts that need attention first, then by what --by names. The
screen is drawn again every few seconds until you press Ctrl-C. Where the output is
no terminal, one frame is printed with all hosts; -o json and -o csv are for programs.`,
		Example: "  sentinelctl top\n  sentinelctl top --by memory -l site=fra\n  sentinelctl top -o csv"}
	by := cmd.Flags().String("by", "cpu", "cpu, memory, disk, load or name")
	labels := cmd.Flags().StringArrayP("label", "l", nil, "only hosts with name=value, or without it: name!=value; may stand there several times")
	search := cmd.Flags().String("search", "", "only hosts with this in id or hostname")
	pause := command.Duration(cmd, "every", 5*time.Second, "how often to draw again")
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(topOrders(), cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case !slices.Contains(topOrders(), *by):
			return sentinel.Errorf(sentinel.Invalid, "--by %q: want cpu, memory, disk, load or name", *by)
		case *pause < time.Second:
			return sentinel.Errorf(sentinel.Invalid, "--every %s: want at least 1s", *pause)
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		q := api.FleetQuery{Search: *search, Labels: *labels}
		screen, _ := cmd.OutOrStdout().(*os.File)
		if c.output != "table" && c.output != "wide" || screen == nil || !terminal(screen) {
			f, err := client.Fleet(cmd.Context(), q)
			if err != nil {
				return err
			}
			order(f.Hosts, *by)
			if c.programs() {
				return c.print(cmd.OutOrStdout(), topTable(f), f)
			}
			_, err = cmd.OutOrStdout().Write(frame(f, *by, math.MaxInt, 0))
			return err
		}
		return watchFleet(cmd.Context(), screen, client, q, *by, *pause)
	}
	return cmd
}

func topOrders() []string { return []string{"cpu", "memory", "disk", "load", "name"} }

// What a terminal is told: another screen without a cursor, and back; to its corner;
// and to clear what is left of a line and of the screen.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toCorner    = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

// watchFleet draws until ctx ends, which is no failure. A server that does not answer
// is said and asked again.
func watchFleet(ctx context.Context, screen *os.File, client *api.Client, q api.FleetQuery, by string, pause time.Duration) error {
	fmt.Fprint(screen, enterScreen)
	defer fmt.Fprint(screen, leaveScreen)
	answered := false
	for {
		f, err := client.Fleet(ctx, q)
		if ctx.Err() != nil {
			return nil
		}
		rows, columns := terminalSize(screen)
		var b []byte
		switch {
		case err == nil:
			answered = true
			order(f.Hosts, by)
			b = frame(f, by, rows-1, columns)
		case !answered || sentinel.CodeOf(err) != sentinel.Unavailable:
			return err
		default:
			b = []byte(printable(err.Error()) + "\n")
		}
		fmt.Fprint(screen, toCorner, strings.ReplaceAll(string(b), "\n", clearLine+"\n"), clearRest)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// order sorts hosts: those that need attention first, then the greatest, then by name.
func order(hosts []api.FleetHost, by string) {
	slices.SortStableFunc(hosts, func(a, b api.FleetHost) int {
		attention := func(h api.FleetHost) int {
			return max(0, slices.Index([]string{"silent", "up", "never seen", "disabled"}, h.State))
		}
		return cmp.Or(cmp.Compare(attention(a), attention(b)), -cmp.Compare(measure(a, by), measure(b, by)), cmp.Compare(a.Hostname, b.Hostname), cmp.Compare(a.ID, b.ID))
	})
}

func measure(h api.FleetHost, by string) float64 {
	v := map[string]*float64{"cpu": h.CPU, "memory": h.Memory, "disk": h.Disk, "load": h.Load1}[by]
	if v == nil {
		return -1
	}
	return *v
}

// frame draws the fleet, at most so many rows high and, unless 0, columns wide.
func frame(f api.Fleet, by string, rows, columns int) []byte {
	var b bytes.Buffer
	line := func(text string) {
		if columns > 0 {
			text = cut(text, columns)
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	parts := []string{fmt.Sprintf("%d hosts", len(f.Hosts))}
	for _, state := range []string{"up", "silent", "never seen", "disabled"} {
		if n := f.Count[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	line(strings.Join(parts, ", ") + ", by " + by)
	line(fmt.Sprintf("%-24s %-10s %-16s %-16s %-16s %6s  %s", "HOST", "STATE", "CPU", "MEMORY", "DISK", "LOAD", "CPU, LAST HOUR"))
	for i, h := range f.Hosts {
		if i >= rows-3 && i < len(f.Hosts)-1 {
			line(fmt.Sprintf("… and %d more", len(f.Hosts)-i))
			break
		}
		load := "-"
		if h.Load1 != nil {
			load = fmt.Sprintf("%.2f", *h.Load1)
		}
		line(fmt.Sprintf("%s %-10s %s %s %s %6s  %s", padded(printable(cmp.Or(h.Hostname, h.ID)), 24), h.State, gauge(h.CPU), gauge(h.Memory), gauge(h.Disk), load, spark(h.Spark)))
	}
	return b.Bytes()
}

func padded(s string, width int) string {
	s = cut(s, width)
	return s + strings.Repeat(" ", width-utf8.RuneCountInString(s))
}

// gauge draws a percentage, 16 characters wide.
func gauge(v *float64) string {
	const width = 10
	if v == nil {
		return padded("-", width+6)
	}
	full := int(math.Round(min(100, max(0, *v)) / 100 * width))
	return strings.Repeat("█", full) + strings.Repeat("·", width-full) + fmt.Sprintf(" %4.0f%%", *v)
}

func spark(values []*float64) string {
	numbers := make([]float64, len(values))
	for i, v := range values {
		numbers[i] = math.NaN()
		if v != nil {
			numbers[i] = *v
		}
	}
	return bars(numbers, 0, 100)
}

func topTable(f api.Fleet) table {
	t := table{columns: []string{"id", "hostname", "state", "cpu", "memory", "disk", "load1", "uptime", "last_seen", "labels"}}
	for _, h := range f.Hosts {
		var seen time.Time
		if h.LastSeen != nil {
			seen = *h.LastSeen
		}
		t.add(h.ID, h.Hostname, h.State, h.CPU, h.Memory, h.Disk, h.Load1, h.Uptime, seen, labelSet(h.Labels))
	}
	return t
}

func terminal(f io.Writer) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	st, err := file.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
