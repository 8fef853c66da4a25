package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func (c *ctl) dlqCommand() *cobra.Command {
	group := &cobra.Command{Use: "dlq", Short: "Dead letters: batches that could not be used", Args: command.NoArgs,
		Long: `Dead letters: batches that could not be used, with their exact bytes. Those of an
agent are counted as quarantined in its books. Orphans are charged to nobody:
nothing that they say of themselves is proven.`,
		Example: "  sentinelctl dlq ls --reason bad_time\n  sentinelctl dlq show 7\n  sentinelctl dlq replay 7\n  sentinelctl dlq purge --older-than 30d"}
	group.AddCommand(c.dlqList(), c.dlqShow(), c.dlqReplay(), c.dlqPurge())
	return group
}

func letterFlags(cmd *cobra.Command, f *api.LetterFilter) {
	cmd.Flags().StringVar(&f.Agent, "agent", "", "only those that are charged to this agent, by id or hostname")
	cmd.Flags().StringVar(&f.Reason, "reason", "", "only those with this reason")
	cmd.Flags().BoolVar(&f.Orphans, "orphans", false, "only those of no agent")
}

// named replaces an agent's hostname in the filter by its id.
func named(ctx context.Context, client *api.Client, f api.LetterFilter) (api.LetterFilter, error) {
	if f.Agent == "" {
		return f, nil
	}
	a, err := findAgent(ctx, client, f.Agent)
	f.Agent = a.ID
	return f, err
}

func (c *ctl) dlqList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List dead letters, newest first", Args: command.NoArgs}
	var f api.LetterFilter
	letterFlags(cmd, &f)
	limit := cmd.Flags().Int("limit", 100, "at most so many")
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 1 {
			return sentinel.Errorf(sentinel.Invalid, "--limit wants at least 1")
		}
		return c.watching(cmd, *watch, func(ctx context.Context, client *api.Client) error {
			f, err := named(ctx, client, f)
			if err != nil {
				return err
			}
			letters, err := client.DeadLetters(ctx, f, *limit)
			if err != nil {
				return err
			}
			t := table{columns: []string{"id", "agent", "epoch", "seq", "count", "charged", "reason", "created", "state", "detail"}, empty: "there is no such dead letter"}
			for _, l := range letters {
				t.add(l.ID, owner(l), l.Epoch, l.Seq, l.Count, l.Charged, l.Reason, ago{l.CreatedAt}, letterState(l), l.Detail)
			}
			return c.print(cmd.OutOrStdout(), t, letters)
		})
	}
	return cmd
}

func owner(l api.DeadLetter) string {
	if l.Orphan {
		return "orphan of " + l.Agent
	}
	return l.Agent
}

func letterState(l api.DeadLetter) string {
	switch {
	case l.TriedAt != nil:
		return "refused again"
	case l.ReplayedAt != nil:
		return "replayed"
	}
	return "kept"
}

func letterID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, sentinel.Errorf(sentinel.Invalid, "%.40q is not a dead letter's id; `sentinelctl dlq ls` lists them", text)
	}
	return id, nil
}

func (c *ctl) dlqShow() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show what a dead letter holds", Args: command.Args(1, 1, "the letter's id (`sentinelctl dlq ls`)"), ValidArgsFunction: c.completeLetter,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := letterID(args[0])
			if err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			l, err := client.DeadLetter(cmd.Context(), id)
			if err != nil {
				return err
			}
			t := table{columns: []string{"what", "value"}}
			t.add("agent", owner(l.DeadLetter))
			t.add("records", fmt.Sprintf("%d from %d of epoch %s, %d of them quarantined by it", l.Count, l.Seq, l.Epoch, l.Charged))
			t.add("reason", l.Reason)
			t.add("detail", l.Detail)
			t.add("received", l.ReceivedAt)
			t.add("state", letterState(l.DeadLetter))
			t.add("bytes", l.Bytes)
			t.add("codec", l.Codec)
			t.add("key", l.KeyID)
			t.add("layout", l.Layout)
			t.add("content", fmt.Sprintf("%d cycles of %d series, %d losses", l.Cycles, l.Series, l.Losses))
			t.add("from", orZero(l.From))
			t.add("to", orZero(l.To))
			t.add("unread", l.Unread)
			return c.print(cmd.OutOrStdout(), t, l)
		}}
}

