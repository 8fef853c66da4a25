package live

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/delivery"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const (
	// unknownPatience is how long a batch of an agent that the directory does not know yet
	// holds up its partition: the courier looks every second.
	unknownPatience = 5 * time.Second
	unknownLook     = 200 * time.Millisecond
)

// errUnknown says that an agent may be known in a moment.
var errUnknown = errors.New("the agent is not known here yet")

type layoutKey struct {
	agent sentinel.AgentID
	hash  sentinel.LayoutHash
}

const maxLayouts = 20_000

// cycle is one cycle that was proven, and when a gateway received it.
type cycle struct {
	alerting.Cycle
	received time.Time
}

// openPatiently is open for a message that may be the first of a new agent.
func (p *partition) openPatiently(ctx context.Context, data []byte) ([]cycle, error) {
	for end := time.Now().Add(unknownPatience); time.Now().Before(end); {
		list, err := p.open(ctx, data, true)
		if !errors.Is(err, errUnknown) {
			return list, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(unknownLook):
		}
	}
	return p.open(ctx, data, false)
}

// open returns what can be used of a message. An error is an outage; where wait is set
// it may be errUnknown, else agents that are not known are passed over.
func (p *partition) open(ctx context.Context, data []byte, wait bool) ([]cycle, error) {
	deliveries, err := delivery.Read(data)
	if err != nil {
		p.w.metrics.skipped("malformed").Inc()
		return nil, nil
	}
	var out []cycle
	for _, d := range deliveries {
		list, reason, err := p.openDelivery(ctx, d)
		if errors.Is(err, errUnknown) && !wait {
			reason, err = "agent_unknown", nil
		}
		if err != nil {
			return nil, err
		}
		if reason != "" {
			p.w.metrics.skipped(reason).Inc()
		}
		out = append(out, list...)
	}
	return out, nil
}

func (p *partition) openDelivery(ctx context.Context, d *sentinelpb.Delivery) (list []cycle, skipped string, err error) {
	e, now := d.GetEnvelope(), time.Now()
	received := delivery.Received(d, now, p.w.deps.Limits.MaxAge)
	id := sentinel.AgentID(e.GetAgentId())
	row, err := delivery.Verify(ctx, keys{p.w.deps}, e, received)
	if id == sentinel.SelfTestAgent && errors.Is(err, errUnknown) {
		return nil, "", nil // no host waits for it
	}
	if err != nil && sentinel.CodeOf(err) == sentinel.Unauthenticated {
		return nil, "bad_signature", nil
	}
	if err != nil {
		return nil, "", err
	}
	agent, _, known := p.w.deps.Fleet.Agent(id)
	if !known && id != sentinel.SelfTestAgent {
		return nil, "", errUnknown
	}
	if delivery.CheckName(e, p.w.deps.Limits) != nil {
		return nil, "bad_name", nil
	}
	if e.GetCodec() != sentinelpb.Codec_CODEC_CYCLES_V1 { // reports of losses, and what the writer quarantines
		return nil, "", nil
	}
	h, _, err := wire.PeekLayout(e.GetPayload())
	if err != nil {
		return nil, "malformed", nil //nolint:nilerr // it is counted
	}
	layout, err := p.layout(ctx, id, row, h)
	if err != nil || layout == nil {
		return nil, "layout_unknown", err
	}
	cycles, bad := delivery.Cycles(e.GetPayload(), int(e.GetCount()), len(layout), p.w.deps.Limits, now)
	if bad != nil {
		return nil, bad.Reason, nil
	}
	if id == sentinel.SelfTestAgent { // it is no host: whoever sent it is told, and nothing is judged
		_ = p.w.deps.Broker.Say(broker.TopicSelfTest, fmt.Append(nil, e.GetEpoch())) // who waits gives up by itself
		return nil, "", nil
	}
	for _, c := range cycles {
		list = append(list, cycle{alerting.Cycle{Agent: agent, Layout: h, Series: layout, Time: c.Time, Values: c.Values}, received})
	}
	return list, "", nil
}

// keys asks the directory, and the database for what that does not know yet.
type keys struct{ deps Deps }

func (k keys) Lookup(ctx context.Context, agent sentinel.AgentID, keyID string, at time.Time) (int64, sign.Key, error) {
	row, key, err := k.deps.Fleet.Lookup(ctx, agent, keyID, at)
	if err == nil || sentinel.CodeOf(err) != sentinel.NotFound {
		return row, key, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	row, key, err = k.deps.Keys.Lookup(ctx, agent, keyID, at)
	if err != nil && sentinel.CodeOf(err) == sentinel.Unavailable {
		err = errUnknown // the database does not answer; the directory may
	}
	return row, key, err
}

// layout returns a layout, or nil where it is nowhere: then the agent sends both again.
func (p *partition) layout(ctx context.Context, agent sentinel.AgentID, row int64, h sentinel.LayoutHash) (sentinel.Layout, error) {
	key := layoutKey{agent, h}
	if l, ok := p.layouts[key]; ok {
		return l, nil
	}
	definition, err := p.w.deps.Broker.Layout(ctx, agent, h)
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		ask, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if definition, err = p.w.deps.History.Layout(ask, row, h); err != nil {
			return nil, nil //nolint:nilerr // nowhere, as far as can be known
		}
	}
	if err != nil {
		return nil, err
	}
	layout, err := wire.DecodeLayout(definition, p.w.deps.Limits)
	if err != nil || wire.HashLayout(definition) != h {
		return nil, nil //nolint:nilerr // somebody else wrote this to the broker
	}
	if len(p.layouts) >= maxLayouts {
		clear(p.layouts)
	}
	p.layouts[key] = layout
	return layout, nil
}

// squeeze and stretch keep values small enough for a bucket.
func squeeze(raw []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(raw)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return b.Bytes(), nil
}

func stretch(raw []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(r, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	return out, nil
}
