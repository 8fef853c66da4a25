package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

const (
	soon          = 14 * 24 * time.Hour // what expires by then is told
	clockBound    = 5 * time.Second
	lagBound      = time.Minute
	freeBound     = 512 << 20
	fillBound     = 0.8
	probePatience = 5 * time.Second
)

// finding is what one check came to.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
	Next  string `json:"next,omitempty"` // what to run where it is not well
}

type findings []finding

func (f *findings) good(check, format string, args ...any) {
	*f = append(*f, finding{check, true, fmt.Sprintf(format, args...), ""})
}

func (f *findings) bad(check, next, format string, args ...any) {
	*f = append(*f, finding{check, false, fmt.Sprintf(format, args...), next})
}

// holds adds a finding that is good where ok.
func (f *findings) holds(ok bool, check, next, format string, args ...any) {
	if ok {
		next = ""
	}
	*f = append(*f, finding{check, ok, fmt.Sprintf(format, args...), next})
}

func (c *ctl) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "doctor", Short: "Check what usually goes wrong, and say what to run next", Args: command.NoArgs,
		Long: `Check what usually goes wrong: the server's reach, certificate and clock, the token,
the way of the samples, dead letters and silent agents. With --state-dir also an
agent's host: credential, log, disk, and with --gateway the way to the server.
Nothing is changed. Without a configured server only the agent's side is checked.

The exit code is 6 where something is not well.`,
		Example: "  sentinelctl doctor\n  sentinelctl doctor --state-dir /var/lib/sentinel-agent --gateway sentinel.example:7443"}
	dir := cmd.Flags().String("state-dir", "", "an agent's state folder on this host (agent.state_dir)")
	gateway := cmd.Flags().String("gateway", "", "address that the agent connects to (agent.server.address)")
	ca := cmd.Flags().String("gateway-ca", "", "authority of the gateway's certificate, in PEM (agent.server.ca_file); else that of the configuration")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		conn, err := c.connection()
		if err != nil {
			return err
		}
		if conn.Server == "" && *dir == "" && *gateway == "" {
			_, err := c.client() // it says what is missing
			return err
		}
		var f findings
		if conn.Server != "" {
			c.examineServer(cmd.Context(), &f)
		}
		if *dir != "" {
			examineAgent(&f, *dir)
		}
		if *gateway != "" {
			if *ca == "" {
				*ca = conn.CAFile
			}
			examineGateway(cmd.Context(), &f, *gateway, *ca)
		}
		well := true
		t := table{columns: []string{"", "check", "found", "next"}}
		for _, one := range f {
			mark := "ok"
			if !one.OK {
				mark, well = "BAD", false
			}
			t.add(mark, one.Check, one.Found, one.Next)
		}
		if err := c.print(cmd.OutOrStdout(), t, f); err != nil {
			return err
		}
		if !well {
			return command.ErrDiffers
		}
		return nil
	}
	return cmd
}

func (c *ctl) examineServer(ctx context.Context, f *findings) {
	client, err := c.client()
	if err != nil {
		f.bad("configuration", "sentinelctl --help", "%v", err)
		return
	}
	p, err := client.Probe(ctx)
	if err != nil {
		f.bad("server", "systemctl status sentinel-server", "%v", err)
		return
	}
	f.good("server", "answers")
	f.holds(time.Until(p.CertExpires) > soon, "certificate", "renew server.cert_file and restart the server", "valid until %s", p.CertExpires.Local().Format(time.DateTime))
	difference := time.Until(p.Time).Abs().Round(time.Second)
	f.holds(p.Time.IsZero() || difference <= clockBound, "clock", "timedatectl", "differs from the server's by %s", difference)
	who, err := client.Who(ctx)
	if err != nil {
		f.bad("token", "sentinel-server token create", "%v", err)
		return
	}
	expiry := "does not expire"
	if who.ExpiresAt != nil {
		expiry = "expires " + who.ExpiresAt.Local().Format(time.DateTime)
	}
	f.holds(who.ExpiresAt == nil || time.Until(*who.ExpiresAt) > 24*time.Hour, "token", "sentinelctl token create", "of the role %s, %s", who.Role, expiry)
	s, err := client.Status(ctx)
	if err != nil {
		f.bad("database", "journalctl -u sentinel-server", "%v", err)
		return
	}
	f.good("database", "%s on PostgreSQL %s, schema %d", s.Database.Engine, s.Database.Version, s.Database.Schema)
	examinePipeline(f, s)
}

