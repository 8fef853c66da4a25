package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) retentionCommand() *cobra.Command {
	group := &cobra.Command{Use: "retention", Short: "How long samples are kept, and what that takes on disk", Args: command.NoArgs}
	show := &cobra.Command{Use: "show", Short: "Show how long samples are kept, and what that takes on disk", Args: command.NoArgs,
		Long: `Show how long samples and roll-ups are kept, what they take on disk, and what they will
take once they are as old as they are kept. With --raw, --minute or --hour: what it
would be with these values. Nothing is changed.`,
		Example: "  sentinelctl retention show\n  sentinelctl retention show --raw 14"}
	asked := retentionFlags(show)
	show.RunE = func(cmd *cobra.Command, _ []string) error {
		change, err := asked.change(cmd, nil)
		if err != nil {
			return err
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		r, err := client.Retention(cmd.Context(), change)
		if err != nil {
			return err
		}
		return c.printRetention(cmd, r)
	}
	set := &cobra.Command{Use: "set", Short: "Set how long samples are kept", Args: command.NoArgs,
		Long: `Set how long samples and roll-ups are kept, in days or as a duration such as 2y,
whatever worker.retention of the configuration file says; "file" gives a tier back to
the file. What is not named stays. Workers follow with their next maintenance, within
an hour, and remove whole partitions: most of a day of samples, of a week of minutes,
of a month of hours.

Where it removes data it is refused, with what it would remove, until it is repeated
with --yes. Needs the role admin.`,
		Example: "  sentinelctl retention set --raw 14\n  sentinelctl retention set --raw file --minute 60d --hour 2y --yes"}
	wanted := retentionFlags(set)
	yes := set.Flags().Bool("yes", false, "also where that removes data")
	set.RunE = func(cmd *cobra.Command, _ []string) error {
		if !cmd.Flags().Changed("raw") && !cmd.Flags().Changed("minute") && !cmd.Flags().Changed("hour") {
			return sentinel.Errorf(sentinel.Invalid, "nothing to set: name --raw, --minute or --hour; `sentinelctl retention show` shows what is")
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		is, err := client.Retention(cmd.Context(), api.RetentionChange{})
		if err != nil {
			return err
		}
		change, err := wanted.change(cmd, is.Tiers)
		if err != nil {
			return err
		}
		change.Drop = *yes
		r, err := client.SetRetention(cmd.Context(), change)
		if err != nil {
			return err
		}
		return c.printRetention(cmd, r)
	}
	group.AddCommand(show, set)
	return group
}

// retentionWords are the flags' values: days, a duration, or "file".
type retentionWords struct{ raw, minute, hour *string }

func retentionFlags(cmd *cobra.Command) retentionWords {
	return retentionWords{
		cmd.Flags().String("raw", "", "days of the samples as they came"),
		cmd.Flags().String("minute", "", "days of the roll-ups of one minute, of events and incidents"),
		cmd.Flags().String("hour", "", "days of the roll-ups of one hour"),
	}
}

// change reads the flags. What they do not name is what was chosen in tiers.
func (w retentionWords) change(cmd *cobra.Command, tiers []api.RetentionTier) (ch api.RetentionChange, err error) {
	for i, f := range []struct {
		name string
		text string
		to   **float64
	}{{"raw", *w.raw, &ch.Raw}, {"minute", *w.minute, &ch.Minute}, {"hour", *w.hour, &ch.Hour}} {
		switch {
		case !cmd.Flags().Changed(f.name):
			if i < len(tiers) {
				*f.to = tiers[i].ChosenDays
			}
		case f.text == "file" && tiers != nil:
		default:
			days, err := strconv.ParseFloat(f.text, 64)
			if err != nil {
				var d time.Duration
				d, err = sentinel.ParseDuration(f.text)
				days = d.Hours() / 24
			}
			if err != nil || days <= 0 {
				return ch, sentinel.Errorf(sentinel.Invalid, "--%s %q: want days such as 14, or a duration such as 2y", f.name, f.text)
			}
			*f.to = &days
		}
	}
	return ch, nil
}

func (c *ctl) printRetention(cmd *cobra.Command, r api.Retention) error {
	t := table{columns: []string{"tier", "days", "from", "bytes", "per day", "projected", "next maintenance removes"}}
	orNone := func(n *int64) any {
		if n == nil {
			return ""
		}
		return *n
	}
	for _, tier := range r.Tiers {
		from, drops := "worker.retention", ""
		if tier.ChosenDays != nil {
			from = "retention set"
		}
		if d := tier.Drops; d != nil {
			drops = fmt.Sprintf("%d partitions from before %s, %d bytes", d.Parts, d.Before.Format("2006-01-02"), d.Bytes)
		}
		t.add(tier.Tier, tier.Days, from, tier.Bytes, orNone(tier.BytesPerDay), orNone(tier.ProjectedBytes), drops)
	}
	t.add("all", "", "", r.Bytes, orNone(r.BytesPerDay), orNone(r.ProjectedBytes), "")
	return c.print(cmd.OutOrStdout(), t, r)
}
