package postgres_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Every record is delivered several times, in batches cut differently each time,
// in any order, by several workers at once.
func TestP8ConcurrentOverlappingCommits(t *testing.T) {
	f := newFixture(t, 5)
	epochs := []sentinel.Epoch{11, 22, 33}
	const records, workers = 120, 6
	want := make(map[sentinel.Epoch]map[uint64]bool)
	var all []postgres.Batch
	rng := rand.New(rand.NewPCG(1, 2))
	for _, e := range epochs {
		want[e] = make(map[uint64]bool)
		for range 3 {
			for seq := uint64(1); seq <= records; {
				last := min(records, seq+rng.Uint64N(9))
				all = append(all, f.batch(e, seq, last))
				seq = last + 1
			}
		}
		for seq := range uint64(records) {
			want[e][seq+1] = true
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	groups := make(chan []postgres.Batch, len(all))
	for len(all) > 0 {
		n := min(len(all), 1+rng.IntN(8))
		groups <- all[:n]
		all = all[n:]
	}
	close(groups)
	var stored, duplicates int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for g := range groups {
				out, err := f.Commit(t.Context(), g, nil)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, o := range out {
					stored += o.StoredCycles
					duplicates += o.Duplicates
					if o.Forked || o.Refused > 0 {
						t.Errorf("outcome %+v", o)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if stored != records*len(epochs) || duplicates != 2*stored {
		t.Errorf("stored %d, duplicates %d", stored, duplicates)
	}
	f.checkStored(t, want)
	marks, err := f.Marks(t.Context(), f.agent, append(epochs, 99))
	must(t, err)
	if len(marks) != 3 {
		t.Fatalf("marks %v", marks)
	}
	for _, m := range marks {
		if m.Through() != records || len(m.Settled) != 1 {
			t.Errorf("mark %v", m)
		}
	}
	f.books(t)
}

// Two commits that need the same new ledger rows in opposite order of batches.
func TestP8NoDeadlockAcrossAgents(t *testing.T) {
	f := newFixture(t, 1)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			for i := range 25 {
				var g []postgres.Batch
				for _, e := range rng.Perm(20) {
					g = append(g, f.batch(sentinel.Epoch(1+e+i), uint64(i+1), uint64(i+1)))
				}
				if _, err := f.Commit(t.Context(), g, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	f.books(t)
}

// The older batch comes after the newer one: a high-water mark would drop it.
func TestP8OutOfOrder(t *testing.T) {
	f := newFixture(t, 2)
	f.commit(t, f.batch(7, 10, 12))
	out := f.commit(t, f.batch(7, 1, 3))
	if got := out[0].Mark; got.Through() != 3 || len(got.Settled) != 2 {
		t.Errorf("mark %v", got)
	}
	out = f.commit(t, f.batch(7, 2, 11)) // overlaps both
	if o := out[0]; o.StoredCycles != 6 || o.Duplicates != 4 || o.Mark.Through() != 12 {
		t.Errorf("outcome %+v", o)
	}
	want := map[uint64]bool{}
	for s := range uint64(12) {
		want[s+1] = true
	}
	f.checkStored(t, map[sentinel.Epoch]map[uint64]bool{7: want})
}

func TestAbsentValuesBecomeNull(t *testing.T) {
	f := newFixture(t, 6)
	b := f.batch(1, 1, 1)
	b.Cycles[0].Values = []float64{math.NaN(), math.Inf(1), math.Inf(-1), sentinel.Absent(), 0, math.MaxFloat64}
	out := f.commit(t, b)
	if out[0].StoredSamples != 2 {
		t.Errorf("outcome %+v", out[0])
	}
	got, err := postgres.One[string](t.Context(), f.DB, `SELECT vals::text FROM scrapes`)
	must(t, err)
	if got != "{NULL,NULL,NULL,NULL,0,1.7976931348623157e+308}" {
		t.Errorf("stored %s", got)
	}
	samples, err := f.Latest(t.Context(), f.agent, time.Hour)
	must(t, err)
	if len(samples) != 2 || samples[0].Series.Name != "m_4" || samples[1].Value != math.MaxFloat64 {
		t.Errorf("latest %v", samples)
	}
}

func TestFork(t *testing.T) {
	f := newFixture(t, 1)
	f.commit(t, f.batch(5, 1, 10))
	fork := f.batch(5, 9, 12) // 9 and 10 overlap
	fork.Digests[1]++
	out := f.commit(t, fork, f.batch(5, 11, 11))
	if o := out[0]; !o.Forked || o.Refused != 1 || o.StoredCycles != 1 || o.Mark.Through() != 11 {
		t.Errorf("outcome %+v", o)
	}
	// Within one call too.
	a, b := f.batch(5, 20, 20), f.batch(5, 20, 20)
	b.Digests[0]++
	if o := f.commit(t, a, b)[0]; !o.Forked || o.StoredCycles != 1 {
		t.Errorf("outcome %+v", o)
	}
	list, err := f.Letters(t.Context(), postgres.LetterFilter{Agent: f.agent, Reason: postgres.ReasonForked})
	must(t, err)
	if len(list) != 2 || list[1].Seq != 9 || list[1].Count != 4 || list[1].Epoch != 5 {
		t.Fatalf("letters %+v", list)
	}
	l, err := f.Letter(t.Context(), list[1].ID)
	must(t, err)
	if string(l.Envelope) != "envelope" {
		t.Errorf("envelope %q", l.Envelope)
	}
	books := f.books(t)
	if books.Epochs[0].ForkedAt.IsZero() || books.Total.StoredCycles != 12 {
		t.Errorf("books %+v", books)
	}
	// A record far behind the window is a duplicate, whatever its digest says.
	f.commit(t, f.batch(6, 1, 200))
	old := f.batch(6, 1, 1)
	old.Digests[0]++
	if o := f.commit(t, old)[0]; o.Forked || o.Duplicates != 1 {
		t.Errorf("outcome %+v", o)
	}
	edge := f.batch(6, 137, 137) // the 64th from the end
	edge.Digests[0]++
	if o := f.commit(t, edge)[0]; !o.Forked {
		t.Errorf("outcome %+v", o)
	}
}

func TestP11PoisonAndOrphans(t *testing.T) {
	f := newFixture(t, 1)
	q := f.quarantine(3, 1, 4)
	o := f.commit(t, q, q, f.batch(3, 4, 5))[0] // 4 is settled as quarantined
	if o.Quarantined != 4 || o.StoredCycles != 1 || o.Duplicates != 5 || o.Mark.Through() != 5 {
		t.Errorf("outcome %+v", o)
	}
	_, err := f.Commit(t.Context(), nil, []postgres.Orphan{{AgentName: "x\x00y\xff", Reason: "signature",
		Detail: strings.Repeat("é", 5000), Epoch: math.MaxUint64, Seq: math.MaxUint64, Envelope: []byte{0, 255}}})
	must(t, err)
	list, err := f.Letters(t.Context(), postgres.LetterFilter{Orphans: true})
	must(t, err)
	if len(list) != 1 || list[0].AgentName != "x y\uFFFD" || list[0].Agent != 0 || len(list[0].Detail) > 1024 {
		t.Errorf("orphans %+v", list)
	}
	list, err = f.Letters(t.Context(), postgres.LetterFilter{Agent: f.agent})
	must(t, err)
	if len(list) != 1 || list[0].Reason != "decode" {
		t.Errorf("letters %+v", list)
	}
	books := f.books(t)
	if books.Total.Quarantined != 4 || books.Total.StoredCycles != 1 {
		t.Errorf("books %+v", books.Total)
	}
}

// What the database or the ledger can never take is Poison and stores nothing of
// its group; the others pass when it is taken out.
func TestP11PoisonClass(t *testing.T) {
	f := newFixture(t, 1)
	bad := map[string]func(b *postgres.Batch){
		"unknown agent":  func(b *postgres.Batch) { b.Agent = 1 << 40 },
		"epoch 0":        func(b *postgres.Batch) { b.Epoch = 0 },
		"epoch too high": func(b *postgres.Batch) { b.Epoch = 1 << 63 },
		"seq 0":          func(b *postgres.Batch) { b.First = 0 },
		"seq overflow":   func(b *postgres.Batch) { b.First = math.MaxUint64 },
		"seq too high":   func(b *postgres.Batch) { b.First = math.MaxInt64 },
		"count":          func(b *postgres.Batch) { b.Count = 9 },
		"digests":        func(b *postgres.Batch) { b.Digests = make([]uint64, 9) },
		"no layout":      func(b *postgres.Batch) { b.LayoutID = 0 },
		"too old":        func(b *postgres.Batch) { b.Cycles[0].Time = time.Unix(0, 0) },
		"year 9999":      func(b *postgres.Batch) { b.Cycles[0].Time = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) },
		"year 300000":    func(b *postgres.Batch) { b.Cycles[0].Time = time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"loss of seq 0":  func(b *postgres.Batch) { *b = f.losses(1, 2, lost(1, 0, 5, sentinel.LossAge)) },
		"loss backwards": func(b *postgres.Batch) { *b = f.losses(1, 2, lost(1, 5, 4, sentinel.LossAge)) },
		"loss unnamed":   func(b *postgres.Batch) { *b = f.losses(1, 2, lost(1, 5, 6, sentinel.LossUnspecified)) },
		"loss unknown":   func(b *postgres.Batch) { *b = f.losses(1, 2, lost(1, 5, 6, 77)) },
	}
	for name, spoil := range bad {
		t.Run(name, func(t *testing.T) {
			b := f.batch(1, 2, 2)
			spoil(&b)
			_, err := f.Commit(t.Context(), []postgres.Batch{f.batch(1, 1, 1), b}, nil)
			if err == nil || postgres.Classify(err) != postgres.Poison {
				t.Fatalf("error %v is %s", err, postgres.Classify(err))
			}
		})
	}
	f.checkStored(t, map[sentinel.Epoch]map[uint64]bool{})
	f.commit(t, f.batch(1, 1, 1))
}

func TestCapsOfDeadLetters(t *testing.T) {
	f := newFixture(t, 1)
	db, err := postgres.Open(t.Context(), postgres.Config{URL: f.url, MaxLetters: 3, MaxOrphans: 2})
	must(t, err)
	defer db.Close()
	for i := range uint64(8) {
		_, err := db.Commit(t.Context(), []postgres.Batch{f.quarantine(1, i+1, i+1)}, []postgres.Orphan{{Reason: "r", Seq: i}})
		must(t, err)
	}
	list, err := db.Letters(t.Context(), postgres.LetterFilter{})
	must(t, err)
	var charged, orphans []uint64
	for _, l := range list {
		if l.Agent == 0 {
			orphans = append(orphans, l.Seq)
		} else {
			charged = append(charged, l.Seq)
		}
	}
	if len(charged) != 3 || charged[0] != 8 || charged[2] != 6 || len(orphans) != 2 || orphans[1] != 6 {
		t.Errorf("charged %v, orphans %v", charged, orphans)
	}
}

// A hostile agent with a hole behind every record cannot grow its row for ever.
func TestP23ScatteredEpoch(t *testing.T) {
	f := newFixture(t, 1)
	var g []postgres.Batch
	for i := range uint64(5000) {
		b := f.batch(1, 2*i+2, 2*i+2)
		b.Cycles[0].Time = f.start
		g = append(g, b)
	}
	o := f.commit(t, g...)[0]
	if o.StoredCycles != 4096 || o.Refused != 904 || len(o.Mark.Settled) != 256 {
		t.Errorf("stored %d, refused %d, %d ranges", o.StoredCycles, o.Refused, len(o.Mark.Settled))
	}
	// Records that close a hole are welcome.
	if o := f.commit(t, f.batch(1, 3, 3))[0]; o.StoredCycles != 1 {
		t.Errorf("outcome %+v", o)
	}
	f.books(t)
}

func TestClassify(t *testing.T) {
	if c := postgres.Classify(errors.New("anything")); c != postgres.Outage {
		t.Errorf("unknown error is %s", c)
	}
	f := newFixture(t, 1)
	for sql, want := range map[string]postgres.Class{
		`SELECT 1/0`:      postgres.Poison,
		`SELECT 'x'::int`: postgres.Poison,
		`INSERT INTO agent_keys VALUES (999999, 'k', '', 'm', 'active')`: postgres.Poison,
		`INSERT INTO scrapes VALUES ('1999-01-01', 1, 1, '{1}')`:         postgres.Outage, // no partition
		`SELECT * FROM nowhere`:                                postgres.Outage,
		`SELECT pg_terminate_backend(pg_backend_pid())`:        postgres.Outage,
		`SET LOCAL nonsense`:                                   postgres.Outage,
		`DO $$ BEGIN RAISE EXCEPTION SQLSTATE '53100'; END $$`: postgres.Outage,
		`DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40P01'; END $$`: postgres.Outage,
		`DO $$ BEGIN RAISE EXCEPTION SQLSTATE '25006'; END $$`: postgres.Outage, // read-only standby
	} {
		err := f.Exec(t.Context(), sql)
		if e, _ := f.Engine(t.Context()); e == "timescale" && strings.Contains(sql, "1999") {
			continue // a hypertable makes its chunks
		}
		if err == nil || postgres.Classify(err) != want {
			t.Errorf("%s: %v is %s, want %s", sql, err, postgres.Classify(err), want)
		}
	}
}
