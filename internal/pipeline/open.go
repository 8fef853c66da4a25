package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const (
	maxDeliveries = 4096 // in one message; the gateway sends far fewer
	maxLosses     = 10_000
)

// group is what goes into one commit.
type group struct {
	batches   []postgres.Batch
	orphans   []postgres.Orphan
	names     map[int64]sentinel.AgentID
	abandoned int // batches whose layout is nowhere: their agents send both again
}

// open adds the content of one message to the group. Its error is an outage:
// something needed to judge the content does not answer.
func (w *Writer) open(ctx context.Context, g *group, data []byte) error {
	var m sentinelpb.Deliveries
	if len(data) > broker.MaxMessageBytes || proto.Unmarshal(data, &m) != nil || len(m.GetDeliveries()) > maxDeliveries {
		g.orphans = append(g.orphans, postgres.Orphan{Reason: "malformed", Detail: "not a message of deliveries", Envelope: cut(data), Received: w.deps.Now()})
		return nil
	}
	for _, d := range m.GetDeliveries() {
		if err := w.openDelivery(ctx, g, d); err != nil {
			return err
		}
	}
	return nil
}

// cut bounds what is kept of bytes that nobody vouches for.
func cut(data []byte) []byte { return data[:min(len(data), 64<<10)] }

func (w *Writer) openDelivery(ctx context.Context, g *group, d *sentinelpb.Delivery) error {
	e := d.GetEnvelope()
	raw, err := proto.Marshal(e)
	if err != nil {
		raw = nil // invalid UTF-8 in a field: the orphan below says so
	}
	received := time.UnixMilli(d.GetReceivedUnixMs())
	if now := w.deps.Now(); received.After(now) || now.Sub(received) > w.deps.Limits.MaxAge {
		received = now // a gateway writes this, but nobody signs it
	}
	agent := sentinel.AgentID(e.GetAgentId())
	// A key whose grace ends while the batch waits here was good when the gateway
	// took it; the clocks of the two need not agree to the minute.
	id, key, err := w.deps.Keys.Lookup(ctx, agent, e.GetKeyId(), received.Add(-time.Minute))
	if err != nil && sentinel.CodeOf(err) != sentinel.Unauthenticated {
		return fmt.Errorf("look up a key: %w", err)
	}
	if err != nil || !key.VerifyBatch(e) {
		// Unknown agent, unknown key and wrong signature are one reason: nothing that
		// this envelope says of itself is proven.
		g.orphans = append(g.orphans, postgres.Orphan{AgentName: printable(e.GetAgentId()), Epoch: e.GetEpoch(), Seq: e.GetSeq(), Count: e.GetCount(),
			Reason: "bad_signature", Detail: "unknown agent or key, or the signature does not hold", Envelope: cut(raw), Received: received})
		return nil
	}
	b := postgres.Batch{Agent: id, AgentName: agent, Epoch: sentinel.Epoch(e.GetEpoch()), First: e.GetSeq(), Count: e.GetCount(), Envelope: raw, Received: received}
	if e.GetEpoch() == 0 || e.GetEpoch() >= 1<<63 || e.GetSeq() == 0 || e.GetSeq() > 1<<62 || e.GetCount() == 0 || int(e.GetCount()) > w.deps.Limits.MaxCycles {
		g.orphans = append(g.orphans, postgres.Orphan{AgentName: string(agent), Epoch: e.GetEpoch(), Seq: e.GetSeq(), Count: e.GetCount(),
			Reason: "bad_name", Detail: "epoch, seq or count is out of range", Envelope: raw, Received: received})
		return nil
	}
	bad, err := w.fill(ctx, &b, e)
	switch {
	case errors.Is(err, errLayoutNowhere):
		g.abandoned++
		w.deps.Log.Warn("batch names a layout that is nowhere, its agent will send both again", "agent", agent, "epoch", b.Epoch, "seq", b.First)
		return nil
	case err != nil:
		return err
	case bad != nil:
		b.Cycles, b.Losses, b.Digests, b.LayoutID = nil, nil, nil, 0
		b.Quarantine = bad
	}
	g.names[id] = agent
	g.batches = append(g.batches, b)
	return nil
}

// printable makes a name that nobody vouches for fit to be stored.
func printable(s string) string {
	if sentinel.AgentID(s).Validate() != nil {
		return fmt.Sprintf("%.64q", s)
	}
	return s
}

// fill decodes the payload into the batch. It returns why the batch cannot be
// used, or an error where that cannot be judged now.
func (w *Writer) fill(ctx context.Context, b *postgres.Batch, e *sentinelpb.Envelope) (*postgres.Quarantine, error) {
	switch e.GetCodec() {
	case sentinelpb.Codec_CODEC_CYCLES_V1:
		return w.fillCycles(ctx, b, e.GetPayload())
	case sentinelpb.Codec_CODEC_LOSSES_V1:
		return fillLosses(b, e.GetPayload()), nil
	}
	return &postgres.Quarantine{Reason: "bad_codec", Detail: fmt.Sprintf("codec %d is not known", e.GetCodec())}, nil
}

func (w *Writer) fillCycles(ctx context.Context, b *postgres.Batch, payload []byte) (*postgres.Quarantine, error) {
	malformed := func(err error) *postgres.Quarantine {
		return &postgres.Quarantine{Reason: "malformed", Detail: err.Error()}
	}
	h, _, err := wire.PeekLayout(payload)
	if err != nil {
		return malformed(err), nil
	}
	layout, err := w.layouts.find(ctx, b.Agent, b.AgentName, h)
	if err != nil {
		return nil, err
	}
	cycles, err := wire.DecodeCycles(payload, w.deps.Limits, layout.series)
	if err != nil {
		return malformed(err), nil
	}
	if len(cycles) != int(b.Count) {
		return malformed(fmt.Errorf("count is %d, the payload holds %d cycles", b.Count, len(cycles))), nil
	}
	now := w.deps.Now()
	for _, c := range cycles {
		if err := w.deps.Limits.CheckTime(c.Time, now); err != nil {
			return &postgres.Quarantine{Reason: "bad_time", Detail: err.Error()}, nil
		}
	}
	b.LayoutID, b.Cycles, b.Digests = layout.id, cycles, wire.Digests(cycles)
	return nil, nil
}

func fillLosses(b *postgres.Batch, payload []byte) *postgres.Quarantine {
	var report sentinelpb.LossReport
	if err := proto.Unmarshal(payload, &report); err != nil || b.Count != 1 || len(report.GetLosses()) > maxLosses || len(report.GetLosses()) == 0 {
		return &postgres.Quarantine{Reason: "malformed", Detail: "not a loss report"}
	}
	for _, l := range report.GetLosses() {
		b.Losses = append(b.Losses, sentinel.Loss{Epoch: sentinel.Epoch(l.GetEpoch()),
			Range: sentinel.SeqRange{First: l.GetFirst(), Last: l.GetLast()}, Reason: sentinel.LossReason(l.GetReason())})
	}
	sum := sha256.Sum256(payload)
	b.Digests = []uint64{binary.BigEndian.Uint64(sum[:8])}
	return nil
}
