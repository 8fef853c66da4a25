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
