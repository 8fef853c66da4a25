package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// AuditEntry is one line of the audit log: who did what.
type AuditEntry struct {
	ID        int64          `json:"id"`
	At        time.Time      `json:"at"`
	ActorKind string         `json:"actor_kind" enum:"user,token,console,nobody"`
	Actor     string         `json:"actor"`
	Action    string         `json:"action"`
	Target    string         `json:"target,omitempty"`
	RequestID string         `json:"request_id,omitempty"`
	Remote    string         `json:"remote,omitempty"`
	Details   map[string]any `json:"details,omitempty"`
}

// AuditPage is one page of the audit log.
type AuditPage struct {
	Entries []AuditEntry `json:"entries"`
	Next    string       `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
}

// AuditQuery selects entries; zero fields select everything.
type AuditQuery struct {
	Actor, Action, Target string
	From, To              time.Time
	Since                 int64 // only entries after this id, oldest first
	Limit                 int   // of one page
}

func (r resources) audit() {
	type input struct {
		Actor  string `query:"actor" maxLength:"255" doc:"The actor's name"`
		Action string `query:"action" maxLength:"64" doc:"An action, or the part before its point: user, session, …"`
		Target string `query:"target" maxLength:"255"`
		PageInput
	}
	type output struct{ Body AuditPage }
	huma.Register(r.api, operation(postgres.Admin, http.MethodGet, "/audit", "list-audit", "Show the audit log, newest first"),
		func(ctx context.Context, in *input) (*output, error) {
			for where, text := range map[string]string{"query.actor": in.Actor, "query.action": in.Action, "query.target": in.Target} {
				if err := clean(where, text); err != nil {
					return nil, r.fail(ctx, err)
				}
			}
			f := postgres.AuditFilter{Actor: in.Actor, Action: in.Action, Target: in.Target, From: in.From, To: in.To, Limit: in.Limit}
			var err error
			if f.Before, f.After, f.Oldest, err = in.place(); err != nil {
				return nil, r.fail(ctx, err)
			}
			rows, err := r.deps.DB.AuditLog(ctx, f)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			page := AuditPage{Entries: make([]AuditEntry, 0, len(rows))}
			for _, e := range rows {
				page.Entries = append(page.Entries, toAuditEntry(e))
			}
			if len(rows) == in.Limit {
				page.Next = strconv.FormatInt(rows[len(rows)-1].ID, 36)
			}
			return &output{page}, nil
		})
}

// PageInput asks for a page of what was noted, in its order. Exported, since huma passes
// over embedded structs that are not.
type PageInput struct {
	From  time.Time `query:"from"`
	To    time.Time `query:"to"`
	After string    `query:"after" doc:"The cursor that the page before gave as next"`
	Since int64     `query:"since" minimum:"-1" default:"-1" doc:"Only what came after this id, oldest first; it stands beside the cursor's place"`
	Limit int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// place returns between which ids the page is, and whether it is oldest first.
func (in PageInput) place() (before, after int64, oldest bool, err error) {
	if before, err = cursor(in.After); err != nil || in.Since < 0 {
		return before, 0, false, err
	}
	return 0, max(in.Since, before), true, nil
}

// cursor reads what a page gave as next; empty is the first page.
func cursor(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(text, 36, 64)
	if err != nil || id < 0 {
		return 0, wrong("query.after", "not a cursor of this list")
	}
	return id, nil
}

func toAuditEntry(e postgres.Entry) AuditEntry {
	return AuditEntry{ID: e.ID, At: e.At, ActorKind: string(e.Actor.Kind), Actor: e.Actor.Name, Action: e.Action, Target: e.Target,
		RequestID: e.RequestID, Remote: e.Remote, Details: e.Details}
}

// Audit returns one page of the audit log: newest first, or with Since oldest first.
func (c *Client) Audit(ctx context.Context, aq AuditQuery, oldestFirst bool) (AuditPage, error) {
	q := url.Values{"limit": {strconv.Itoa(max(1, aq.Limit))}}
	for key, v := range map[string]string{"actor": aq.Actor, "action": aq.Action, "target": aq.Target} {
		if v != "" {
			q.Set(key, v)
		}
	}
	setTimes(q, aq.From, aq.To)
	if oldestFirst {
		q.Set("since", strconv.FormatInt(aq.Since, 10))
	}
	var page AuditPage
	err := c.call(ctx, http.MethodGet, "/audit", q, nil, &page)
	return page, err
}