func (c *ctl) dlqReplay() *cobra.Command {
	cmd := &cobra.Command{Use: "replay ID...", Short: "Hand dead letters to the pipeline again", Args: command.Args(1, 1000, "the letters' ids (`sentinelctl dlq ls`)"),
		Long: `Hand dead letters to the pipeline again, byte for byte: signature, limits and ledger
are judged anew. What is of use now becomes stored, in the books too, and the letter
goes; what is not stays.

The exit code is 6 where a letter was refused again, or is not decided within --wait.`,
		Example: "  sentinelctl dlq replay 7 8 9", ValidArgsFunction: c.completeLetter}
	wait := command.Duration(cmd, "wait", 15*time.Second, "how long to wait for what becomes of each; 0 does not wait")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var ids []int64
		for _, a := range args {
			id, err := letterID(a)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		t, differs := table{columns: []string{"id", "outcome", "detail"}}, false
		var results []replayed
		for _, id := range ids {
			if _, err := client.Replay(cmd.Context(), id); err != nil {
				return err
			}
			r := replayed{ID: id, Outcome: "handed on"}
			if *wait > 0 {
				if r, err = outcome(cmd.Context(), client, id, *wait); err != nil {
					return err
				}
				differs = differs || r.Outcome != "stored"
			}
			results = append(results, r)
			t.add(r.ID, r.Outcome, r.Detail)
		}
		if err := c.print(cmd.OutOrStdout(), t, results); err != nil {
			return err
		}
		if differs {
			return command.ErrDiffers
		}
		return nil
	}
	return cmd
}

// replayed is what became of a letter.
type replayed struct {
	ID      int64  `json:"id"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"`
}

// outcome waits until a replayed letter is gone, which means that it is stored, or
// was refused again. An orphan that is accepted stays in the list, to be purged.
func outcome(ctx context.Context, client *api.Client, id int64, patience time.Duration) (replayed, error) {
	end := time.Now().Add(patience)
	for {
		l, err := client.DeadLetter(ctx, id)
		switch {
		case sentinel.CodeOf(err) == sentinel.NotFound:
			return replayed{ID: id, Outcome: "stored"}, nil
		case err != nil:
			return replayed{}, err
		case l.TriedAt != nil:
			return replayed{ID: id, Outcome: "refused again", Detail: l.Reason + ": " + l.Detail}, nil
		case time.Now().After(end):
			r := replayed{ID: id, Outcome: "not decided", Detail: "the pipeline has not come to it; `sentinelctl dlq show " + strconv.FormatInt(id, 10) + "` tells later"}
			if l.Charged == 0 {
				r.Detail = "no records are charged to this letter, so it stays; `sentinelctl agent audit` shows what was stored, `sentinelctl dlq purge` removes it"
			}
			return r, nil
		}
		select {
		case <-ctx.Done():
			return replayed{}, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (c *ctl) dlqPurge() *cobra.Command {
	cmd := &cobra.Command{Use: "purge [ID]", Short: "Remove dead letters and their bytes for good", Args: command.Args(0, 1, "one letter's id, or flags that say which"),
		Long: `Remove one dead letter, or all that fit the flags, for good. The books stay as they
are: what was quarantined stays counted so. Removing everything wants --all.`,
		Example: "  sentinelctl dlq purge 7\n  sentinelctl dlq purge --orphans --older-than 7d", ValidArgsFunction: c.completeLetter}
	var f api.LetterFilter
	letterFlags(cmd, &f)
	cmd.Flags().Var((*command.DurationValue)(&f.OlderThan), "older-than", "only those kept for longer than this")
	all := cmd.Flags().Bool("all", false, "every dead letter there is")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		chosen := f != (api.LetterFilter{})
		if (len(args) == 1) == (chosen || *all) || (chosen && *all) {
			return sentinel.Errorf(sentinel.Invalid, "want either one letter's id, or flags that say which, or --all; `sentinelctl dlq purge --help` shows examples")
		}
		client, err := c.client()
		if err != nil {
			return err
		}
		var done api.Purged
		if len(args) == 1 {
			id, err := letterID(args[0])
			if err != nil {
				return err
			}
			done, err = client.Purge(cmd.Context(), id)
			return c.said(cmd, done, err, "removed dead letter %d", id)
		}
		if f, err = named(cmd.Context(), client, f); err == nil {
			done, err = client.PurgeAll(cmd.Context(), f)
		}
		return c.said(cmd, done, err, "removed %d dead letters", done.Letters)
	}
	return cmd
}

func (c *ctl) completeLetter(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return c.complete(cmd, nil, func(ctx context.Context, client *api.Client) (out []string) {
		letters, _ := client.DeadLetters(ctx, api.LetterFilter{}, 50)
		for _, l := range letters {
			out = append(out, strconv.FormatInt(l.ID, 10)+"\t"+printable(l.Reason+" of "+owner(l)))
		}
		return out
	})
}
