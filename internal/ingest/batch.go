package ingest

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const (
	maxSeq    = 1 << 62 // far above any real sequence number, far below overflow
	maxLosses = 10_000  // ranges in one loss report
)

// refusal is why a batch is not accepted: the answer to the agent and the word by
// which it is counted.
type refusal struct {
	receipt sentinelpb.Receipt
	reason  string
}

func refuse(code sentinelpb.Code, reason, detail string) *refusal {
	return &refusal{sentinelpb.Receipt{Code: code, Detail: detail}, reason}
}

// takeBatch checks one batch and hands it to the publisher. An error ends the
// session; a batch that is not accepted does not.
func (s *session) takeBatch(ctx context.Context, b *sentinelpb.Batch) error {
	e := b.GetEnvelope()
	if e == nil {
		return status.Error(codes.InvalidArgument, "a batch holds an envelope")
	}
	if !s.pending.enter(2 * s.g.cfg.MaxUnacknowledged) {
		return status.Errorf(codes.ResourceExhausted, "more than %d batches are without a receipt", 2*s.g.cfg.MaxUnacknowledged)
	}
	if b.GetLane() == sentinelpb.Lane_LANE_BACKLOG {
		s.backlogAt.Store(s.g.deps.Now().UnixMilli())
	}
	size := int64(len(e.GetPayload())) + 256
	r := s.check(ctx, e)
	if r == nil && !s.g.memory.TryAcquire(size) {
		r = refuse(sentinelpb.Code_CODE_RESOURCE_EXHAUSTED, "memory", "the gateway holds all the batches it can, send again later")
		r.receipt.RetryAfterMs = 1000
	}
	if r != nil {
		s.g.metrics.rejected(r.reason).Inc()
		s.finish(e, b.GetLane(), &r.receipt)
		return nil
	}
	d := &sentinelpb.Delivery{Envelope: e, ReceivedUnixMs: s.g.deps.Now().UnixMilli()}
	s.g.publish.submit(ctx, sentinel.AgentID(e.GetAgentId()), d, func(err error) {
		s.g.memory.Release(size)
		s.finish(e, b.GetLane(), s.published(err, e))
	})
	return nil
}

// published turns the publisher's answer into a receipt.
func (s *session) published(err error, e *sentinelpb.Envelope) *sentinelpb.Receipt {
	if err == nil {
		s.g.metrics.accepted.Inc()
		s.g.metrics.acceptedRecords.Add(int(e.GetCount()))
		return &sentinelpb.Receipt{Code: sentinelpb.Code_CODE_OK}
	}
	s.g.metrics.rejected("broker").Inc()
	code := sentinelpb.Code_CODE_UNAVAILABLE
	if sentinel.CodeOf(err) == sentinel.ResourceExhausted {
		code = sentinelpb.Code_CODE_RESOURCE_EXHAUSTED
	}
	s.log.Warn("batch could not be published", "epoch", sentinel.Epoch(e.GetEpoch()), "seq", e.GetSeq(), "error", err)
	return &sentinelpb.Receipt{Code: code, Detail: "the broker did not take the batch, send it again later", RetryAfterMs: 1000}
}

// finish answers a batch and gives a credit back once the fleet's pace allows it.
func (s *session) finish(e *sentinelpb.Envelope, lane sentinelpb.Lane, r *sentinelpb.Receipt) {
	r.Epoch, r.Seq = e.GetEpoch(), e.GetSeq()
	s.pending.leave()
	s.send(&sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Receipt{Receipt: r}})
	if lane != sentinelpb.Lane_LANE_BACKLOG {
		return
	}
	credit := &sentinelpb.ConnectResponse{Message: &sentinelpb.ConnectResponse_Credit{Credit: &sentinelpb.Credit{Batches: 1}}}
	if wait := s.g.rates.creditDelay(s.g.deps.Now()); wait > 0 {
		time.AfterFunc(wait, func() { s.send(credit) })
		return
	}
	s.send(credit)
}

