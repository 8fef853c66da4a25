package pipeline_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/broker/brokertest"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/localpg"
	"github.com/sentinelgo/sentinel/internal/pipeline"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/wire"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// rig is a writer between a real broker and a real database, and one registered
// agent whose batches the test makes by hand.
type rig struct {
	t       *testing.T
	url     string
	db      *postgres.DB
	broker  *broker.Broker
	metrics *telemetry.Registry
	cred    sign.Credential
	other   sign.Credential
	epoch   sentinel.Epoch
	layout  sentinel.Layout
	start   time.Time

	published uint64 // messages

	mu    sync.Mutex
	marks []*sentinelpb.AgentMark
}

func newRig(t *testing.T, url string) *rig {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b, _ := brokertest.Open(t)
	vault, err := sign.NewVault("m-test", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, url: url, db: postgrestest.Open(t, url), broker: b, metrics: telemetry.NewRegistry(), epoch: sentinel.NewEpoch(),
		start: time.Now().Add(-time.Hour).Truncate(time.Second)}
	registry := fleet.NewRegistry(r.db, vault)
	if r.cred, err = registry.Register(t.Context(), "host", nil); err != nil {
		t.Fatal(err)
	}
	if r.other, err = registry.Register(t.Context(), "other", nil); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"a", "b"} {
		r.layout = append(r.layout, sentinel.NewSeries("metric_"+n, sentinel.Gauge, ""))
	}
	limits := sentinel.DefaultLimits()
	limits.MaxAge = 90 * 24 * time.Hour // beyond what the database takes: see TestP11
	w := pipeline.New(pipeline.DefaultConfig(), pipeline.Deps{
		Broker: b, DB: r.db, Keys: fleet.NewKeyring(r.db, vault, log), Limits: limits, Metrics: r.metrics, Log: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- w.Run(ctx) }()
	go func() { done <- b.SubscribeMarks(ctx, r.takeMarks) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("writer: %v", err)
			}
		}
	})
	r.know(r.layout)
	return r
}

func (r *rig) takeMarks(data []byte) {
	var m sentinelpb.AgentMarks
	if err := proto.Unmarshal(data, &m); err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks = append(r.marks, m.GetMarks()...)
}

func (r *rig) know(l sentinel.Layout) sentinel.LayoutHash {
	r.t.Helper()
	definition := wire.EncodeLayout(l)
	h := wire.HashLayout(definition)
	if err := r.broker.PutLayout(r.t.Context(), r.cred.Agent, h, definition); err != nil {
		r.t.Fatal(err)
	}
	return h
}

// cycle returns the cycle with this number: its content is given by the number.
func (r *rig) cycle(seq uint64) sentinel.Cycle {
	return sentinel.Cycle{Layout: wire.HashLayout(wire.EncodeLayout(r.layout)), Time: r.start.Add(time.Duration(seq) * time.Second), Values: []float64{float64(seq), 0.5}}
}

// batch returns the signed batch of count cycles from seq on.
func (r *rig) batch(seq uint64, count int) *sentinelpb.Envelope {
	r.t.Helper()
	var cycles []sentinel.Cycle
	for i := range count {
		cycles = append(cycles, r.cycle(seq+uint64(i)))
	}
	return r.sign(seq, count, sentinelpb.Codec_CODEC_CYCLES_V1, encode(r.t, cycles...))
}

