package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/uplink"
	"github.com/sentinelgo/sentinel/internal/wal"
)

// exported is one sample, as export writes it.
type exported struct {
	Epoch  string            `json:"epoch"`
	Seq    uint64            `json:"seq"`
	Time   time.Time         `json:"time"`
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Value  jsonFloat         `json:"value"`
}

// jsonFloat writes what JSON has no number for as a string.
type jsonFloat float64

func (f jsonFloat) MarshalJSON() ([]byte, error) {
	raw, err := json.Marshal(float64(f))
	if err != nil {
		return json.Marshal(strconv.FormatFloat(float64(f), 'g', -1, 64))
	}
	return raw, nil
}

func (c *ctl) walExport() *cobra.Command {
	cmd := &cobra.Command{Use: "export DIR", Short: "Write every readable sample to standard output", Args: command.Args(1, 1, walArgument),
		Long: `Write every readable sample to standard output, oldest first: with -o csv as a
table, else as one JSON object in a line. Damaged records are left out and counted;
the exit code is 6 where there are any. Nothing is written to the log or locked.`,
		Example: "  sentinelctl inspect-wal export /mnt/old/var/lib/sentinel-agent >samples.jsonl\n  sentinelctl inspect-wal export /var/lib/sentinel-agent -o csv | gzip >samples.csv.gz"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := openWAL(args[0])
		if err != nil {
			return err
		}
		write, done := exporter(cmd.OutOrStdout(), c.output == "csv")
		bad := 0
		for _, g := range in.Generations {
			for rec, err := range in.Records(g.Epoch, 1) {
				if err != nil {
					return err
				}
				if rec.Kind != wal.KindCycle {
					continue
				}
				layout, cycle, err := decodeRecord(in, rec)
				if err != nil {
					bad++
					continue
				}
				for i, v := range cycle.Values {
					if sentinel.IsAbsent(v) {
						continue
					}
					one := exported{Epoch: rec.Epoch.String(), Seq: rec.Seq, Time: cycle.Time.UTC(), Name: layout[i].Name, Labels: map[string]string{}, Value: jsonFloat(v)}
					for _, l := range layout[i].Labels {
						one.Labels[l.Name] = l.Value
					}
					if err := write(one); err != nil {
						return err
					}
				}
			}
		}
		if err := done(); err != nil {
			return err
		}
		for check := range in.Verify() {
			bad += len(check.Missing) + len(check.Damage)
		}
		if bad > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "the log is damaged in %d places, whose samples are not here; `sentinelctl inspect-wal verify` shows them\n", bad)
			return command.ErrDiffers
		}
		return nil
	}
	return cmd
}

// exporter returns how samples are written, and what ends the writing.
func exporter(w io.Writer, table bool) (write func(exported) error, done func() error) {
	if !table {
		enc := json.NewEncoder(w)
		return func(e exported) error { return enc.Encode(e) }, func() error { return nil }
	}
	out := csv.NewWriter(w)
	_ = out.Write([]string{"epoch", "seq", "time", "name", "labels", "value"}) // Error tells
	return func(e exported) error {
		return out.Write([]string{e.Epoch, strconv.FormatUint(e.Seq, 10), exact(e.Time), e.Name, labelText(e.Labels), exact(float64(e.Value))})
	}, func() error { out.Flush(); return out.Error() }
}

// ownLog opens the log in dir for writing. Nobody else may have it open.
func ownLog(dir string, logger *slog.Logger) (*wal.Log, error) {
	if _, err := openWAL(dir); err != nil {
		return nil, err
	}
	if info, err := os.Stat(filepath.Join(dir, "wal")); err == nil && info.IsDir() {
		dir = filepath.Join(dir, "wal")
	}
	cfg := wal.DefaultConfig()
	cfg.MaxBytes, cfg.MaxAge = 1<<60, 100*365*24*time.Hour // nothing gives way here
	log, err := wal.Open(dir, cfg, logger)
	if err != nil && sentinel.CodeOf(err) == sentinel.Conflict {
		return nil, sentinel.Errorf(sentinel.Conflict, "%w; an agent works with this log: stop it first", err)
	}
	return log, err
}

func (c *ctl) walRepair() *cobra.Command {
	cmd := &cobra.Command{Use: "repair DIR", Short: "Read everything and declare what is damaged as lost", Args: command.Args(1, 1, walArgument),
		Long: `Read everything and declare what is damaged as lost, as an agent does by itself when
it comes to send it. The declarations go to the service with the next session, and
the books balance. No readable record is changed or removed. The agent must not run.`,
		Example: "  sentinelctl inspect-wal repair /var/lib/sentinel-agent"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		log, err := ownLog(args[0], slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		defer log.Close() //nolint:errcheck // again, where it was closed well
		t := table{columns: []string{"epoch", "records"}, empty: "the log is empty: everything is stored"}
		for _, g := range log.Generations() {
			n, err := readThrough(log, g.Epoch)
			if err != nil {
				return err
			}
			t.add(g.Epoch.String(), n)
		}
		stats := log.Stats()
		if err := c.print(cmd.OutOrStdout(), t, stats); err != nil {
			return err
		}
		if err := log.Close(); err != nil {
			return err
		}
		if n := stats.Dropped[sentinel.LossDamaged]; n > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "%d records are damaged and declared lost\n", n)
		}
		return nil
	}
	return cmd
}

