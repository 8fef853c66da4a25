package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wal"
	"github.com/sentinelgo/sentinel/internal/wire"
)

func (c *ctl) inspectCommand() *cobra.Command {
	group := &cobra.Command{Use: "inspect-wal", Short: "Look into an agent's log, and rescue what it holds", Args: command.NoArgs,
		Long: `Look into an agent's log: its state folder, or the folder wal in it.

stat, ls, show, verify and export write and lock nothing, so they are safe beside a
running agent. repair and replay need the log for themselves.`,
		Example: `  sentinelctl inspect-wal stat /var/lib/sentinel-agent
  sentinelctl inspect-wal verify /var/lib/sentinel-agent || echo "damaged, or unreadable"`}
	group.AddCommand(c.walStat(), c.walList(), c.walShow(), c.walVerify(), c.walExport(), c.walRepair(), c.walReplay())
	return group
}

const walArgument = "the agent's state folder"

// openWAL inspects the log in dir, or in the folder wal in it.
func openWAL(dir string) (*wal.Inspection, error) {
	if info, err := os.Stat(filepath.Join(dir, "wal")); err == nil && info.IsDir() {
		dir = filepath.Join(dir, "wal")
	}
	in, err := wal.Inspect(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, sentinel.Errorf(sentinel.NotFound, "there is no log in %s; agent.state_dir in the agent's configuration says where it is", dir)
	}
	return in, err
}

type walStat struct {
	Generations int       `json:"generations"`
	Bytes       int64     `json:"bytes"`
	Unsettled   uint64    `json:"unsettled_records"`
	Unfinished  int       `json:"unfinished_drops"`
	Foreign     []string  `json:"foreign,omitempty"`
	Newest      time.Time `json:"newest"`
}

func (c *ctl) walStat() *cobra.Command {
	cmd := &cobra.Command{Use: "stat DIR", Short: "Sum the log up", Args: command.Args(1, 1, walArgument), Example: "  sentinelctl inspect-wal stat /var/lib/sentinel-agent"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := openWAL(args[0])
		if err != nil {
			return err
		}
		s := walStat{Generations: len(in.Generations), Unfinished: len(in.Unfinished), Foreign: in.Foreign}
		for check := range in.Verify() {
			s.Bytes += check.Bytes
			s.Unsettled += check.Records - min(check.Records, settledCount(check.Settled))
			if check.Newest.After(s.Newest) {
				s.Newest = check.Newest
			}
		}
		t := table{columns: []string{"generations", "bytes", "unsettled_records", "unfinished_drops", "foreign_names", "newest_record"}}
		t.add(s.Generations, s.Bytes, s.Unsettled, s.Unfinished, len(s.Foreign), s.Newest)
		return c.print(cmd.OutOrStdout(), t, s)
	}
	return cmd
}

func settledCount(m sentinel.Mark) (n uint64) {
	for _, r := range m.Settled {
		n += r.Count()
	}
	return n
}

type walGeneration struct {
	Ordinal uint64    `json:"ordinal"`
	Epoch   string    `json:"epoch"`
	Sealed  bool      `json:"sealed"`
	First   uint64    `json:"first"`
	Last    uint64    `json:"last"`
	Records uint64    `json:"records"`
	Settled uint64    `json:"settled"`
	Bytes   int64     `json:"bytes"`
	Oldest  time.Time `json:"oldest"`
	Newest  time.Time `json:"newest"`
}

func (c *ctl) walList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls DIR", Short: "List the log's generations, oldest first", Args: command.Args(1, 1, walArgument), Example: "  sentinelctl inspect-wal ls /var/lib/sentinel-agent -o json"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := openWAL(args[0])
		if err != nil {
			return err
		}
		t := table{columns: []string{"generation", "epoch", "sealed", "first", "last", "records", "settled", "bytes", "oldest", "newest"},
			empty: "the log is empty: everything is stored"}
		list := []walGeneration{}
		for g := range in.Verify() {
			row := walGeneration{g.Ordinal, g.Epoch.String(), g.Sealed, g.First, g.Last, g.Records, settledCount(g.Settled), g.Bytes, g.Oldest, g.Newest}
			list = append(list, row)
			t.add(row.Ordinal, row.Epoch, row.Sealed, row.First, row.Last, row.Records, row.Settled, row.Bytes, row.Oldest, row.Newest)
		}
		return c.print(cmd.OutOrStdout(), t, list)
	}
	return cmd
}

