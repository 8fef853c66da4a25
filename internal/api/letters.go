package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// Broker takes batches on their way to the database.
type Broker interface {
	Partitions() int
	Publish(ctx context.Context, partition int, id string, data []byte) error
	Stats(ctx context.Context) (broker.Stats, error)
}

// DeadLetter is a batch that could not be used.
type DeadLetter struct {
	ID         int64      `json:"id"`
	Agent      string     `json:"agent" doc:"As the batch says; of an orphan it may be a lie"`
	Orphan     bool       `json:"orphan" doc:"Charged to no agent's books: nothing that it says of itself is proven"`
	Epoch      string     `json:"epoch"`
	Seq        uint64     `json:"seq" doc:"Number of its first record"`
	Count      uint64     `json:"count" doc:"Records in it"`
	Charged    uint64     `json:"charged" doc:"Records that the agent's books count as quarantined by it"`
	Reason     string     `json:"reason"`
	Detail     string     `json:"detail"`
	ReceivedAt time.Time  `json:"received_at"`
	CreatedAt  time.Time  `json:"created_at"`
	ReplayedAt *time.Time `json:"replayed_at,omitempty" doc:"When it was handed to the pipeline again"`
	TriedAt    *time.Time `json:"tried_at,omitempty" doc:"When it was found to be of no use again"`
}

