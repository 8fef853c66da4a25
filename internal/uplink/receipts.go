package uplink

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

// take handles one message of the server.
func (c *conversation) take(m *sentinelpb.ConnectResponse) error {
	switch m := m.GetMessage().(type) {
	case *sentinelpb.ConnectResponse_Receipt:
		return c.takeReceipt(m.Receipt)
	case *sentinelpb.ConnectResponse_Mark:
		return c.takeMark(m.Mark)
	case *sentinelpb.ConnectResponse_Credit:
		c.credits = min(c.credits+int(m.Credit.GetBatches()), 256)
	case *sentinelpb.ConnectResponse_LayoutRequest:
		if h, ok := layoutHash(m.LayoutRequest.GetHash()); ok {
			delete(c.layouts, h)
		}
	case *sentinelpb.ConnectResponse_KeyOffer:
		return c.takeOffer(m.KeyOffer)
	case *sentinelpb.ConnectResponse_Config:
		c.takeConfig(m.Config)
	case *sentinelpb.ConnectResponse_PluginSet:
		c.takePluginSet(m.PluginSet)
	case *sentinelpb.ConnectResponse_PluginChunk:
		if c.plugins != nil {
			c.u.deps.Plugins.Chunk(m.PluginChunk)
		}
	case *sentinelpb.ConnectResponse_KeyAccepted:
		c.takeAccepted(m.KeyAccepted)
	case *sentinelpb.ConnectResponse_Goodbye:
		return &goodbyeError{m.Goodbye.GetCode(), m.Goodbye.GetDetail()}
	}
	return nil // what a newer server says beyond this may be passed over
}

// takeReceipt does what the receipt's code asks for. A code that this agent does
// not know keeps the data.
func (c *conversation) takeReceipt(r *sentinelpb.Receipt) error {
	key := name{sentinel.Epoch(r.GetEpoch()), r.GetSeq()}
	b := c.waiting[key]
	if b == nil {
		return nil // answered before
	}
	delete(c.waiting, key)
	l := c.lane(b)
	l.waiting--
	c.u.metrics.receipt(r.GetCode()).Inc()
	switch r.GetCode() {
	case sentinelpb.Code_CODE_OK, sentinelpb.Code_CODE_DUPLICATE:
		l.pace.Reset()
		c.accepted(b)
		return nil
	case sentinelpb.Code_CODE_INVALID_ARGUMENT:
		return c.giveUp(b, sentinel.LossRejected, r.GetDetail())
	case sentinelpb.Code_CODE_FORKED:
		return c.forked(b, r.GetDetail())
	case sentinelpb.Code_CODE_UNAUTHENTICATED:
		return status.Error(codes.Unauthenticated, r.GetDetail())
	case sentinelpb.Code_CODE_LAYOUT_UNKNOWN:
		if c.layouts[b.layout] {
			delete(c.layouts, b.layout)
			l.pause(time.Second)
		}
		l.again = append(l.again, b)
		return nil
	default:
		l.again = append(l.again, b)
		l.pause(time.Duration(r.GetRetryAfterMs()) * time.Millisecond)
		return nil
	}
}

// accepted notes that the broker has the batch and a mark is to come.
func (c *conversation) accepted(b *batch) {
	last := b.seq + uint64(b.count) - 1
	if len(c.outstanding) == 0 {
		c.moved = time.Now()
	}
	c.outstanding[b.epoch] = max(c.outstanding[b.epoch], last)
}

// giveUp copies a batch to the dead letters, durably, and only then declares its
// records, which lets the log free them once the declaration is settled.
func (c *conversation) giveUp(b *batch, reason sentinel.LossReason, detail string) error {
	if err := c.u.deps.DeadLetter.Put(b.epoch, b.seq, b.count, b.codec.String(), detail, b.payload); err != nil {
		return fmt.Errorf("keep a rejected batch: %w", err)
	}
	c.u.deps.Logger.Warn("batch moved to the dead letters", "epoch", b.epoch, "seq", b.seq, "records", b.count, "reason", detail)
	c.u.metrics.deadLetters.Inc()
	last := b.seq + uint64(b.count) - 1
	loss := sentinel.Loss{Epoch: b.epoch, Range: sentinel.SeqRange{First: b.seq, Last: last}, Reason: reason}
	if err := c.u.deps.Log.Declare(loss); err != nil {
		return fmt.Errorf("declare a rejected batch: %w", err)
	}
	return nil
}

// forked means that this epoch's numbers name another content somewhere: this
// agent's identity or disk was copied. A new epoch cannot collide.
func (c *conversation) forked(b *batch, detail string) error {
	c.u.deps.Logger.Error("another agent writes under this identity; if this host was cloned, register it anew with `sentinelctl agent register`", "epoch", b.epoch, "seq", b.seq)
	if err := c.u.deps.Log.Rotate(); err != nil {
		return fmt.Errorf("open a new epoch: %w", err)
	}
	return c.giveUp(b, sentinel.LossRejected, "forked: "+detail)
}

func (c *conversation) takeMark(m *sentinelpb.Mark) error {
	if m.GetForked() {
		c.u.deps.Logger.Error("another agent writes under this identity; if this host was cloned, register it anew with `sentinelctl agent register`", "epoch", sentinel.Epoch(m.GetEpoch()))
		if err := c.u.deps.Log.Rotate(); err != nil {
			return fmt.Errorf("open a new epoch: %w", err)
		}
	}
	mark, err := c.u.settle(m)
	if err != nil {
		return err
	}
	last, ok := c.outstanding[mark.Epoch]
	if !ok {
		return nil
	}
	c.moved, c.u.stall = time.Now(), stallFirst
	if mark.Through() >= last {
		delete(c.outstanding, mark.Epoch)
	}
	return nil
}

// settle tells the log what the service has settled. A mark that no honest server
// sends is refused.
func (u *Uplink) settle(m *sentinelpb.Mark) (sentinel.Mark, error) {
	mark := sentinel.Mark{Epoch: sentinel.Epoch(m.GetEpoch())}
	next := uint64(1)
	for _, r := range m.GetSettled() {
		if r.GetFirst() < next || r.GetLast() < r.GetFirst() {
			return mark, fmt.Errorf("the server sent a mark with ranges out of order")
		}
		mark.Settled = append(mark.Settled, sentinel.SeqRange{First: r.GetFirst(), Last: r.GetLast()})
		next = r.GetLast() + 2
	}
	if err := u.deps.Log.Settle(mark); err != nil {
		return mark, fmt.Errorf("free the log: %w", err)
	}
	return mark, nil
}

func layoutHash(raw []byte) (h sentinel.LayoutHash, ok bool) {
	return h, copy(h[:], raw) == len(h) && len(raw) == len(h)
}
