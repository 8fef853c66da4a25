package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/app/notifiers"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// question is what a server asks the one notifier that works.
type question struct {
	Op     string            `json:"op"`
	ID     string            `json:"id,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

type reply struct {
	Code  sentinel.Code   `json:"code,omitempty"`
	Error string          `json:"error,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
}

const (
	opExplain = "explain"
	opTest    = "test"
	opLetters = "letters"
	opReplay  = "replay"
	opDiscard = "discard"

	// askNotifier is how long a server waits: a test message may take its channel's whole
	// timeout.
	askNotifier = 30 * time.Second
)

// answers is what the notifier says when it is asked.
type answers struct {
	d     *notify.Dispatcher
	setup *notifiers.Setup
	ctx   context.Context //nolint:containedctx // of the activity that answers
}

func (a answers) answer(raw []byte) []byte {
	var q question
	var out any
	err := json.Unmarshal(raw, &q)
	if err == nil {
		out, err = a.do(q)
	}
	var r reply
	if err != nil {
		r.Code, r.Error = sentinel.CodeOf(err), err.Error()
	} else if r.Data, err = json.Marshal(out); err != nil {
		r = reply{Code: sentinel.Internal, Error: "the answer cannot be encoded"}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil
	}
	return text
}

func (a answers) do(q question) (any, error) {
	ctx, cancel := context.WithTimeout(a.ctx, askNotifier)
	defer cancel()
	switch q.Op {
	case opExplain:
		return a.d.Explain(q.Labels), nil
	case opTest:
		return struct{}{}, a.d.Test(ctx, q.ID)
	case opLetters:
		list, err := a.d.Letters(ctx)
		if len(list) > 200 { // one message holds no more
			list = list[:200]
		}
		for i := range list {
			n := *list[i].Notification
			n.Alerts = slices.Clone(n.Alerts[:min(len(n.Alerts), 3)])
			list[i].Notification = &n
		}
		return list, err
	case opReplay:
		return struct{}{}, a.d.Replay(ctx, q.ID)
	case opDiscard:
		return struct{}{}, a.d.Discard(ctx, q.ID)
	}
	return nil, sentinel.Errorf(sentinel.Invalid, "the question %.20q is not known", q.Op)
}

// ask asks the notifier that works. The error is Unavailable where none does.
func ask[T any](ctx context.Context, b *broker.Broker, q question) (out T, err error) {
	raw, err := json.Marshal(q)
	if err != nil {
		return out, fmt.Errorf("encode a question: %w", err)
	}
	if raw, err = b.Ask(ctx, broker.TopicNotifier, raw, askNotifier); err != nil {
		return out, sentinel.Errorf(sentinel.Unavailable, "no worker tells people now: %w", err)
	}
	var r reply
	if err := json.Unmarshal(raw, &r); err != nil {
		return out, fmt.Errorf("read the notifier's answer: %w", err)
	}
	if r.Error != "" {
		return out, sentinel.Errorf(r.Code, "%s", r.Error)
	}
	if err := json.Unmarshal(r.Data, &out); err != nil {
		return out, fmt.Errorf("read the notifier's answer: %w", err)
	}
	return out, nil
}
