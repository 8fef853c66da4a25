package api_test

import (
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// TestEventsOfATime asks for what was between two times.
func TestEventsOfATime(t *testing.T) {
	f := newFixture(t)
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 4 {
		must(t, f.db.AddEvents(t.Context(), []postgres.Event{{At: start.Add(time.Duration(i) * time.Hour), Kind: "agent.connected", Agent: "ag-one", Detail: fmt.Sprint("hour ", i)}}))
	}
	for query, want := range map[string]string{
		"":                           "3210",
		"?from=2026-03-01T13:00:00Z": "321",
		"?to=2026-03-01T14:00:00Z":   "10",
		"?from=2026-03-01T13:00:00Z&to=2026-03-01T15:00:00Z": "21",
		"?from=2026-03-01T13:00:00Z&since=0":                 "123",
		"?from=2026-03-01T16:00:00Z":                         "",
	} {
		w := f.ask(t, "viewer", "GET", "/api/v1/events"+query, "")
		var got strings.Builder
		for _, m := range regexp.MustCompile(`"hour (\d)"`).FindAllStringSubmatch(w.Body.String(), -1) {
			got.WriteString(m[1])
		}
		if w.Code != 200 || got.String() != want {
			t.Errorf("%q: %d, hours %s, want %s", query, w.Code, got.String(), want)
		}
	}
	wantProblem(t, f.ask(t, "viewer", "GET", "/api/v1/events?from=yesterday", ""), 422, "query.from")
}

// TestEventsResume adds events from many sides at once while a reader comes back
// again and again with the id of the last event that it saw: it sees all of them,
// once, in their order.
func TestEventsResume(t *testing.T) {
	f := newFixture(t)
	const writers, each = 8, 25
	must(t, f.db.AddEvents(t.Context(), []postgres.Event{{At: time.Now(), Kind: "agent.connected", Agent: "ag-before", Detail: "not to be seen"}}))
	last, err := f.db.LastEvent(t.Context())
	must(t, err)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				if err := f.db.AddEvents(t.Context(), []postgres.Event{{At: time.Now(), Kind: "agent.connected", Agent: "ag-one", Detail: fmt.Sprintf("%d/%d", w, i)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	seen := map[string]bool{}
	ids := regexp.MustCompile(`(?m)^id: (\d+)$`)
	details := regexp.MustCompile(`"detail":"([^"]*)"`)
	read := func() {
		r := httptest.NewRequest("GET", "https://sentinel.test/api/v1/events/stream?seconds=0", nil)
		r.Header.Set("Authorization", "Bearer "+f.tokens["viewer"])
		r.Header.Set("Last-Event-ID", fmt.Sprint(last))
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for _, m := range details.FindAllStringSubmatch(w.Body.String(), -1) {
			if seen[m[1]] {
				t.Errorf("event %s came twice", m[1])
			}
			seen[m[1]] = true
		}
		for _, m := range ids.FindAllStringSubmatch(w.Body.String(), -1) {
			var id int64
			if _, err := fmt.Sscan(m[1], &id); err != nil || id <= last {
				t.Errorf("event %s after %d, %v", m[1], last, err)
			}
			last = id
		}
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		read()
	}
	read()
	if len(seen) != writers*each || seen["not to be seen"] {
		t.Errorf("%d events of %d were seen", len(seen), writers*each)
	}
	must(t, f.db.DropEvents(t.Context(), time.Now()))
	if list, err := f.db.Events(t.Context(), postgres.EventFilter{}); err != nil || len(list) > 0 {
		t.Errorf("%d old events are left, %v", len(list), err)
	}
}