type walRecord struct {
	Epoch   string             `json:"epoch"`
	Seq     uint64             `json:"seq"`
	Kind    string             `json:"kind"`
	Time    time.Time          `json:"time"`
	Bytes   int                `json:"bytes"`
	Layout  string             `json:"layout,omitempty"`
	Samples int                `json:"samples"`
	Values  map[string]float64 `json:"values,omitempty"`
	Losses  string             `json:"losses,omitempty"`
	Problem string             `json:"problem,omitempty"`
}

func (c *ctl) walShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show DIR [EPOCH [SEQ]]", Short: "Show records, or one record with its values", Args: command.Args(1, 3, walArgument+", and perhaps an epoch and a sequence number"),
		Example: "  sentinelctl inspect-wal show /var/lib/sentinel-agent\n  sentinelctl inspect-wal show /var/lib/sentinel-agent 5f0c2a9d11e3b7a4 17"}
	limit := cmd.Flags().Int("limit", 50, "records at most, the newest ones; 0 means all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *limit < 0 {
			return sentinel.Errorf(sentinel.Invalid, "--limit %d: want a number of records, or 0 for all", *limit)
		}
		in, err := openWAL(args[0])
		if err != nil {
			return err
		}
		var epoch sentinel.Epoch
		var seq uint64
		if len(args) > 1 {
			n, err := strconv.ParseUint(args[1], 16, 64)
			if err != nil {
				return sentinel.Errorf(sentinel.Invalid, "epoch %q: want 16 hexadecimal digits; `sentinelctl inspect-wal ls` lists them", args[1])
			}
			epoch = sentinel.Epoch(n)
		}
		if len(args) > 2 {
			if seq, err = strconv.ParseUint(args[2], 10, 64); err != nil || seq == 0 {
				return sentinel.Errorf(sentinel.Invalid, "sequence number %q: want a number from 1", args[2])
			}
		}
		records, err := readWAL(in, epoch, seq, *limit)
		if err != nil {
			return err
		}
		return c.print(cmd.OutOrStdout(), recordTable(records, seq != 0), records)
	}
	return cmd
}

// readWAL returns the records of one epoch, or of all where it is 0; only the one
// with the sequence number where that is not 0, with its values.
func readWAL(in *wal.Inspection, epoch sentinel.Epoch, seq uint64, limit int) ([]walRecord, error) {
	out := []walRecord{}
	found := false
	for _, g := range in.Generations {
		if epoch != 0 && g.Epoch != epoch {
			continue
		}
		found = true
		for rec, err := range in.Records(g.Epoch, max(seq, 1)) {
			if err != nil {
				return nil, err
			}
			if seq != 0 && rec.Seq != seq {
				break
			}
			out = append(out, describe(in, rec, seq != 0))
			if limit > 0 && len(out) > 2*limit {
				out = append(out[:0], out[len(out)-limit:]...)
			}
		}
	}
	if epoch != 0 && !found {
		return nil, sentinel.Errorf(sentinel.NotFound, "the log has no epoch %s; `sentinelctl inspect-wal ls` lists them", epoch)
	}
	if seq != 0 && len(out) == 0 {
		return nil, sentinel.Errorf(sentinel.NotFound, "epoch %s has no readable record %d", epoch, seq)
	}
	if limit > 0 && len(out) > limit {
		out = out[len(out)-limit:]
	}
	return out, nil
}

