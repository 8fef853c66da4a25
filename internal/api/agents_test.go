package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestAgentsByLabelAndState(t *testing.T) {
	f := newFixture(t)
	make := func(host, site string, seen time.Duration) {
		var labels []sentinel.Label
		if site != "" {
			labels = append(labels, sentinel.Label{Name: "site", Value: site}, sentinel.Label{Name: "rack", Value: "7"})
		}
		cred, err := f.registry.Register(t.Context(), host, labels)
		must(t, err)
		a, err := f.db.AgentByName(t.Context(), cred.Agent)
		must(t, err)
		if seen > 0 {
			ahead := -1500 * time.Millisecond
			must(t, f.db.ReportPositions(t.Context(), []postgres.Report{{Agent: a.ID, SeenAt: time.Now().Add(-seen), Clock: &ahead,
				Positions: []sentinel.Position{{Epoch: 3, Appended: 42}}}}))
		}
		if host == "off" {
			off := true
			_, err := f.registry.Change(t.Context(), postgres.Entry{Actor: postgres.Actor{Kind: postgres.ActorConsole}}, a, postgres.AgentChange{Disabled: &off})
			must(t, err)
		}
	}
	make("up", "fra", time.Second)
	make("silent", "fra", time.Hour)
	make("unseen", "", 0)
	make("off", "ams", time.Second)
	for query, want := range map[string]string{
		"": "up silent unseen off", "label=site=fra": "up silent", "label=site!=fra": "unseen off", "label=site!=fra&label=rack=7": "off",
		"label=site!=fra&label=site!=ams": "unseen", "state=up": "up", "state=silent": "silent", "state=never seen": "unseen", "state=disabled": "off",
		"state=up&label=site=ams": "", "search=SILENT": "silent",
	} {
		q, err := url.ParseQuery(query)
		must(t, err)
		w := f.ask(t, "viewer", "GET", "/api/v1/agents?"+q.Encode(), "")
		var page api.AgentPage
		must(t, json.Unmarshal(w.Body.Bytes(), &page))
		var got []string
		for _, a := range page.Agents {
			got = append(got, a.Hostname)
			if a.Hostname == "up" && (a.State != "up" || a.InFlight != 42 || a.Clock == nil || *a.Clock != -1.5) {
				t.Errorf("%+v", a)
			}
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
}

func TestAgentIsChangedOnlyAsItWasSeen(t *testing.T) {
	f := newFixture(t)
	one := "/api/v1/agents/" + string(f.store(t, "web-1").Name)
	tag := f.ask(t, "viewer", "GET", one, "").Header().Get("ETag")
	if len(tag) < 10 {
		t.Fatalf("ETag is %q", tag)
	}
	patch := func(tag, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("PATCH", "https://sentinel.test"+one, strings.NewReader(body))
		r.Header = http.Header{"Authorization": {"Bearer " + f.tokens["operator"]}, "Content-Type": {"application/json"}, "If-Match": {tag}}
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		return w
	}
	// Of many who saw the same and change it, one succeeds.
	var won, lost atomic.Int32
	var group sync.WaitGroup
	const many = 24
	start := make(chan struct{})
	for i := range many {
		group.Go(func() {
			<-start
			switch w := patch(tag, fmt.Sprintf(`{"labels":{"site":"%d"}}`, i)); w.Code {
			case 200:
				won.Add(1)
			case 412:
				lost.Add(1)
			default:
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	close(start)
	group.Wait()
	if won.Load() != 1 || lost.Load() != many-1 {
		t.Errorf("%d succeeded, %d were refused", won.Load(), lost.Load())
	}
	wantProblem(t, patch(tag, `{"disabled":true}`), 412, "")
	w := patch(`"other", *`, `{"disabled":true}`)
	wantProblem(t, w, 412, "")
	w = patch("*", `{"disabled":true}`)
	var a api.Agent
	must(t, json.Unmarshal(w.Body.Bytes(), &a))
	if w.Code != 200 || !a.Disabled || a.State != "disabled" || len(a.Labels) != 1 || w.Header().Get("ETag") == tag {
		t.Errorf("%d %+v", w.Code, a)
	}
	w = patch("", `{"disabled":false,"labels":{}}`)
	must(t, json.Unmarshal(w.Body.Bytes(), &a))
	if w.Code != 200 || a.Disabled || w.Header().Get("ETag") != tag {
		t.Errorf("%d %+v: the same state has another ETag", w.Code, a)
	}
}

// TestDeletedAgentLeavesOthersAlone wants that roll-up, retention and the views go on
// over rows whose agent is gone.
func TestDeletedAgentLeavesOthersAlone(t *testing.T) {
	f := newFixture(t)
	gone, stays := f.store(t, "gone"), f.store(t, "stays")
	before := f.ask(t, "viewer", "GET", "/api/v1/agents/"+string(stays.Name)+"/books", "").Body.String()
	if w := f.ask(t, "admin", "DELETE", "/api/v1/agents/"+string(gone.Name), ""); w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for done := false; !done; {
		stats, err := f.db.Rollup(t.Context(), time.Now().Add(time.Hour))
		must(t, err)
		done = stats.Done
	}
	_, err := f.db.Maintain(t.Context(), time.Now(), postgres.Retention{})
	must(t, err)
	if after := f.ask(t, "viewer", "GET", "/api/v1/agents/"+string(stays.Name)+"/books", "").Body.String(); after != before {
		t.Errorf("the books of another agent have changed: %s, were %s", after, before)
	}
	if w := f.ask(t, "viewer", "GET", "/api/v1/agents/"+string(stays.Name)+"/range?metric=test_value&step=1m", ""); !strings.Contains(w.Body.String(), `"count"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, f.ask(t, "viewer", "GET", "/api/v1/agents/"+string(gone.Name), ""), 404, "")
	// What of it is still on its way belongs to nobody, and harms nobody.
	_, err = f.db.Commit(t.Context(), []postgres.Batch{{Agent: gone.ID, AgentName: gone.Name, Epoch: 7, First: 9, Count: 1,
		Quarantine: &postgres.Quarantine{Reason: "x"}}}, nil)
	if postgres.Classify(err) != postgres.Poison {
		t.Errorf("a batch of an agent that is gone is held: %v", err)
	}
}
