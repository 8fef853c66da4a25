package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// Event is something that happened in the fleet.
type Event struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	Kind   string    `json:"kind" doc:"Such as agent.connected, agent.disconnected, agent.displaced, agent.enrolled, key.rotated, config.applied, config.refused, alert.firing, alert.resolved, alert.unknown"`
	Agent  string    `json:"agent,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

// EventPage is one page of events.
type EventPage struct {
	Events []Event `json:"events"`
	Next   string  `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
}

// EventQuery selects events; zero fields select everything.
type EventQuery struct {
	Kind, Agent string
	From, To    time.Time
	Since       int64 // only events after this id, oldest first
	Limit       int   // of one page
}

// A stream of events ends by itself, well before anything on the way gives up on it;
// browsers come back with the id of the last event that they saw.
const (
	streamTime = 40 * time.Second
	streamLook = time.Second
)

func (r resources) events() {
	type listInput struct {
		Kind  string `query:"kind" maxLength:"64"`
		Agent string `query:"agent" maxLength:"64"`
		PageInput
	}
	type listOutput struct{ Body EventPage }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/events", "list-events", "Show what happened in the fleet, newest first"),
		func(ctx context.Context, in *listInput) (*listOutput, error) {
			for where, text := range map[string]string{"query.kind": in.Kind, "query.agent": in.Agent} {
				if err := clean(where, text); err != nil {
					return nil, r.fail(ctx, err)
				}
			}
			f := postgres.EventFilter{Kind: in.Kind, Agent: in.Agent, From: in.From, To: in.To, Limit: in.Limit}
			var err error
			if f.Before, f.After, f.Oldest, err = in.place(); err != nil {
				return nil, r.fail(ctx, err)
			}
			rows, err := r.deps.DB.Events(ctx, f)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			page := EventPage{Events: make([]Event, 0, len(rows))}
			for _, e := range rows {
				page.Events = append(page.Events, toEvent(e))
			}
			if len(rows) == in.Limit {
				page.Next = strconv.FormatInt(rows[len(rows)-1].ID, 36)
			}
			return &listOutput{page}, nil
		})

	type streamInput struct {
		LastEventID int64  `header:"Last-Event-ID" doc:"The last event that was seen; without it those from now on"`
		Kind        string `query:"kind" maxLength:"64"`
		Agent       string `query:"agent" maxLength:"64"`
		Seconds     int    `query:"seconds" minimum:"0" maximum:"40" default:"40" doc:"How long the stream lasts; then ask again with Last-Event-ID"`
	}
	stream := operation(postgres.Viewer, http.MethodGet, "/events/stream", "stream-events", "Stream what happens in the fleet as server-sent events")
	stream.Description += " No event is missed by who comes back with Last-Event-ID."
	stream.Responses = map[string]*huma.Response{"200": {Description: "Server-sent events; the data of each is an event as JSON",
		Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	huma.Register(r.api, stream, func(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
		for where, text := range map[string]string{"query.kind": in.Kind, "query.agent": in.Agent} {
			if err := clean(where, text); err != nil {
				return nil, r.fail(ctx, err)
			}
		}
		f := postgres.EventFilter{Kind: in.Kind, Agent: in.Agent, After: in.LastEventID, Oldest: true, Limit: 1000}
		if f.After <= 0 {
			var err error
			if f.After, err = r.deps.DB.LastEvent(ctx); err != nil {
				return nil, r.fail(ctx, err)
			}
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			ctx.SetHeader("Content-Type", "text/event-stream")
			_, w := humago.Unwrap(ctx)
			r.stream(ctx.Context(), w, f, time.Duration(in.Seconds)*time.Second)
		}}, nil
	})
}

// stream writes the events that f selects, and those that come, for so long. A
// failure ends it: the reader comes again.
func (r resources) stream(ctx context.Context, w http.ResponseWriter, f postgres.EventFilter, last time.Duration) {
	flush := http.NewResponseController(w)
	end := time.NewTimer(min(streamTime, last))
	defer end.Stop()
	look := time.NewTicker(streamLook)
	defer look.Stop()
	if _, err := io.WriteString(w, "retry: 1000\n\n"); err != nil {
		return
	}
	for {
		rows, err := r.deps.DB.Events(ctx, f)
		if err != nil {
			return
		}
		for _, e := range rows {
			raw, err := json.Marshal(toEvent(e))
			if err == nil {
				_, err = fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.ID, raw)
			}
			if err != nil {
				return
			}
			f.After = e.ID
		}
		if flush.Flush() != nil {
			return
		}
		if len(rows) == f.Limit {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-look.C:
		}
	}
}

func toEvent(e postgres.Event) Event {
	return Event{ID: e.ID, At: e.At, Kind: e.Kind, Agent: string(e.Agent), Detail: e.Detail}
}

// Events returns one page of events: newest first, or oldest first those after Since.
func (c *Client) Events(ctx context.Context, eq EventQuery, oldestFirst bool) (EventPage, error) {
	q := url.Values{"limit": {strconv.Itoa(max(1, eq.Limit))}}
	for key, v := range map[string]string{"kind": eq.Kind, "agent": eq.Agent} {
		if v != "" {
			q.Set(key, v)
		}
	}
	setTimes(q, eq.From, eq.To)
	if oldestFirst {
		q.Set("since", strconv.FormatInt(eq.Since, 10))
	}
	var page EventPage
	err := c.call(ctx, http.MethodGet, "/events", q, nil, &page)
	return page, err
}
