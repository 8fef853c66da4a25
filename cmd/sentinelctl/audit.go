package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
)

func (c *ctl) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit AGENT", Short: "Show that an agent's books balance", Args: command.Args(1, 1, "the agent's id or hostname (`sentinelctl agent ls`)"),
		Long: `Show that an agent's books balance: every record that its log has acknowledged is
stored, rejected, quarantined, declared lost, or still in flight.

  appended = stored + rejected + quarantined + lost + in flight

On the agent's own host --wal DIR compares the log there with the books as well,
and says how many records are on the host alone. Nothing is written or locked, so
this is safe beside the running agent.

The exit code is 6 where they do not balance, where records were lost, where the
agent writes under a copied identity, or where the log ends before records that the
service knows of and has not stored.`,
		Example: `  sentinelctl agent audit web-1
  sentinelctl agent audit ag-abcdefghijklmnop --wal /var/lib/sentinel-agent`,
		ValidArgsFunction: c.completeAgent,
	}
	dir := cmd.Flags().String("wal", "", "the agent's state folder on this host, to compare its log with the books")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		agent, err := findAgent(cmd.Context(), client, args[0])
		if err != nil {
			return err
		}
		report, err := audited(cmd.Context(), client, agent.ID, *dir)
		if err == nil && slices.ContainsFunc(report.Host, hostEpoch.behind) {
			// The agent may have freed a generation while it was read.
			report, err = audited(cmd.Context(), client, agent.ID, *dir)
		}
		if err != nil {
			return err
		}
		if err := c.printAudit(cmd.OutOrStdout(), report); err != nil {
			return err
		}
		if sound(report.Books) && !slices.ContainsFunc(report.Host, hostEpoch.behind) {
			return nil
		}
		return command.ErrDiffers
	}
	return cmd
}

// audit is what agent audit shows.
type audit struct {
	api.Books
	Host []hostEpoch `json:"host,omitempty"`
}

// hostEpoch compares one epoch of a log with its book.
type hostEpoch struct {
	Epoch    string `json:"epoch"`
	Last     uint64 `json:"last"`      // number of the newest readable record
	Known    uint64 `json:"known"`     // number of the newest record that the service knows of
	Settled  uint64 `json:"settled"`   // records that the service is done with
	HostOnly uint64 `json:"host_only"` // records that are not settled: nobody else keeps them
}

// behind reports whether the log ends before what the service knows of although not
// everything is settled: the end of the log is damaged, or it is another agent's.
func (h hostEpoch) behind() bool { return h.Last < h.Known && h.Settled < h.Known }

func (h hostEpoch) note() string {
	switch {
	case h.behind():
		return "THE LOG ENDS TOO EARLY: `sentinelctl inspect-wal verify` says why"
	case h.HostOnly > 0:
		return "not all is stored yet"
	}
	return "all is settled"
}

// audited reads the books and, where dir is not empty, the log there. The log comes
// second, so that every record that the books know was in it.
func audited(ctx context.Context, client *api.Client, agent, dir string) (audit, error) {
	if dir != "" {
		if _, err := openWAL(dir); err != nil {
			return audit{}, err
		}
	}
	books, err := client.Books(ctx, agent)
	if err != nil || dir == "" {
		return audit{Books: books}, err
	}
	in, err := openWAL(dir)
	if err != nil {
		return audit{}, err
	}
	known := map[string]api.Book{}
	for _, e := range books.Epochs {
		known[e.Epoch] = e.Book
	}
	out := audit{Books: books, Host: []hostEpoch{}}
	for check := range in.Verify() {
		name := check.Epoch.String()
		book := known[name]
		h := hostEpoch{Epoch: name, Last: check.Last, Known: book.Appended, Settled: book.Appended - book.InFlight}
		h.HostOnly = h.Last - min(h.Last, h.Settled)
		out.Host = append(out.Host, h)
	}
	return out, nil
}

func (c *ctl) printAudit(w io.Writer, a audit) error {
	t := table{columns: []string{"epoch", "appended", "stored", "rejected", "quarantined", "lost", "in_flight", "holes", "samples", "note"}}
	holes := 0
	for _, e := range a.Epochs {
		note := verdict(e.Book)
		if e.Forked {
			note = "forked: two agents write under this identity"
		}
		t.add(bookRow(e.Epoch, e.Book, e.Holes, note)...)
		holes += e.Holes
	}
	t.add(bookRow("total", a.Total, holes, verdict(a.Total))...)
	if err := c.print(w, t, a); err != nil || c.output == "json" || c.output == "yaml" || a.Host == nil {
		return err
	}
	host := table{columns: []string{"epoch", "last", "known", "settled", "host_only", "note"},
		empty: "the log on this host is empty: everything is stored"}
	for _, h := range a.Host {
		host.add(h.Epoch, h.Last, h.Known, h.Settled, h.HostOnly, h.note())
	}
	fmt.Fprintln(w)
	return c.print(w, host, nil)
}

func bookRow(name string, b api.Book, holes int, note string) []any {
	return []any{name, b.Appended, b.Stored, b.Rejected, b.Quarantined, b.Lost, b.InFlight, holes, b.Samples, note}
}

func balances(b api.Book) bool {
	return b.Appended == b.Stored+b.Rejected+b.Quarantined+b.Lost+b.InFlight
}

func verdict(b api.Book) string {
	if !balances(b) {
		return "DOES NOT BALANCE"
	}
	if b.Lost == 0 {
		return "balances"
	}
	var why []string
	for _, reason := range sortedNames(b.LostBy) {
		why = append(why, fmt.Sprintf("%s %d", reason, b.LostBy[reason]))
	}
	return "balances; lost: " + strings.Join(why, ", ")
}

func sound(b api.Books) bool {
	ok := balances(b.Total) && b.Total.Lost == 0
	for _, e := range b.Epochs {
		ok = ok && balances(e.Book) && !e.Forked
	}
	return ok
}
