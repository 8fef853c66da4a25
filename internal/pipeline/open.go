package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/delivery"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const maxLosses = 10_000

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
	deliveries, err := delivery.Read(data)
	if err != nil {
		g.orphans = append(g.orphans, postgres.Orphan{Reason: "malformed", Detail: err.Error(), Envelope: cut(data), Received: w.deps.Now()})
		return nil
	}
	for _, d := range deliveries {
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
	received := delivery.Received(d, w.deps.Now(), w.deps.Limits.MaxAge)
	agent := sentinel.AgentID(e.GetAgentId())
	id, err := delivery.Verify(ctx, w.deps.Keys, e, received)
	if err != nil && sentinel.CodeOf(err) != sentinel.Unauthenticated {
		return err
	}
	if err != nil {
		g.orphans = append(g.orphans, postgres.Orphan{AgentName: printable(e.GetAgentId()), Epoch: e.GetEpoch(), Seq: e.GetSeq(), Count: e.GetCount(),
			Reason: "bad_signature", Detail: err.Error(), Envelope: cut(raw), Received: received})
		return nil
	}
	b := postgres.Batch{Agent: id, AgentName: agent, Epoch: sentinel.Epoch(e.GetEpoch()), First: e.GetSeq(), Count: e.GetCount(), Envelope: raw, Received: received}
	if err := delivery.CheckName(e, w.deps.Limits); err != nil {
		g.orphans = append(g.orphans, postgres.Orphan{AgentName: string(agent), Epoch: e.GetEpoch(), Seq: e.GetSeq(), Count: e.GetCount(),
			Reason: "bad_name", Detail: err.Error(), Envelope: raw, Received: received})
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
	h, _, err := wire.PeekLayout(payload)
	if err != nil {
		return &postgres.Quarantine{Reason: "malformed", Detail: err.Error()}, nil
	}
	layout, err := w.layouts.find(ctx, b.Agent, b.AgentName, h)
	if err != nil {
		return nil, err
	}
	cycles, bad := delivery.Cycles(payload, int(b.Count), layout.series, w.deps.Limits, w.deps.Now())
	if bad != nil {
		return &postgres.Quarantine{Reason: bad.Reason, Detail: bad.Detail}, nil
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
