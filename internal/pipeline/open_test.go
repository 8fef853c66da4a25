package pipeline

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// oneKey knows one agent with one key.
type oneKey struct{ key sign.Key }

func (k oneKey) Lookup(_ context.Context, agent sentinel.AgentID, id string, _ time.Time) (int64, sign.Key, error) {
	if agent != "ag-one" || id != k.key.ID {
		return 0, sign.Key{}, sentinel.Errorf(sentinel.Unauthenticated, "no such key")
	}
	return 1, k.key, nil
}

// FuzzOpen feeds the writer with messages as they may lie in a broker that others
// can write to. No input may make it panic, and every envelope must end as a
// batch or as an orphan.
func FuzzOpen(f *testing.F) {
	key, err := sign.KeyFromSecret("k-1", make([]byte, sign.SecretSize))
	if err != nil {
		f.Fatal(err)
	}
	w := New(DefaultConfig(), Deps{Keys: oneKey{key}, Limits: sentinel.DefaultLimits(), Metrics: telemetry.NewRegistry(),
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	e := &sentinelpb.Envelope{AgentId: "ag-one", Epoch: 1, Seq: 1, Count: 1, Codec: sentinelpb.Codec_CODEC_LOSSES_V1}
	key.Batch(e)
	for _, d := range []*sentinelpb.Deliveries{
		{}, {Deliveries: []*sentinelpb.Delivery{{}}}, {Deliveries: []*sentinelpb.Delivery{{Envelope: e, ReceivedUnixMs: -1}, {Envelope: e}}},
	} {
		raw, err := proto.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g := &group{names: map[int64]sentinel.AgentID{}}
		if err := w.open(t.Context(), g, data); err != nil {
			t.Fatalf("an outage without one: %v", err)
		}
		var m sentinelpb.Deliveries
		if proto.Unmarshal(data, &m) == nil && len(m.GetDeliveries()) <= 4096 && len(g.batches)+len(g.orphans) != len(m.GetDeliveries()) {
			t.Errorf("%d deliveries gave %d batches and %d orphans", len(m.GetDeliveries()), len(g.batches), len(g.orphans))
		}
	})
}