func examinePipeline(f *findings, s api.Status) {
	if s.Broker == nil {
		f.bad("broker", "journalctl -u sentinel-server", "does not answer the server")
	} else {
		fill := float64(s.Broker.Bytes) / float64(max(1, s.Broker.MaxBytes))
		f.holds(fill < fillBound, "broker", "sentinelctl pipeline status --watch 5s", "its stream is %.0f %% full", 100*fill)
		f.holds(len(s.Broker.Consumers) > 0, "worker", "systemctl status sentinel-worker", "%d read the stream", len(s.Broker.Consumers))
		for _, one := range s.Broker.Consumers {
			f.holds(one.LagSeconds < lagBound.Seconds(), "consumer "+one.Name, "sentinelctl pipeline status --watch 5s", "%d messages behind, the oldest %.1f s old", one.Pending, one.LagSeconds)
		}
	}
	f.holds(s.DeadLetters == 0, "dead letters", "sentinelctl dlq ls", "%d are kept", s.DeadLetters)
	f.holds(s.Agents["silent"] == 0, "agents", "sentinelctl agent ls --state silent", "%d are up, %d silent, %d never seen, %d disabled",
		s.Agents["up"], s.Agents["silent"], s.Agents["never seen"], s.Agents["disabled"])
}

// examineAgent looks at an agent's host, and changes nothing there.
func examineAgent(f *findings, dir string) {
	path := filepath.Join(dir, "credential.json")
	var cred sign.Credential
	store, err := sign.OpenStore(path, sign.StoreAuto)
	if err == nil {
		cred, err = store.Load()
	}
	info, serr := os.Stat(path)
	switch {
	case err != nil:
		f.bad("credential", "sentinelctl agent register --out "+path, "%v", err)
	case serr == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		f.bad("credential", "chmod 600 "+path, "others than its owner may read it (mode %o)", info.Mode().Perm())
	default:
		f.good("credential", "of agent %s", cred.Agent)
	}
	if in, err := openWAL(dir); err != nil {
		f.bad("log", "sentinelctl inspect-wal stat "+dir, "%v", err)
	} else {
		epochs, damaged := 0, 0
		for check := range in.Verify() {
			epochs++
			if len(check.Damage) > 0 || len(check.Missing) > 0 {
				damaged++
			}
		}
		f.holds(damaged == 0, "log", "sentinelctl inspect-wal verify "+dir, "%d generations, %d of them damaged", epochs, damaged)
	}
	if free, ok := freeBytes(dir); ok {
		f.holds(free > freeBound, "disk", "df -h "+dir, "%d MiB are free", free>>20)
	}
}

// examineGateway connects as far as TLS goes.
func examineGateway(ctx context.Context, f *findings, address, caFile string) {
	t := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			f.bad("gateway", "name its authority with --gateway-ca", "%v", err)
			return
		}
		t.RootCAs = x509.NewCertPool()
		t.RootCAs.AppendCertsFromPEM(pem)
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		f.bad("gateway", "sentinelctl doctor --help", "%v", sentinel.Errorf(sentinel.Invalid, "--gateway: want host:port"))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	conn, err := (&tls.Dialer{Config: t}).DialContext(ctx, "tcp", address)
	if err != nil {
		f.bad("gateway", "check the address, the firewall and --gateway-ca", "%v", err)
		return
	}
	conn.Close()
	f.good("gateway", "answers at %s", address)
}
