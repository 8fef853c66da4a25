package postgres_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sentinelgo/sentinel/internal/localpg"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// cutter is a proxy in front of the server that cuts the connection around the
// next COMMIT when it is told to.
type cutter struct {
	addr   string
	server string // network and address of the real one
	net    string
	mode   atomic.Int32
	cuts   atomic.Int32
}

const (
	pass         = iota
	loseRequest  // the server never hears COMMIT
	loseResponse // the server commits, the client never hears of it
)

func newCutter(t *testing.T, target string) *cutter {
	t.Helper()
	cfg, err := pgconn.ParseConfig(target)
	must(t, err)
	c := &cutter{}
	c.net, c.server = pgconn.NetworkAddress(cfg.Host, cfg.Port)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	c.addr = l.Addr().String()
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(client)
		}
	}()
	return c
}

func (c *cutter) url(t *testing.T, target string) string {
	u, err := url.Parse(target)
	must(t, err)
	q := u.Query()
	q.Del("host")
	q.Del("port")
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = c.addr, q.Encode()
	return u.String()
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(c.net, c.server)
	if err != nil {
		return
	}
	defer server.Close()
	var muted atomic.Bool
	answered := make(chan struct{})
	go func() {
		buf := make([]byte, 64<<10)
		var once sync.Once
		for {
			n, err := server.Read(buf)
			if muted.Load() {
				once.Do(func() { close(answered) })
			} else {
				client.Write(buf[:n])
			}
			if err != nil {
				client.Close()
				return
			}
		}
	}()
	first := true
	for {
		head := make([]byte, 5)
		if first {
			head = head[:4]
		}
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[len(head)-4:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if !first && head[0] == 'Q' && bytes.HasPrefix(bytes.ToLower(body), []byte("commit")) {
			switch c.mode.Swap(pass) {
			case loseRequest:
				c.cuts.Add(1)
				return
			case loseResponse:
				c.cuts.Add(1)
				muted.Store(true)
				server.Write(append(head, body...))
				<-answered
				return
			}
		}
		first = false
		if _, err := server.Write(append(head, body...)); err != nil {
			return
		}
	}
}

func TestP10CommitWithUnknownOutcome(t *testing.T) {
	f := newFixture(t, 3)
	c := newCutter(t, f.url)
	db := postgrestest.Open(t, c.url(t, f.url))
	want := map[uint64]bool{}
	for i, mode := range []int32{loseRequest, loseResponse, loseResponse, loseRequest} {
		first := uint64(i*10 + 1)
		group := []postgres.Batch{f.batch(1, first, first+4), f.quarantine(1, first+5, first+5),
			f.losses(1, first+6, lost(2, first, first+1, sentinel.LossAge))}
		c.mode.Store(mode)
		_, err := db.Commit(t.Context(), group, nil)
		if err == nil || postgres.Classify(err) != postgres.Outage {
			t.Fatalf("cut commit: %v", err)
		}
		before, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM scrapes`)
		must(t, err)
		if committed := before == (i+1)*5; committed != (mode == loseResponse) {
			t.Errorf("round %d: %d rows before the retry", i, before)
		}
		for range 2 { // and once more, for good measure
			out, err := db.Commit(t.Context(), group, nil)
			must(t, err)
			if !out[0].Mark.Settled[len(out[0].Mark.Settled)-1].Contains(first + 6) {
				t.Errorf("mark %v", out[0].Mark)
			}
		}
		for s := range uint64(5) {
			want[first+s] = true
		}
	}
	if c.cuts.Load() != 4 {
		t.Errorf("%d connections were cut", c.cuts.Load())
	}
	f.checkStored(t, map[sentinel.Epoch]map[uint64]bool{1: want})
	total := f.books(t).Total
	if total.StoredCycles != 20 || total.Quarantined != 4 || total.StoredReports != 4 || total.Lost[sentinel.LossAge] != 8 {
		t.Errorf("books %+v", total)
	}
	letters, err := f.Letters(t.Context(), postgres.LetterFilter{})
	must(t, err)
	if len(letters) != 4 {
		t.Errorf("%d letters", len(letters))
	}
}

// Sessions are killed at random moments while several workers commit and retry.
func TestP10TerminatedSessions(t *testing.T) {
	f := newFixture(t, 3)
	const records = 150
	var wg, killer sync.WaitGroup
	stop := make(chan struct{})
	kills := 0
	killer.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(15 * time.Millisecond):
			}
			n, err := postgres.One[int](t.Context(), f.DB, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'victim'`)
			if err == nil {
				kills += n
			}
		}
	})
	failures := atomic.Int32{}
	for w := range 4 {
		db := postgrestest.Open(t, f.url+"&application_name=victim")
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 3))
			for seq := uint64(1); seq <= records; {
				last := min(records, seq+rng.Uint64N(5))
				g := []postgres.Batch{f.batch(1, seq, last), f.batch(sentinel.Epoch(2+w), seq, last)}
				for {
					_, err := db.Commit(t.Context(), g, nil)
					if err == nil {
						break
					}
					failures.Add(1)
					if postgres.Classify(err) != postgres.Outage {
						t.Errorf("a killed session is %s: %v", postgres.Classify(err), err)
						return
					}
				}
				seq = last + 1
			}
		})
	}
	wg.Wait()
	close(stop)
	killer.Wait()
	want := map[sentinel.Epoch]map[uint64]bool{}
	for e := range sentinel.Epoch(5) {
		want[e+1] = map[uint64]bool{}
		for s := range uint64(records) {
			want[e+1][s+1] = true
		}
	}
	f.checkStored(t, want)
	t.Logf("%d sessions killed, %d commits failed", kills, failures.Load())
	if failures.Load() == 0 {
		t.Error("no commit was hit: the test proves nothing")
	}
}