// LetterPage is one page of dead letters, newest first.
type LetterPage struct {
	Letters []DeadLetter `json:"letters"`
	Next    string       `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
}

// LetterContent is what a dead letter holds, as far as it can be read.
type LetterContent struct {
	DeadLetter
	Bytes      int        `json:"bytes"`
	Codec      string     `json:"codec,omitempty"`
	KeyID      string     `json:"key_id,omitempty"`
	Layout     string     `json:"layout,omitempty"`
	Series     int        `json:"series,omitempty"`
	Cycles     int        `json:"cycles,omitempty"`
	Losses     int        `json:"losses,omitempty"`
	From       *time.Time `json:"from,omitempty" doc:"Time of its first cycle"`
	To         *time.Time `json:"to,omitempty" doc:"Time of its last cycle"`
	Unread     string     `json:"unread,omitempty" doc:"Why the rest could not be read"`
	Replayable bool       `json:"replayable" doc:"The bytes are a whole envelope"`
}

// LetterFilter selects dead letters; zero fields select everything.
type LetterFilter struct {
	Agent, Reason string
	Orphans       bool
	OlderThan     time.Duration // to purge only
}

// Purged says how many letters went.
type Purged struct {
	Letters int64 `json:"letters"`
}

func (r resources) letters() {
	type listInput struct {
		Agent   string `query:"agent" doc:"Only those that are charged to this agent"`
		Orphans bool   `query:"orphans" doc:"Only those of no agent"`
		Reason  string `query:"reason" maxLength:"64"`
		After   string `query:"after" doc:"The cursor that the page before gave as next"`
		Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	type listOutput struct{ Body LetterPage }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/dead-letters", "list-dead-letters", "List dead letters, newest first"),
		func(ctx context.Context, in *listInput) (*listOutput, error) {
			f := postgres.LetterFilter{Orphans: in.Orphans, Reason: in.Reason, Limit: in.Limit}
			var err error
			if f.Before, err = cursor(in.After); err != nil {
				return nil, r.fail(ctx, err)
			}
			if f.Agent, err = r.letterAgent(ctx, in.Agent, in.Reason); err != nil {
				return nil, err
			}
			rows, err := r.deps.DB.Letters(ctx, f)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			page := LetterPage{Letters: make([]DeadLetter, 0, len(rows))}
			for _, l := range rows {
				page.Letters = append(page.Letters, toLetter(l))
			}
			if len(rows) == in.Limit {
				page.Next = strconv.FormatInt(rows[len(rows)-1].ID, 36)
			}
			return &listOutput{page}, nil
		})

	type oneInput struct {
		ID int64 `path:"letter" minimum:"1"`
	}
	type showOutput struct{ Body LetterContent }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/dead-letters/{letter}", "get-dead-letter", "Show what a dead letter holds"),
		func(ctx context.Context, in *oneInput) (*showOutput, error) {
			l, err := r.deps.DB.Letter(ctx, in.ID)
			if err != nil {
				return nil, r.fail(ctx, noLetter(err, in.ID))
			}
			return &showOutput{r.content(ctx, l)}, nil
		})

	type replayOutput struct{ Body DeadLetter }
	replay := operation(postgres.Operator, http.MethodPost, "/dead-letters/{letter}/replay", "replay-dead-letter",
		"Hand a dead letter's exact bytes to the pipeline again; it goes once they are stored")
	replay.DefaultStatus = http.StatusAccepted
	huma.Register(r.api, replay, func(ctx context.Context, in *oneInput) (*replayOutput, error) {
		l, err := r.replay(ctx, in.ID)
		if err != nil {
			return nil, r.fail(ctx, noLetter(err, in.ID))
		}
		return &replayOutput{toLetter(l)}, nil
	})

	type purgeOutput struct{ Body Purged }
	huma.Register(r.api, operation(postgres.Admin, http.MethodDelete, "/dead-letters/{letter}", "purge-dead-letter", "Remove a dead letter and its bytes for good"),
		func(ctx context.Context, in *oneInput) (*purgeOutput, error) {
			n, err := r.deps.DB.PurgeLetters(ctx, entry(ctx, "dead-letter.purge", strconv.FormatInt(in.ID, 10)), postgres.LetterPurge{ID: in.ID})
			if err != nil {
				return nil, r.fail(ctx, noLetter(err, in.ID))
			}
			return &purgeOutput{Purged{n}}, nil
		})
	type purgeInput struct {
		Agent     string `query:"agent" doc:"Only those that are charged to this agent"`
		Orphans   bool   `query:"orphans" doc:"Only those of no agent"`
		Reason    string `query:"reason" maxLength:"64"`
		OlderThan string `query:"older_than" doc:"Only those kept for longer than this, such as 30d"`
	}
	huma.Register(r.api, operation(postgres.Admin, http.MethodDelete, "/dead-letters", "purge-dead-letters", "Remove dead letters and their bytes for good: all that fit"),
		func(ctx context.Context, in *purgeInput) (*purgeOutput, error) {
			p := postgres.LetterPurge{Orphans: in.Orphans, Reason: in.Reason}
			var err error
			if p.Agent, err = r.letterAgent(ctx, in.Agent, in.Reason); err != nil {
				return nil, err
			}
			if in.OlderThan != "" {
				age, err := sentinel.ParseDuration(in.OlderThan)
				if err != nil || age < 0 {
					return nil, r.fail(ctx, wrong("query.older_than", "want a duration such as 30d, not %.40q", in.OlderThan))
				}
				p.Before = time.Now().Add(-age)
			}
			by := entry(ctx, "dead-letter.purge", in.Agent)
			by.Details = map[string]any{"reason": in.Reason, "orphans": in.Orphans, "older_than": in.OlderThan}
			n, err := r.deps.DB.PurgeLetters(ctx, by, p)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			return &purgeOutput{Purged{n}}, nil
		})
}

func noLetter(err error, id int64) error {
	return missing(err, "dead letter %d does not exist (any more); `sentinelctl dlq ls` lists those there are", id)
}

// letterAgent returns the row of the agent in a filter, 0 where it names none.
func (r resources) letterAgent(ctx context.Context, name, reason string) (int64, error) {
	if err := clean("query.reason", reason); err != nil {
		return 0, r.fail(ctx, err)
	}
	if name == "" {
		return 0, nil
	}
	if err := sentinel.AgentID(name).Validate(); err != nil {
		return 0, r.fail(ctx, wrong("query.agent", "%w", err))
	}
	a, err := r.agent(ctx, name)
	return a.ID, err
}

// replay publishes a letter's envelope as a gateway would. Signature, ledger and
// limits are judged anew by whichever worker gets it, and the letter goes in the
// very transaction that stores its content: until then, and where anything breaks in
// between, it stays, and may be replayed again.
func (r resources) replay(ctx context.Context, id int64) (postgres.Letter, error) {
	l, err := r.deps.DB.Letter(ctx, id)
	if err != nil {
		return l, err
	}
	e, err := openLetter(l)
	if err != nil {
		return l, sentinel.Errorf(sentinel.Conflict, "dead letter %d cannot be replayed: %w", id, err)
	}
	raw, err := proto.Marshal(&sentinelpb.Deliveries{Deliveries: []*sentinelpb.Delivery{{Envelope: e, ReceivedUnixMs: l.ReceivedAt.UnixMilli()}}})
	if err != nil {
		return l, fmt.Errorf("encode delivery: %w", err)
	}
	by := entry(ctx, "dead-letter.replay", strconv.FormatInt(id, 10))
	by.Details = map[string]any{"agent": l.AgentName, "epoch": l.Epoch.String(), "seq": l.Seq, "reason": l.Reason}
	if err := r.deps.DB.NoteReplay(ctx, by, id); err != nil {
		return l, err
	}
	if l, err = r.deps.DB.Letter(ctx, id); err != nil { // not later: it may be stored, and gone, before this answers
		return l, err
	}
	partition := broker.Partition(sentinel.AgentID(e.GetAgentId()), max(1, r.deps.Broker.Partitions()))
	if err := r.deps.Broker.Publish(ctx, partition, sentinel.RandomName(10), raw); err != nil {
		return l, fmt.Errorf("replay dead letter: %w", err)
	}
	return l, nil
}

// openLetter returns the envelope that a letter holds, where it is whole.
func openLetter(l postgres.Letter) (*sentinelpb.Envelope, error) {
	e := new(sentinelpb.Envelope)
	if err := proto.Unmarshal(l.Envelope, e); err != nil || e.GetAgentId() == "" || len(e.GetMac()) == 0 {
		return nil, sentinel.Errorf(sentinel.Invalid, "its bytes are not a whole envelope")
	}
	return e, nil
}

// content reads a letter as far as that goes.
func (r resources) content(ctx context.Context, l postgres.Letter) LetterContent {
	c := LetterContent{DeadLetter: toLetter(l), Bytes: len(l.Envelope)}
	e, err := openLetter(l)
	if err != nil {
		c.Unread = err.Error()
		return c
	}
	c.Replayable, c.Codec, c.KeyID = true, e.GetCodec().String(), e.GetKeyId()
	if e.GetCodec() == sentinelpb.Codec_CODEC_LOSSES_V1 {
		var report sentinelpb.LossReport
		if err := proto.Unmarshal(e.GetPayload(), &report); err != nil {
			c.Unread = "the loss report cannot be read"
		}
		c.Losses = len(report.GetLosses())
		return c
	}
	hash, _, err := wire.PeekLayout(e.GetPayload())
	if err != nil {
		c.Unread = err.Error()
		return c
	}
	c.Layout = hash.String()
	if l.Agent == 0 {
		c.Unread = "it is charged to no agent, whose layouts could be looked up"
		return c
	}
	_, definition, err := r.deps.DB.Layout(ctx, l.Agent, hash)
	if err != nil {
		c.Unread = "its layout is not in the database"
		return c
	}
	limits := sentinel.DefaultLimits()
	layout, err := wire.DecodeLayout(definition, limits)
	if err != nil {
		c.Unread = "its layout cannot be read"
		return c
	}
	c.Series = len(layout)
	cycles, err := wire.DecodeCycles(e.GetPayload(), limits, len(layout))
	if err != nil {
		c.Unread = err.Error()
		return c
	}
	if c.Cycles = len(cycles); c.Cycles > 0 {
		c.From, c.To = &cycles[0].Time, &cycles[len(cycles)-1].Time
	}
	return c
}

func toLetter(l postgres.Letter) DeadLetter {
	return DeadLetter{ID: l.ID, Agent: l.AgentName, Orphan: l.Agent == 0, Epoch: l.Epoch.String(), Seq: l.Seq, Count: l.Count, Charged: l.Charged,
		Reason: l.Reason, Detail: l.Detail, ReceivedAt: l.ReceivedAt, CreatedAt: l.CreatedAt,
		ReplayedAt: timeOrNil(l.ReplayedAt), TriedAt: timeOrNil(l.TriedAt)}
}

func (f LetterFilter) query() url.Values {
	q := url.Values{}
	for key, v := range map[string]string{"agent": f.Agent, "reason": f.Reason} {
		if v != "" {
			q.Set(key, v)
		}
	}
	if f.Orphans {
		q.Set("orphans", "true")
	}
	if f.OlderThan > 0 {
		q.Set("older_than", f.OlderThan.String())
	}
	return q
}

// DeadLetters returns up to limit dead letters, newest first.
func (c *Client) DeadLetters(ctx context.Context, f LetterFilter, limit int) ([]DeadLetter, error) {
	q := f.query()
	q.Set("limit", strconv.Itoa(min(limit, 1000)))
	var all []DeadLetter
	for {
		var page LetterPage
		if err := c.call(ctx, http.MethodGet, "/dead-letters", q, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Letters...)
		if page.Next == "" || len(all) >= limit {
			return all[:min(len(all), limit)], nil
		}
		q.Set("after", page.Next)
	}
}

// DeadLetter returns one dead letter with what it holds.
func (c *Client) DeadLetter(ctx context.Context, id int64) (LetterContent, error) {
	var out LetterContent
	err := c.call(ctx, http.MethodGet, letterPath(id), nil, nil, &out)
	return out, err
}

// Replay hands a dead letter to the pipeline again.
func (c *Client) Replay(ctx context.Context, id int64) (DeadLetter, error) {
	var out DeadLetter
	err := c.call(ctx, http.MethodPost, letterPath(id)+"/replay", nil, nil, &out)
	return out, err
}

// Purge removes one dead letter.
func (c *Client) Purge(ctx context.Context, id int64) (Purged, error) {
	var out Purged
	err := c.call(ctx, http.MethodDelete, letterPath(id), nil, nil, &out)
	return out, err
}

// PurgeAll removes all dead letters that fit.
func (c *Client) PurgeAll(ctx context.Context, f LetterFilter) (Purged, error) {
	var out Purged
	err := c.call(ctx, http.MethodDelete, "/dead-letters", f.query(), nil, &out)
	return out, err
}

func letterPath(id int64) string { return "/dead-letters/" + strconv.FormatInt(id, 10) }
