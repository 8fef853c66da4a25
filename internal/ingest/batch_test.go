package ingest_test

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

// TestAcceptedBatchesReachTheBrokerUnchanged also shows that the answer comes
// after the broker's: what was answered OK is there at once.
func TestAcceptedBatchesReachTheBrokerUnchanged(t *testing.T) {
	g := start(t, nil)
	c, _ := g.connect()
	var sent []*sentinelpb.Envelope
	for range 20 {
		e := c.envelope(3)
		c.key.Batch(e)
		c.batch(e)
		if r := c.receipt(); r.GetCode() != sentinelpb.Code_CODE_OK || r.GetSeq() != e.GetSeq() || r.GetEpoch() != e.GetEpoch() {
			t.Fatalf("receipt: %v", r)
		}
		sent = append(sent, e)
	}
	got := g.published()
	if len(got) != len(sent) {
		t.Fatalf("%d of %d accepted batches are in the broker", len(got), len(sent))
	}
	for i := range sent {
		if !proto.Equal(got[i], sent[i]) || !c.key.VerifyBatch(got[i]) {
			t.Errorf("batch %d was changed on its way", i)
		}
	}
}

func TestP16P22BadBatchesAreNotPublished(t *testing.T) {
	g := start(t, nil)
	c, _ := g.connect()
	two := g.keys["ag-two"]
	signed := func(change func(*sentinelpb.Envelope)) *sentinelpb.Envelope {
		e := c.envelope(2)
		change(e)
		c.key.Batch(e)
		return e
	}
	losses := func(l ...*sentinelpb.Loss) func(*sentinelpb.Envelope) {
		return func(e *sentinelpb.Envelope) {
			raw, err := proto.Marshal(&sentinelpb.LossReport{Losses: l})
			if err != nil {
				t.Fatal(err)
			}
			e.Codec, e.Count, e.Payload = sentinelpb.Codec_CODEC_LOSSES_V1, 1, raw
		}
	}
	none := func(*sentinelpb.Envelope) {}
	altered := func(change func(*sentinelpb.Envelope)) *sentinelpb.Envelope { // after the signature
		e := signed(none)
		change(e)
		return e
	}
	other := c.envelope(1)
	two.Batch(other)
	borrowed := c.envelope(1)
	borrowed.AgentId = "ag-two"
	two.Batch(borrowed)
	old := c.envelopeAt(1, time.Now().Add(-31*24*time.Hour))
	c.key.Batch(old)
	ahead := c.envelopeAt(1, time.Now().Add(11*time.Minute))
	c.key.Batch(ahead)
	unsigned := c.envelope(1)

	for _, tt := range []struct {
		name   string
		e      *sentinelpb.Envelope
		code   sentinelpb.Code
		reason string
	}{
		{"one bit of the payload", altered(func(e *sentinelpb.Envelope) { e.Payload[len(e.Payload)/2] ^= 1 }), sentinelpb.Code_CODE_UNAUTHENTICATED, "bad_signature"},
		{"one bit of the signature", altered(func(e *sentinelpb.Envelope) { e.Mac[0] ^= 1 }), sentinelpb.Code_CODE_UNAUTHENTICATED, "bad_signature"},
		{"another number", altered(func(e *sentinelpb.Envelope) { e.Seq++ }), sentinelpb.Code_CODE_UNAUTHENTICATED, "bad_signature"},
		{"another epoch", altered(func(e *sentinelpb.Envelope) { e.Epoch++ }), sentinelpb.Code_CODE_UNAUTHENTICATED, "bad_signature"},
		{"not signed", unsigned, sentinelpb.Code_CODE_UNAUTHENTICATED, "bad_signature"},
		{"another agent's key", other, sentinelpb.Code_CODE_UNAUTHENTICATED, "bad_signature"},
		{"another agent's batch", borrowed, sentinelpb.Code_CODE_UNAUTHENTICATED, "borrowed"},
		{"epoch 0", signed(func(e *sentinelpb.Envelope) { e.Epoch = 0 }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_name"},
		{"epoch too large", signed(func(e *sentinelpb.Envelope) { e.Epoch = 1 << 63 }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_name"},
		{"number 0", signed(func(e *sentinelpb.Envelope) { e.Seq = 0 }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_name"},
		{"number too large", signed(func(e *sentinelpb.Envelope) { e.Seq = 1<<64 - 1 }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_name"},
		{"no records", signed(func(e *sentinelpb.Envelope) { e.Count = 0 }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_name"},
		{"another count", signed(func(e *sentinelpb.Envelope) { e.Count = 1 }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed"},
		{"no codec", signed(func(e *sentinelpb.Envelope) { e.Codec = 0 }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_codec"},
		{"an unknown codec", signed(func(e *sentinelpb.Envelope) { e.Codec = 99 }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_codec"},
		{"no payload", signed(func(e *sentinelpb.Envelope) { e.Payload = nil }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed"},
		{"a payload cut short", signed(func(e *sentinelpb.Envelope) { e.Payload = e.Payload[:len(e.Payload)-1] }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed"},
		{"a payload of zeros", signed(func(e *sentinelpb.Envelope) { e.Payload = make([]byte, 500) }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed"},
		{"a payload too large", signed(func(e *sentinelpb.Envelope) { e.Payload = make([]byte, 600<<10) }), sentinelpb.Code_CODE_INVALID_ARGUMENT, "too_large"},
		{"too old", old, sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_time"},
		{"too far ahead", ahead, sentinelpb.Code_CODE_INVALID_ARGUMENT, "bad_time"},
		{"a loss without reason", signed(losses(&sentinelpb.Loss{Epoch: 1, First: 1, Last: 1})), sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed"},
		{"a loss backwards", signed(losses(&sentinelpb.Loss{Epoch: 1, First: 2, Last: 1, Reason: 1})), sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed"},
		{"a loss of everything", signed(losses(&sentinelpb.Loss{Epoch: 1, First: 1, Last: 1<<64 - 1, Reason: 1})), sentinelpb.Code_CODE_INVALID_ARGUMENT, "malformed"},
	} {
		before := g.counted(`sentinel_gateway_batches_rejected_total{reason="` + tt.reason + `"}`)
		c.batch(tt.e)
		if r := c.receipt(); r.GetCode() != tt.code || r.GetSeq() != tt.e.GetSeq() {
			t.Errorf("%s: receipt %v, want %v", tt.name, r, tt.code)
		}
		if after := g.counted(`sentinel_gateway_batches_rejected_total{reason="` + tt.reason + `"}`); after == before {
			t.Errorf("%s: not counted as %s", tt.name, tt.reason)
		}
	}
	if got := g.published(); len(got) != 0 {
		t.Errorf("%d bad batches were published, the first is %v", len(got), got[0])
	}
	good := signed(none)
	c.batch(good)
	if r := c.receipt(); r.GetCode() != sentinelpb.Code_CODE_OK {
		t.Errorf("a good batch after all the bad ones: %v", r)
	}
}

func TestAnUnknownLayoutIsAskedFor(t *testing.T) {
	g := start(t, nil)
	c, _ := g.connect()
	g.layout = append(g.layout, sentinel.NewSeries("one_more", sentinel.Counter, "bytes"))
	e := c.envelope(1)
	e.Payload = nil
	full := sentinel.Cycle{Layout: sentinel.LayoutHash(hash(encode(g.layout))), Time: time.Now(), Values: []float64{1, 2, 3, 4}}
	e.Payload = payload(t, full)
	c.key.Batch(e)
	c.batch(e)
	r := c.receipt()
	if r.GetCode() != sentinelpb.Code_CODE_LAYOUT_UNKNOWN || !bytes.Equal(r.GetLayoutHash(), hash(encode(g.layout))) {
		t.Fatalf("receipt: %v", r)
	}
	c.makeKnown(g.layout)
	c.batch(e)
	if r := c.receipt(); r.GetCode() != sentinelpb.Code_CODE_OK {
		t.Errorf("receipt: %v", r)
	}
}

func TestRateLimitHoldsAcrossSessions(t *testing.T) {
	g := start(t, func(c *ingest.Config) { c.AgentBatchesPerSecond = 0.5 }) // a burst of five
	var limited *sentinelpb.Receipt
	for range 3 {
		c, _ := g.connect()
		for range 3 {
			e := c.envelope(1)
			c.key.Batch(e)
			c.batch(e)
			if r := c.receipt(); r.GetCode() == sentinelpb.Code_CODE_RESOURCE_EXHAUSTED {
				limited = r
			}
		}
	}
	if limited == nil || limited.GetRetryAfterMs() == 0 || limited.GetRetryAfterMs() > 60_000 {
		t.Errorf("nine batches at once: %v", limited)
	}
	if n := len(g.published()); n < 5 || n > 6 {
		t.Errorf("%d batches went through, want the burst of 5", n)
	}
}

// TestP12AnUnreachableBrokerIsNotAnAcceptance stops the broker under a session.
func TestP12AnUnreachableBrokerIsNotAnAcceptance(t *testing.T) {
	g := start(t, nil)
	c, _ := g.connect()
	first := c.envelope(1)
	c.key.Batch(first)
	c.batch(first)
	if r := c.receipt(); r.GetCode() != sentinelpb.Code_CODE_OK {
		t.Fatalf("receipt: %v", r)
	}
	g.nats.Stop()
	e := c.envelope(1)
	c.key.Batch(e)
	c.batch(e)
	if r := c.receipt(); r.GetCode() != sentinelpb.Code_CODE_UNAVAILABLE || r.GetRetryAfterMs() == 0 {
		t.Errorf("receipt: %v", r)
	}
}

func TestP23AFloodOfBatchesEndsTheSessionAlone(t *testing.T) {
	g := start(t, func(c *ingest.Config) { c.MaxUnacknowledged = 1 })
	hostile, _ := g.connect()
	e := hostile.envelope(1)
	hostile.key.Batch(e)
	for range 5000 { // without ever reading a receipt
		if hostile.stream.Send(&sentinelpb.ConnectRequest{Message: &sentinelpb.ConnectRequest_Batch{Batch: &sentinelpb.Batch{Envelope: e}}}) != nil {
			break
		}
	}
	if err := hostile.end(); status.Code(err) == codes.OK {
		t.Errorf("the flood ended with %v", err)
	}
	g.agent = "ag-two"
	honest, _ := g.connect()
	good := honest.envelope(1)
	honest.key.Batch(good)
	honest.batch(good)
	if r := honest.receipt(); r.GetCode() != sentinelpb.Code_CODE_OK {
		t.Errorf("another agent: %v", r)
	}
}
