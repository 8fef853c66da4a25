package ingest_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// FuzzSignedPayload sends payloads that an agent has signed, and that may be
// anything, through a real session. Each must be answered, and only what decodes
// may be accepted.
func FuzzSignedPayload(f *testing.F) {
	g := start(f, nil)
	c, _ := g.connect()
	h := wire.HashLayout(wire.EncodeLayout(g.layout))
	good := payload(f, sentinel.Cycle{Layout: h, Time: time.Now(), Values: []float64{1, 2, 3}})
	f.Add(good, uint32(1), int32(1))
	f.Add(good[:len(good)-1], uint32(1), int32(1))
	f.Add([]byte{}, uint32(0), int32(2))
	report, err := proto.Marshal(&sentinelpb.LossReport{Losses: []*sentinelpb.Loss{{Epoch: 1, First: 1, Last: 2, Reason: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(report, uint32(1), int32(2))
	f.Fuzz(func(t *testing.T, raw []byte, count uint32, codec int32) {
		if len(raw) > 256<<10 {
			return
		}
		g.t = t // a fuzz target may not speak through f
		e := &sentinelpb.Envelope{AgentId: "ag-one", Epoch: uint64(c.epoch), Seq: c.seq, Count: count, Codec: sentinelpb.Codec(codec), Payload: raw}
		c.seq++
		c.key.Batch(e)
		c.batch(e)
		r := c.receipt()
		if r.GetCode() != sentinelpb.Code_CODE_OK {
			return
		}
		switch e.GetCodec() {
		case sentinelpb.Codec_CODEC_CYCLES_V1:
			if _, err := wire.DecodeCycles(raw, sentinel.DefaultLimits(), len(g.layout)); err != nil {
				t.Errorf("accepted, but %v", err)
			}
		case sentinelpb.Codec_CODEC_LOSSES_V1:
			if proto.Unmarshal(raw, new(sentinelpb.LossReport)) != nil {
				t.Error("accepted, but not a loss report")
			}
		default:
			t.Errorf("codec %d is accepted", codec)
		}
	})
}