// readThrough reads an epoch to its end, which declares what is damaged in it, and
// returns how many records there are.
func readThrough(log *wal.Log, epoch sentinel.Epoch) (n int, err error) {
	r, err := log.Reader(epoch, 1)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n++
	}
}

func (c *ctl) walReplay() *cobra.Command {
	cmd := &cobra.Command{Use: "replay DIR --server HOST:PORT", Short: "Deliver what a log holds to the service, in its agent's place", Args: command.Args(1, 1, walArgument),
		Long: `Deliver what a log holds to the service, in its agent's place: for a disk that was
taken out of a host that will not come back. It speaks with the agent's credential
(credential.json in the state folder), sends what is not settled, and ends when the
service has stored everything. Doing it again is harmless. The agent must not run.`,
		Example: "  sentinelctl inspect-wal replay /mnt/old/var/lib/sentinel-agent --server sentinel.example:7443 --ca-file ca.crt"}
	cfg := uplink.DefaultConfig()
	cmd.Flags().StringVar(&cfg.Address, "server", "", "host:port of the gateway")
	cmd.Flags().StringVar(&cfg.CAFile, "ca-file", "", "authorities that may vouch for it, in PEM; those of the system by default")
	cmd.Flags().StringVar(&cfg.CAPin, "ca-pin", "", "or the authority's public key, sha256:…")
	credential := cmd.Flags().String("credential", "", "the agent's credential [credential.json in DIR]")
	hostname := cmd.Flags().String("hostname", "", "the name of the host that the log is from; this host's by default")
	within := command.Duration(cmd, "within", time.Hour, "give up after this; what is delivered stays delivered")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cfg.Address == "" {
			return sentinel.Errorf(sentinel.Invalid, "--server: want host:port of the gateway")
		}
		if err := cfg.Validate(); err != nil {
			return err
		}
		path := *credential
		if path == "" {
			path = filepath.Join(args[0], "credential.json")
		}
		store, err := sign.OpenStore(path, sign.StoreAuto)
		if err != nil {
			return err
		}
		if _, err := store.Load(); err != nil {
			return err
		}
		logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		log, err := ownLog(args[0], logger)
		if err != nil {
			return err
		}
		defer log.Close() //nolint:errcheck // all that it would write are marks, which come again
		if *hostname == "" {
			*hostname, _ = os.Hostname() // an agent without a name has none
		}
		up := uplink.New(cfg, uplink.Deps{Log: log, Identity: store, Metrics: telemetry.NewRegistry(), Logger: logger,
			Info:       &sentinelpb.AgentInfo{Hostname: *hostname, Version: command.Version(version) + " (replay)", Os: runtime.GOOS, Arch: runtime.GOARCH},
			DeadLetter: uplink.DeadLetters{Dir: filepath.Join(args[0], "deadletters"), MaxBytes: 1 << 30}})
		ctx, cancel := context.WithTimeout(cmd.Context(), *within)
		defer cancel()
		err = deliver(ctx, cmd.ErrOrStderr(), log, up)
		if left := undelivered(log); left > 0 {
			reason := up.Status().LastError
			return sentinel.Errorf(sentinel.Unavailable, "not everything is stored yet, %d generations of the log are left: %s; the same command goes on where this one stopped", left, reason)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), "everything in the log is stored")
		return err
	}
	return cmd
}

// deliver runs the uplink until everything is settled or ctx ends, and says how far
// it is.
func deliver(ctx context.Context, progress io.Writer, log *wal.Log, up *uplink.Uplink) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return up.Run(ctx) })
	group.Go(func() error {
		defer stop()
		look := time.NewTicker(100 * time.Millisecond)
		defer look.Stop()
		said := time.Now()
		for {
			left := undelivered(log)
			if left == 0 {
				return nil
			}
			if time.Since(said) > 5*time.Second {
				said = time.Now()
				fmt.Fprintf(progress, "%d generations of the log to go\n", left)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-look.C:
			}
		}
	})
	return group.Wait()
}

// undelivered returns how many generations of the log hold something that the service
// is not done with. One that it is done with leaves the log.
func undelivered(log *wal.Log) (n int) {
	for _, g := range log.Generations() {
		if g.Appended == 0 || settledCount(g.Settled) < g.Appended { // 0: not counted yet
			n++
		}
	}
	return n
}
