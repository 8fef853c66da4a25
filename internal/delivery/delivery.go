// Package delivery reads what lies in the stream of batches. Nothing there is to be
// believed before it is proven: whoever reads it verifies each signature again, on the
// raw bytes, and decodes only then. The writer and alerting judge by the same rules.
package delivery

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// maxDeliveries bounds those of one message; the gateway sends far fewer.
const maxDeliveries = 4096

// Keys finds the key that verified an agent's batches at a time, and the agent's
// row. The error is Unauthenticated where there is none and anything else where it
// cannot be known now.
type Keys interface {
	Lookup(ctx context.Context, agent sentinel.AgentID, keyID string, at time.Time) (id int64, key sign.Key, err error)
}

// Read takes a message apart. The error is Invalid: it is none of ours.
func Read(data []byte) ([]*sentinelpb.Delivery, error) {
	var m sentinelpb.Deliveries
	if len(data) > broker.MaxMessageBytes || proto.Unmarshal(data, &m) != nil || len(m.GetDeliveries()) > maxDeliveries {
		return nil, sentinel.Errorf(sentinel.Invalid, "not a message of deliveries")
	}
	return m.GetDeliveries(), nil
}

// Received returns when the gateway received a delivery, or now where it says what
// cannot be: a gateway writes this, but nobody signs it.
func Received(d *sentinelpb.Delivery, now time.Time, maxAge time.Duration) time.Time {
	received := time.UnixMilli(d.GetReceivedUnixMs())
	if received.After(now) || now.Sub(received) > maxAge {
		return now
	}
	return received
}

// Verify proves an envelope and returns its agent's row. The error is Unauthenticated
// where nothing that the envelope says of itself is proven: unknown agent, unknown key
// and wrong signature are one. Any other error is an outage.
func Verify(ctx context.Context, keys Keys, e *sentinelpb.Envelope, received time.Time) (int64, error) {
	// A key whose grace ends while the batch waits in the stream was good when the
	// gateway took it; the clocks of the two need not agree to the minute.
	id, key, err := keys.Lookup(ctx, sentinel.AgentID(e.GetAgentId()), e.GetKeyId(), received.Add(-time.Minute))
	if err != nil && sentinel.CodeOf(err) != sentinel.Unauthenticated {
		return 0, fmt.Errorf("look up a key: %w", err)
	}
	if err != nil || !key.VerifyBatch(e) {
		return 0, sentinel.Errorf(sentinel.Unauthenticated, "unknown agent or key, or the signature does not hold")
	}
	return id, nil
}

// CheckName returns an Invalid error where what names an envelope is out of range.
func CheckName(e *sentinelpb.Envelope, l sentinel.Limits) error {
	if e.GetEpoch() == 0 || e.GetEpoch() >= 1<<63 || e.GetSeq() == 0 || e.GetSeq() > 1<<62 || e.GetCount() == 0 || int(e.GetCount()) > l.MaxCycles {
		return sentinel.Errorf(sentinel.Invalid, "epoch, seq or count is out of range")
	}
	return nil
}

// Unusable is why the content of a proven envelope cannot be used: Reason is the word
// by which it is counted.
type Unusable struct{ Reason, Detail string }

// Cycles decodes a payload of count cycles of a layout with that many series. now is
// the service's clock.
func Cycles(payload []byte, count, series int, l sentinel.Limits, now time.Time) ([]sentinel.Cycle, *Unusable) {
	cycles, err := wire.DecodeCycles(payload, l, series)
	if err != nil {
		return nil, &Unusable{"malformed", err.Error()}
	}
	if len(cycles) != count {
		return nil, &Unusable{"malformed", fmt.Sprintf("count is %d, the payload holds %d cycles", count, len(cycles))}
	}
	for _, c := range cycles {
		if err := l.CheckTime(c.Time, now); err != nil {
			return nil, &Unusable{"bad_time", err.Error()}
		}
	}
	return cycles, nil
}