// check answers nil where the batch may go on. The signature is verified on the
// raw bytes before anything of the payload is decoded.
func (s *session) check(ctx context.Context, e *sentinelpb.Envelope) *refusal {
	l := s.g.cfg.limits()
	if sentinel.AgentID(e.GetAgentId()) != s.agent {
		return refuse(sentinelpb.Code_CODE_UNAUTHENTICATED, "borrowed", "the batch names another agent than the session")
	}
	if len(e.GetPayload()) > l.MaxPayloadBytes {
		return refuse(sentinelpb.Code_CODE_INVALID_ARGUMENT, "too_large", "the payload is too large")
	}
	key, err := s.g.deps.Keys.Key(ctx, s.agent, e.GetKeyId())
	if err != nil && sentinel.CodeOf(err) != sentinel.Unauthenticated {
		return refuse(sentinelpb.Code_CODE_UNAVAILABLE, "keys_unavailable", "the key cannot be checked now")
	}
	if err != nil || !key.VerifyBatch(e) {
		return refuse(sentinelpb.Code_CODE_UNAUTHENTICATED, "bad_signature", "the signature is not valid")
	}
	if wait := s.g.rates.admit(s.agent, s.cost(e), s.g.deps.Now()); wait > 0 {
		r := refuse(sentinelpb.Code_CODE_RESOURCE_EXHAUSTED, "rate", "the rate limit is reached, send again later")
		r.receipt.RetryAfterMs = uint32(min(wait.Milliseconds()+1, 60_000))
		return r
	}
	if e.GetEpoch() == 0 || e.GetEpoch() >= 1<<63 || e.GetSeq() == 0 || e.GetSeq() > maxSeq || e.GetCount() == 0 {
		return refuse(sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_name", "epoch, seq or count is out of range")
	}
	switch e.GetCodec() {
	case sentinelpb.Codec_CODEC_CYCLES_V1:
		return s.checkCycles(e, l)
	case sentinelpb.Codec_CODEC_LOSSES_V1:
		return checkLosses(e)
	}
	return refuse(sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_codec", "the codec is not known")
}

// cost is what a batch takes from the rates: its bytes or its values, whichever is
// more, since a few bytes may stand for many values that are all zero.
func (s *session) cost(e *sentinelpb.Envelope) int {
	bytes := len(e.GetPayload())
	if h, cycles, err := wire.PeekLayout(e.GetPayload()); err == nil && e.GetCodec() == sentinelpb.Codec_CODEC_CYCLES_V1 {
		return max(bytes, min(cycles, s.g.cfg.limits().MaxCycles)*s.layouts[h])
	}
	return bytes
}

func (s *session) checkCycles(e *sentinelpb.Envelope, l sentinel.Limits) *refusal {
	h, _, err := wire.PeekLayout(e.GetPayload())
	if err != nil {
		return refuse(sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed", err.Error())
	}
	series, known := s.layouts[h]
	if !known {
		r := refuse(sentinelpb.Code_CODE_LAYOUT_UNKNOWN, "layout_unknown", "the layout is not known in this session")
		r.receipt.LayoutHash = h[:]
		return r
	}
	cycles, err := wire.DecodeCycles(e.GetPayload(), l, series)
	if err != nil {
		return refuse(sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed", err.Error())
	}
	if len(cycles) != int(e.GetCount()) {
		return refuse(sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed", "count is not the number of cycles")
	}
	for _, c := range cycles {
		if err := l.CheckTime(c.Time, s.g.deps.Now()); err != nil {
			return refuse(sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_time", err.Error())
		}
	}
	return nil
}

func checkLosses(e *sentinelpb.Envelope) *refusal {
	var report sentinelpb.LossReport
	if e.GetCount() != 1 || proto.Unmarshal(e.GetPayload(), &report) != nil || len(report.GetLosses()) > maxLosses {
		return refuse(sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed", "the loss report is malformed")
	}
	for _, l := range report.GetLosses() {
		if l.GetEpoch() == 0 || l.GetEpoch() >= 1<<63 || l.GetFirst() == 0 || l.GetLast() < l.GetFirst() || l.GetLast() > maxSeq ||
			!sentinel.LossReason(l.GetReason()).Valid() {
			return refuse(sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed", "the loss report names an impossible range or reason")
		}
	}
	return nil
}