func describe(in *wal.Inspection, rec wal.Record, values bool) walRecord {
	r := walRecord{Epoch: rec.Epoch.String(), Seq: rec.Seq, Time: rec.Time, Bytes: len(rec.Data)}
	if rec.Kind == wal.KindLosses {
		r.Kind = "losses"
		var report sentinelpb.LossReport
		if err := proto.Unmarshal(rec.Data, &report); err != nil {
			r.Problem = "not a loss report"
			return r
		}
		r.Losses = protojson.MarshalOptions{}.Format(&report)
		return r
	}
	r.Kind, r.Layout = "cycle", rec.Layout.String()
	layout, cycle, err := decodeRecord(in, rec)
	if err != nil {
		r.Problem = err.Error()
		return r
	}
	r.Samples = cycle.Samples()
	if values {
		r.Values = map[string]float64{}
		for i, v := range cycle.Values {
			if !sentinel.IsAbsent(v) {
				r.Values[layout[i].String()] = v
			}
		}
	}
	return r
}

// decodeRecord returns the cycle that a record holds, and its layout.
func decodeRecord(in *wal.Inspection, rec wal.Record) (sentinel.Layout, sentinel.Cycle, error) {
	definition, ok := in.Layout(rec.Epoch, rec.Layout)
	if !ok {
		return nil, sentinel.Cycle{}, errors.New("its layout is not in the log")
	}
	limits := sentinel.DefaultLimits()
	layout, err := wire.DecodeLayout(definition, limits)
	if err != nil {
		return nil, sentinel.Cycle{}, err
	}
	cycles, err := wire.DecodeCycles(rec.Data, limits, len(layout))
	if err != nil || len(cycles) != 1 {
		return nil, sentinel.Cycle{}, fmt.Errorf("not one cycle: %w", err)
	}
	return layout, cycles[0], nil
}

func recordTable(records []walRecord, values bool) table {
	if values && len(records) == 1 && records[0].Kind == "cycle" && records[0].Problem == "" {
		t := table{columns: []string{"series", "value"}}
		for _, name := range sortedNames(records[0].Values) {
			t.add(name, records[0].Values[name])
		}
		return t
	}
	t := table{columns: []string{"epoch", "seq", "time", "kind", "bytes", "samples", "note"}, empty: "the log is empty: everything is stored"}
	for _, r := range records {
		t.add(r.Epoch, r.Seq, r.Time, r.Kind, r.Bytes, r.Samples, r.Losses+r.Problem)
	}
	return t
}

type walDamage struct {
	Epoch   string              `json:"epoch"`
	Records uint64              `json:"records"`
	Missing []sentinel.SeqRange `json:"missing,omitempty"`
	Damage  []wal.Damage        `json:"damage,omitempty"`
}

func (c *ctl) walVerify() *cobra.Command {
	cmd := &cobra.Command{Use: "verify DIR", Short: "Read every byte and report damage", Args: command.Args(1, 1, walArgument),
		Long: `Read every byte of the log and report damage.

The exit code is 6 where acknowledged records are missing or bytes are damaged.
Damaged bytes at the end of a generation are the trace of a crash; nothing there
was ever acknowledged.`,
		Example: "  sentinelctl inspect-wal verify /var/lib/sentinel-agent"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := openWAL(args[0])
		if err != nil {
			return err
		}
		t := table{columns: []string{"epoch", "records", "verdict"}, empty: "the log is empty: everything is stored"}
		list, whole := []walDamage{}, true
		for g := range in.Verify() {
			d := walDamage{g.Epoch.String(), g.Records, g.Missing, g.Damage}
			list = append(list, d)
			verdict := "good"
			if len(d.Missing)+len(d.Damage) > 0 {
				verdict, whole = damageText(d), false
			}
			t.add(d.Epoch, d.Records, verdict)
		}
		if err := c.print(cmd.OutOrStdout(), t, list); err != nil {
			return err
		}
		if !whole {
			return command.ErrDiffers
		}
		return nil
	}
	return cmd
}

func damageText(d walDamage) string {
	var parts []string
	for _, m := range d.Missing {
		parts = append(parts, fmt.Sprintf("records %d to %d are missing", m.First, m.Last))
	}
	for _, x := range d.Damage {
		parts = append(parts, fmt.Sprintf("%s at byte %d: %d bytes, %s", x.File, x.Offset, x.Bytes, x.What))
	}
	return strings.Join(parts, "; ")
}
