package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/backoff"
	"github.com/sentinelgo/sentinel/internal/broker/brokertest"
	"github.com/sentinelgo/sentinel/internal/devca"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/uplink"
)

// TestP19AThousandAgentsFromOneToken: a fleet comes up with one token for a thousand
// hosts; all of them get an identity of their own, within a minute, and nobody after
// them. Those that the gateway turns away for its pace ask again.
func TestP19AThousandAgentsFromOneToken(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds and more")
	}
	const agents = 1000
	log := slog.New(slog.DiscardHandler)
	db := postgrestest.New(t)
	dir := t.TempDir()
	master := filepath.Join(dir, "master.key")
	must(t, sign.CreateMasterKey(master))
	vault, err := sign.LoadVault(master)
	must(t, err)
	registry := fleet.NewRegistry(db, vault)
	token, _, err := registry.CreateEnrolmentToken(t.Context(), fleet.Console("test"), postgres.EnrolmentToken{Name: "fleet", MaxUses: agents}, time.Hour)
	must(t, err)
	tokenFile := filepath.Join(dir, "token")
	must(t, os.WriteFile(tokenFile, []byte(token), 0o600))

	b, _ := brokertest.Open(t)
	certs, err := devca.Ensure(t.TempDir())
	must(t, err)
	pair, err := tls.LoadX509KeyPair(certs.Cert, certs.Key)
	must(t, err)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	keys := fleet.NewKeyring(db, vault, log)
	gateway := ingest.New(ingest.DefaultConfig(), ingest.Deps{Keys: keys, Rotation: fleet.NewRotation(registry, fleet.DefaultKeysConfig(), log),
		Enrol: enrolment{registry}, Configs: configs{db}, Events: events{db}, Broker: b, Resets: b, Presence: presence{db, keys}, Announcer: b, Metrics: telemetry.NewRegistry(), Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- gateway.Run(ctx, lis, &tls.Config{Certificates: []tls.Certificate{pair}}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	cfg := uplink.DefaultConfig()
	cfg.Address, cfg.CAFile, cfg.EnrolmentTokenFile = lis.Addr().String(), certs.CA, tokenFile
	var mu sync.Mutex
	seen := map[sentinel.AgentID]bool{}
	begin := time.Now()
	var group sync.WaitGroup
	for i := range agents {
		group.Go(func() {
			store := sign.FileStore(filepath.Join(dir, fmt.Sprint("agent-", i), "credential.json"))
			info := &sentinelpb.AgentInfo{Hostname: fmt.Sprint("host-", i)}
			wait := backoff.Backoff{Base: 500 * time.Millisecond, Max: 10 * time.Second}
			for {
				cred, err := uplink.Enrol(t.Context(), cfg, store, info)
				if err != nil && sentinel.CodeOf(err) == sentinel.Unavailable && time.Since(begin) < time.Minute && wait.Wait(t.Context()) == nil {
					continue
				}
				mu.Lock()
				defer mu.Unlock()
				if err != nil || seen[cred.Agent] {
					t.Errorf("agent %d: %q, %v", i, cred.Agent, err)
				}
				seen[cred.Agent] = true
				return
			}
		})
	}
	group.Wait()
	took := time.Since(begin)
	t.Logf("%d agents enrolled in %s", len(seen), took.Round(10*time.Millisecond))
	if len(seen) != agents || took > time.Minute {
		t.Errorf("%d of %d agents have an identity after %s", len(seen), agents, took)
	}
	late := sign.FileStore(filepath.Join(dir, "late", "credential.json"))
	if _, err := uplink.Enrol(t.Context(), cfg, late, &sentinelpb.AgentInfo{}); sentinel.CodeOf(err) != sentinel.Unauthenticated {
		t.Errorf("one more: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