func encode(t *testing.T, cycles ...sentinel.Cycle) []byte {
	t.Helper()
	payload, err := wire.EncodeCycles(cycles)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func (r *rig) sign(seq uint64, count int, codec sentinelpb.Codec, payload []byte) *sentinelpb.Envelope {
	e := &sentinelpb.Envelope{AgentId: string(r.cred.Agent), Epoch: uint64(r.epoch), Seq: seq, Count: uint32(count), Codec: codec, Payload: payload}
	r.cred.Key.Batch(e)
	return e
}

// publish puts envelopes into the broker as one message, as a gateway, or
// somebody who got at the broker, would.
func (r *rig) publish(envelopes ...*sentinelpb.Envelope) {
	r.t.Helper()
	var d sentinelpb.Deliveries
	for _, e := range envelopes {
		d.Deliveries = append(d.Deliveries, &sentinelpb.Delivery{Envelope: e, ReceivedUnixMs: time.Now().UnixMilli()})
	}
	raw, err := proto.Marshal(&d)
	if err != nil {
		r.t.Fatal(err)
	}
	r.publishRaw(raw)
}

func (r *rig) publishRaw(raw []byte) {
	r.t.Helper()
	r.published++
	if err := r.broker.Publish(r.t.Context(), 0, sentinel.RandomName(8), raw); err != nil {
		r.t.Fatal(err)
	}
}

// drained waits until the writer has acknowledged everything that was published.
func (r *rig) drained() {
	r.t.Helper()
	settled := r.metrics.Counter("sentinel_writer_messages_total")
	for deadline := time.Now().Add(30 * time.Second); settled.Value() < r.published; {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d of %d messages are dealt with", settled.Value(), r.published)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// stored checks that exactly the cycles with these numbers are in the database,
// once each, as they were.
func (r *rig) stored(want ...uint64) {
	r.t.Helper()
	cycles, err := postgrestest.Cycles(r.t.Context(), r.url, r.cred.Agent)
	if err != nil {
		r.t.Fatal(err)
	}
	var got, expected []string
	for _, c := range cycles {
		got = append(got, fmt.Sprintf("%v=%016x", c.Values, wire.Digest(c)))
	}
	for _, seq := range want {
		expected = append(expected, fmt.Sprintf("%v=%016x", r.cycle(seq).Values, wire.Digest(r.cycle(seq))))
	}
	if strings.Join(got, " ") != strings.Join(expected, " ") {
		r.t.Errorf("stored %v, want %v", got, expected)
	}
}

func (r *rig) books() postgres.Book {
	r.t.Helper()
	a, err := r.db.AgentByName(r.t.Context(), r.cred.Agent)
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := r.db.Books(r.t.Context(), a.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return b.Total
}

// rejected returns how many batches were counted for a reason.
func (r *rig) rejected(reason string) uint64 {
	return r.metrics.Counter("sentinel_writer_batches_rejected_total", "reason", reason).Value()
}

func TestP8P17BatchesAreStoredOnceHoweverTheyCome(t *testing.T) {
	r := newRig(t, postgrestest.URL(t))
	one, two, all := r.batch(1, 3), r.batch(4, 1), r.batch(1, 6)
	r.publish(two)
	r.publish(one, one)
	r.publish(one)
	r.drained()
	r.stored(1, 2, 3, 4)
	r.publish(all, two) // regrouped: 5 and 6 are new
	r.drained()
	r.stored(1, 2, 3, 4, 5, 6)
	if b := r.books(); b.StoredCycles != 6 || b.InFlight != 0 {
		t.Errorf("books: %+v", b)
	}
	if n := r.metrics.Counter("sentinel_writer_duplicate_records_total").Value(); n < 11 {
		t.Errorf("%d duplicates were counted, want 11", n)
	}
}

func TestMarksArePublished(t *testing.T) {
	r := newRig(t, postgrestest.URL(t))
	for seq := uint64(1); ; seq++ { // a mark is a hint: one of many is heard
		r.publish(r.batch(seq, 1))
		r.drained()
		r.mu.Lock()
		marks := r.marks
		r.mu.Unlock()
		if len(marks) == 0 && seq < 100 {
			continue
		}
		if len(marks) == 0 {
			t.Fatal("no mark was published")
		}
		m := marks[len(marks)-1]
		if m.GetAgentId() != string(r.cred.Agent) || m.GetMark().GetEpoch() != uint64(r.epoch) || m.GetMark().GetSettled()[0].GetFirst() != 1 {
			t.Errorf("mark: %v", m)
		}
		return
	}
}

// TestP16WhatNobodySignedIsNotStored publishes straight into the broker.
func TestP16WhatNobodySignedIsNotStored(t *testing.T) {
	r := newRig(t, postgrestest.URL(t))
	altered := r.batch(1, 1)
	altered.Payload[len(altered.Payload)-1] ^= 1
	unsigned := r.batch(2, 1)
	unsigned.Mac = nil
	foreign := r.batch(3, 1)
	r.other.Key.Batch(foreign) // another agent's key, this agent's name
	moved := r.batch(4, 1)
	moved.AgentId = string(r.other.Agent) // this agent's signature, another's name
	nobody := r.batch(5, 1)
	nobody.AgentId = "ag-nobody"
	badKey := r.batch(6, 1)
	badKey.KeyId = "k-none"
	r.publish(altered, unsigned, foreign)
	r.publish(moved, nobody, badKey, &sentinelpb.Envelope{}, nil)
	r.publish(r.batch(7, 1))
	r.drained()
	r.stored(7)
	if n := r.rejected("bad_signature"); n != 8 {
		t.Errorf("%d batches were counted as badly signed, want 8", n)
	}
	if b := r.books(); b.Quarantined != 0 || b.StoredCycles != 1 {
		t.Errorf("what is not proven was charged to the agent: %+v", b)
	}
	letters, err := r.db.Letters(t.Context(), postgres.LetterFilter{})
	if err != nil || len(letters) != 8 {
		t.Errorf("%d dead letters (%v), want 8", len(letters), err)
	}
}

func TestP11P22BadContentHarmsOnlyItself(t *testing.T) {
	r := newRig(t, postgrestest.URL(t))
	r.publishRaw([]byte("not a message"))
	r.publishRaw(nil)
	r.publish(r.batch(1, 1))
	r.publish(
		r.sign(2, 1, sentinelpb.Codec_CODEC_CYCLES_V1, []byte("not a payload")),
		r.sign(3, 2, sentinelpb.Codec_CODEC_CYCLES_V1, encode(t, r.cycle(3))), // one cycle too few
		r.sign(5, 1, sentinelpb.Codec_CODEC_UNSPECIFIED, nil),
		r.sign(6, 1, sentinelpb.Codec_CODEC_LOSSES_V1, []byte("not a report")),
		r.batch(7, 1),
	)
	r.drained()
	r.stored(1, 7)
	if b := r.books(); b.Quarantined != 5 || b.StoredCycles != 2 || b.Appended != 7 || b.InFlight != 0 {
		t.Errorf("books: %+v", b)
	}
	letters, err := r.db.Letters(t.Context(), postgres.LetterFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		whole, err := r.db.Letter(t.Context(), l.ID)
		if err != nil {
			t.Fatal(err)
		}
		if whole.Reason == "" || whole.Seq == 2 && !strings.Contains(string(whole.Envelope), "not a payload") {
			t.Errorf("letter: %+v", whole)
		}
	}
	for reason, want := range map[string]uint64{"malformed": 5, "bad_codec": 1} {
		if n := r.rejected(reason); n < want-1 || n > want {
			t.Errorf("%d counted as %s, want %d", n, reason, want)
		}
	}
}

// TestP11ABatchTheDatabaseRefusesIsFound: the rig's writer takes times that the
// database refuses, so the refusal comes at the commit of the whole group.
func TestP11ABatchTheDatabaseRefusesIsFound(t *testing.T) {
	r := newRig(t, postgrestest.URL(t))
	var group []*sentinelpb.Envelope
	for seq := uint64(1); seq <= 9; seq++ {
		e := r.batch(seq, 1)
		if seq == 4 {
			old := r.cycle(seq)
			old.Time = time.Now().Add(-80 * 24 * time.Hour)
			e = r.sign(seq, 1, sentinelpb.Codec_CODEC_CYCLES_V1, encode(t, old))
		}
		group = append(group, e)
	}
	r.publish(group...)
	r.drained()
	r.stored(1, 2, 3, 5, 6, 7, 8, 9)
	if b := r.books(); b.Quarantined != 1 || b.InFlight != 0 {
		t.Errorf("books: %+v", b)
	}
	if n := r.rejected("refused_by_database"); n != 1 {
		t.Errorf("%d batches were counted as refused, want 1", n)
	}
}

func TestP7TwoContentsUnderOneNumber(t *testing.T) {
	r := newRig(t, postgrestest.URL(t))
	r.publish(r.batch(1, 3))
	r.drained()
	fork := r.cycle(2)
	fork.Values[1] = 0.75
	r.publish(r.sign(2, 1, sentinelpb.Codec_CODEC_CYCLES_V1, encode(t, fork)))
	r.drained()
	r.stored(1, 2, 3)
	if n := r.rejected("forked"); n != 1 {
		t.Errorf("%d forks were counted, want 1", n)
	}
}

func TestP13LossesBalance(t *testing.T) {
	r := newRig(t, postgrestest.URL(t))
	report, err := proto.Marshal(&sentinelpb.LossReport{Losses: []*sentinelpb.Loss{
		{Epoch: uint64(r.epoch), First: 2, Last: 5, Reason: sentinelpb.LossReason_LOSS_REASON_BYTES},
		{Epoch: uint64(r.epoch), First: 8, Last: 8, Reason: sentinelpb.LossReason_LOSS_REASON_REJECTED},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.publish(r.batch(1, 1), r.batch(3, 1)) // 3 was on its way when it was given up
	r.drained()
	r.publish(r.sign(6, 1, sentinelpb.Codec_CODEC_LOSSES_V1, report))
	r.publish(r.batch(4, 1)) // late: declared lost already
	r.drained()
	r.stored(1, 3)
	b := r.books()
	if b.StoredCycles != 2 || b.StoredReports != 1 || b.Lost[sentinel.LossBytes] != 3 || b.Lost[sentinel.LossRejected] != 1 || b.Appended != 8 || b.InFlight != 1 {
		t.Errorf("books: %+v", b)
	}
}

func TestALayoutThatIsNowhereIsNotPoison(t *testing.T) {
	r := newRig(t, postgrestest.URL(t))
	known := r.layout
	r.layout = append(sentinel.Layout{}, sentinel.NewSeries("x", sentinel.Gauge, ""), sentinel.NewSeries("y", sentinel.Gauge, ""))
	e := r.batch(1, 1)
	r.publish(e)
	r.drained()
	r.stored()
	if b := r.books(); b.Quarantined != 0 {
		t.Errorf("books: %+v", b)
	}
	r.know(r.layout) // the agent sends both again
	r.publish(e)
	r.drained()
	r.stored(1)
	r.layout = known
}

// TestP12AnOutageIsNotPoison stops the database under the writer.
func TestP12AnOutageIsNotPoison(t *testing.T) {
	dir, err := os.MkdirTemp("", "sentinel-pipeline-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pg, err := localpg.Start(t.Context(), localpg.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	db := postgrestest.Open(t, pg.URL())
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, pg.URL())
	r.publish(r.batch(1, 1))
	r.drained()
	if err := pg.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for seq := uint64(2); seq <= 5; seq++ {
		r.publish(r.batch(seq, 1))
	}
	outages := r.metrics.Counter("sentinel_writer_outages_total")
	for outages.Value() < 2 {
		<-time.After(20 * time.Millisecond)
	}
	if pg, err = localpg.Start(t.Context(), localpg.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r.drained()
	r.stored(1, 2, 3, 4, 5)
	if b := r.books(); b.Quarantined != 0 || b.StoredCycles != 5 {
		t.Errorf("books: %+v", b)
	}
}