// shortDir returns a folder that the server's account can reach even when the
// tests run as root.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sentinel-test-")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestP12StoppedServer(t *testing.T) {
	dir := shortDir(t) + "/pg"
	start := func() *localpg.Server {
		s, err := localpg.Start(t.Context(), localpg.Config{Dir: dir, Ephemeral: true})
		must(t, err)
		return s
	}
	server := start()
	f := &fixture{DB: postgrestest.Open(t, server.URL()), width: 1, start: time.Now().Truncate(time.Minute)}
	must(t, f.Migrate(t.Context()))
	f.agent, f.name = newAgent(t, f.DB)
	f.layout = newLayout(t, f.DB, f.agent, "m", 1)
	f.commit(t, f.batch(1, 1, 1))
	must(t, server.Stop(t.Context()))

	for name, call := range map[string]func() error{
		"commit": func() error { _, err := f.Commit(t.Context(), []postgres.Batch{f.batch(1, 2, 2)}, nil); return err },
		"ping":   func() error { return f.Ping(t.Context()) },
		"marks":  func() error { _, err := f.Marks(t.Context(), f.agent, nil); return err },
		"rollup": func() error { _, err := f.Rollup(t.Context(), time.Now()); return err },
		"agent":  func() error { _, err := f.Agent(t.Context(), f.agent); return err },
	} {
		err := call()
		wantCode(t, err, sentinel.Unavailable)
		if postgres.Classify(err) != postgres.Outage {
			t.Errorf("%s: %v is %s", name, err, postgres.Classify(err))
		}
		if u, _ := url.Parse(server.URL()); u != nil {
			if secret, _ := u.User.Password(); strings.Contains(err.Error(), secret) {
				t.Errorf("P20: %s tells the password", name)
			}
		}
	}
	server = start()
	f.commit(t, f.batch(1, 1, 2))
	f.checkStored(t, map[sentinel.Epoch]map[uint64]bool{1: {1: true, 2: true}})
	must(t, server.Stop(background()))
}

func TestP20UnreadableURL(t *testing.T) {
	for _, raw := range []string{"postgres://u:s3cr3t@host:port/db", "postgres://u:s3cr3t@h/db?sslmode=bogus", "user=u password=s3cr3t nonsense", "postgres://u:s3c r3t@[::1/db s3cr3t"} {
		_, err := postgres.Open(t.Context(), postgres.Config{URL: raw})
		wantCode(t, err, sentinel.Invalid)
		if strings.Contains(err.Error(), "s3c") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}
