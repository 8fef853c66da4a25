package postgres_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// fixture is a database with one agent and one layout.
type fixture struct {
	*postgres.DB
	url    string
	agent  int64
	name   sentinel.AgentID
	layout int64
	width  int
	start  time.Time // of the first cycle
}

func newFixture(t testing.TB, width int) *fixture {
	t.Helper()
	url := postgrestest.URL(t)
	f := &fixture{DB: postgrestest.Open(t, url), url: url, width: width}
	f.start = time.Now().Add(-2 * time.Hour).Truncate(time.Hour)
	f.agent, f.name = newAgent(t, f.DB)
	f.layout = newLayout(t, f.DB, f.agent, "m", width)
	return f
}

func newAgent(t testing.TB, db *postgres.DB) (int64, sentinel.AgentID) {
	t.Helper()
	name := sentinel.NewAgentID()
	a, err := db.CreateAgent(t.Context(), postgres.NewAgent{Name: name, Hostname: "host"}, postgres.NewKey{
		KeyID: "k1", Secret: []byte("sealed"), MasterKeyID: "m1", State: postgres.KeyActive})
	must(t, err)
	return a.ID, name
}

func testLayout(metric string, width int) sentinel.Layout {
	var l sentinel.Layout
	for i := range width {
		l = append(l, sentinel.NewSeries(fmt.Sprintf("%s_%d", metric, i), sentinel.Gauge, "", "cpu", fmt.Sprint(i)))
	}
	return l
}

func hashOf(definition []byte) (h sentinel.LayoutHash) {
	sum := sha256.Sum256(definition)
	copy(h[:], sum[:])
	return h
}

func newLayout(t testing.TB, db *postgres.DB, agent int64, metric string, width int) int64 {
	t.Helper()
	definition := fmt.Appendf(nil, "%s %d", metric, width)
	id, err := db.EnsureLayout(t.Context(), agent, hashOf(definition), definition, testLayout(metric, width))
	must(t, err)
	return id
}

// value is what series i holds in record seq of an epoch: a function of its
// name, so that every stored value can be checked.
func value(epoch sentinel.Epoch, seq uint64, i int) float64 {
	return float64(uint64(epoch)%1000)*1e6 + float64(seq)*100 + float64(i)
}

func (f *fixture) cycle(epoch sentinel.Epoch, seq uint64) sentinel.Cycle {
	c := sentinel.Cycle{Time: f.start.Add(time.Duration(seq) * time.Second), Values: make([]float64, f.width)}
	for i := range c.Values {
		c.Values[i] = value(epoch, seq, i)
	}
	return c
}

func digestOf(epoch sentinel.Epoch, seq uint64) uint64 { return uint64(epoch)*31 + seq*1_000_003 }

func (f *fixture) batch(epoch sentinel.Epoch, first, last uint64) postgres.Batch {
	b := postgres.Batch{Agent: f.agent, AgentName: f.name, Epoch: epoch, First: first, Count: uint32(last - first + 1),
		LayoutID: f.layout, Envelope: []byte("envelope"), Received: time.Now()}
	for seq := first; seq <= last; seq++ {
		b.Cycles = append(b.Cycles, f.cycle(epoch, seq))
		b.Digests = append(b.Digests, digestOf(epoch, seq))
	}
	return b
}

func (f *fixture) losses(epoch sentinel.Epoch, seq uint64, losses ...sentinel.Loss) postgres.Batch {
	return postgres.Batch{Agent: f.agent, AgentName: f.name, Epoch: epoch, First: seq, Count: 1, Losses: losses, Digests: []uint64{digestOf(epoch, seq)}}
}

func (f *fixture) quarantine(epoch sentinel.Epoch, first, last uint64) postgres.Batch {
	return postgres.Batch{Agent: f.agent, AgentName: f.name, Epoch: epoch, First: first, Count: uint32(last - first + 1),
		Quarantine: &postgres.Quarantine{Reason: "decode", Detail: "for the test"}, Envelope: []byte("exact bytes"), Received: time.Now()}
}

func (f *fixture) commit(t testing.TB, batches ...postgres.Batch) []postgres.Outcome {
	t.Helper()
	out, err := f.Commit(t.Context(), batches, nil)
	must(t, err)
	return out
}

// checkStored verifies that scrapes holds the records of want, each exactly once
// with its values, and nothing else of the epoch's values.
func (f *fixture) checkStored(t testing.TB, want map[sentinel.Epoch]map[uint64]bool) {
	t.Helper()
	total := 0
	for epoch, seqs := range want {
		total += len(seqs)
		for seq := range seqs {
			n, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM scrapes WHERE agent_id = $1 AND ts = $2 AND layout_id = $3 AND vals = $4`,
				f.agent, f.cycle(epoch, seq).Time, f.layout, f.cycle(epoch, seq).Values)
			must(t, err)
			if n != 1 {
				t.Errorf("record %d of epoch %s is stored %d times", seq, epoch, n)
			}
		}
	}
	n, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM scrapes WHERE agent_id = $1`, f.agent)
	must(t, err)
	if n != total {
		t.Errorf("%d rows are stored, want %d", n, total)
	}
}

func (f *fixture) books(t testing.TB) postgres.Books {
	t.Helper()
	b, err := f.Books(t.Context(), f.agent)
	must(t, err)
	for _, e := range b.Epochs {
		sum := e.StoredCycles + e.StoredReports + e.Quarantined + e.InFlight
		for _, n := range e.Lost {
			sum += n
		}
		if sum != e.Appended {
			t.Errorf("P13: epoch %s: appended %d, accounted %d", e.Epoch, e.Appended, sum)
		}
	}
	return b
}

func lost(epoch sentinel.Epoch, first, last uint64, reason sentinel.LossReason) sentinel.Loss {
	return sentinel.Loss{Epoch: epoch, Range: sentinel.SeqRange{First: first, Last: last}, Reason: reason}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code sentinel.Code) {
	t.Helper()
	if err == nil || sentinel.CodeOf(err) != code {
		t.Fatalf("error %v has code %s, want %s", err, sentinel.CodeOf(err), code)
	}
}

func nan() float64 { return math.NaN() }

func background() context.Context { return context.Background() }
