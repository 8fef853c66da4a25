package postgres_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// A random mix of everything, against a model that keeps one word per record.
func TestP13BooksBalance(t *testing.T) {
	f := newFixture(t, 2)
	rng := rand.New(rand.NewPCG(4, 2))
	model := map[sentinel.Epoch]map[uint64]string{1: {}, 2: {}, 3: {}}
	appended := map[sentinel.Epoch]uint64{}
	settle := func(e sentinel.Epoch, seq uint64, how string) {
		if _, ok := model[e][seq]; !ok {
			model[e][seq] = how
		}
		appended[e] = max(appended[e], seq)
	}
	for range 60 {
		var group []postgres.Batch
		for range 1 + rng.IntN(5) {
			e := sentinel.Epoch(1 + rng.IntN(3))
			first := 1 + rng.Uint64N(300)
			last := first + rng.Uint64N(6)
			switch rng.IntN(6) {
			case 0:
				group = append(group, f.quarantine(e, first, last))
				for s := first; s <= last; s++ {
					settle(e, s, "quarantined")
				}
			case 1:
				other := sentinel.Epoch(1 + rng.IntN(3))
				reason := sentinel.LossReason(1 + rng.IntN(5))
				report := 1000 + rng.Uint64N(100)
				b := f.losses(e, report, lost(other, first, last+20, reason))
				group = append(group, b)
				if _, dup := model[e][report]; !dup {
					settle(e, report, "report")
					for s := first; s <= last+20; s++ {
						settle(other, s, reason.String())
					}
				}
			default:
				group = append(group, f.batch(e, first, last))
				for s := first; s <= last; s++ {
					settle(e, s, "stored")
				}
			}
		}
		f.commit(t, group...)
		if rng.IntN(4) == 0 {
			e := sentinel.Epoch(1 + rng.IntN(3))
			p := 1 + rng.Uint64N(2000)
			must(t, f.ReportPositions(t.Context(), []postgres.Report{{Agent: f.agent, SeenAt: time.Now(), Positions: []sentinel.Position{{Epoch: e, Appended: p}}}}))
			appended[e] = max(appended[e], p)
		}
	}
	books := f.books(t)
	if len(books.Epochs) != 3 {
		t.Fatalf("%d epochs", len(books.Epochs))
	}
	stored := map[sentinel.Epoch]map[uint64]bool{}
	for _, b := range books.Epochs {
		count := map[string]uint64{}
		stored[b.Epoch] = map[uint64]bool{}
		for seq, how := range model[b.Epoch] {
			count[how]++
			if how == "stored" {
				stored[b.Epoch][seq] = true
			}
		}
		if b.StoredCycles != count["stored"] || b.StoredReports != count["report"] || b.Quarantined != count["quarantined"] ||
			b.Appended != appended[b.Epoch] || b.InFlight != appended[b.Epoch]-uint64(len(model[b.Epoch])) || b.StoredSamples != 2*count["stored"] {
			t.Errorf("epoch %s: %+v, want %v, appended %d", b.Epoch, b, count, appended[b.Epoch])
		}
		for r := sentinel.LossBytes; r.Valid(); r++ {
			if b.Lost[r] != count[r.String()] {
				t.Errorf("epoch %s: lost %s %d, want %d", b.Epoch, r, b.Lost[r], count[r.String()])
			}
		}
	}
	f.checkStored(t, stored)
}

func TestReportPositions(t *testing.T) {
	f := newFixture(t, 1)
	seen := time.Now().Truncate(time.Millisecond)
	must(t, f.ReportPositions(t.Context(), []postgres.Report{
		{Agent: f.agent, SeenAt: seen, Positions: []sentinel.Position{{Epoch: 1, Appended: 10}, {Epoch: 1, Appended: 7}, {Epoch: 0, Appended: 5}, {Epoch: 2, Appended: 1 << 63}},
			Info: &postgres.AgentInfo{Version: "v1", OS: "linux\x00", Arch: "arm64"}, Hostname: "h2"},
		{Agent: f.agent, SeenAt: seen.Add(-time.Second), Positions: []sentinel.Position{{Epoch: 1, Appended: 9}}},
		{Agent: 1 << 50, SeenAt: seen, Positions: []sentinel.Position{{Epoch: 1, Appended: 10}}},
	}))
	must(t, f.ReportPositions(t.Context(), []postgres.Report{{Agent: f.agent, SeenAt: seen.Add(-time.Hour)}}))
	a, err := f.Agent(t.Context(), f.agent)
	must(t, err)
	if !a.LastSeenAt.Equal(seen) || a.Hostname != "h2" || a.Info.OS != "linux " || a.Info.Version != "v1" {
		t.Errorf("agent %+v", a)
	}
	b := f.books(t)
	if len(b.Epochs) != 1 || b.Total.Appended != 10 || b.Total.InFlight != 10 {
		t.Errorf("books %+v", b)
	}
	f.commit(t, f.batch(1, 1, 4))
	if b := f.books(t); b.Total.InFlight != 6 {
		t.Errorf("books %+v", b.Total)
	}
}
