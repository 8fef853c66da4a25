package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// letter quarantines a batch of an agent and returns the id of its dead letter.
func (f *fixture) letter(t *testing.T, agent string) string {
	t.Helper()
	a, err := f.db.AgentByName(t.Context(), sentinel.AgentID(agent))
	must(t, err)
	books, err := f.db.Books(t.Context(), a.ID)
	must(t, err)
	seq := books.Total.Appended + 1
	layout := sentinel.Layout{sentinel.NewSeries("letter_value", sentinel.Gauge, "")}
	definition := wire.EncodeLayout(layout)
	hash := wire.HashLayout(definition)
	_, err = f.db.EnsureLayout(t.Context(), a.ID, hash, definition, layout)
	must(t, err)
	payload, err := wire.EncodeCycles([]sentinel.Cycle{{Layout: hash, Time: time.Now().Truncate(time.Millisecond), Values: []float64{1}}})
	must(t, err)
	raw, err := proto.Marshal(&sentinelpb.Envelope{AgentId: agent, KeyId: "k", Epoch: 7, Seq: seq, Count: 1, Codec: sentinelpb.Codec_CODEC_CYCLES_V1, Payload: payload, Mac: []byte("mac")})
	must(t, err)
	_, err = f.db.Commit(t.Context(), []postgres.Batch{{Agent: a.ID, AgentName: a.Name, Epoch: 7, First: seq, Count: 1, Envelope: raw,
		Quarantine: &postgres.Quarantine{Reason: "bad_time", Detail: "for the test"}, Received: time.Now()}}, nil)
	must(t, err)
	list, err := f.db.Letters(t.Context(), postgres.LetterFilter{Limit: 1})
	must(t, err)
	return fmt.Sprint(list[0].ID)
}

// TestReplayOfALetterThatIsStoredAtOnce: a worker is quicker than the answer.
func TestReplayOfALetterThatIsStoredAtOnce(t *testing.T) {
	f := newFixture(t)
	id := f.letter(t, string(f.store(t, "web-1").Name))
	f.broker.taken = func() {
		_, err := f.db.PurgeLetters(t.Context(), fleet.Console("dead-letter.purge"), postgres.LetterPurge{})
		must(t, err)
	}
	w := f.ask(t, "operator", "POST", "/api/v1/dead-letters/"+id+"/replay", "")
	var l api.DeadLetter
	if w.Code != 202 || json.Unmarshal(w.Body.Bytes(), &l) != nil || l.ReplayedAt == nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestReplayPublishesTheExactEnvelope(t *testing.T) {
	f := newFixture(t)
	agent := string(f.store(t, "web-1").Name)
	id := f.letter(t, agent)
	var c api.LetterContent
	must(t, json.Unmarshal(f.ask(t, "viewer", "GET", "/api/v1/dead-letters/"+id, "").Body.Bytes(), &c))
	if !c.Replayable || c.Cycles != 1 || c.Series != 1 || c.From == nil || c.Reason != "bad_time" || c.Charged != 1 || c.Agent != agent || c.Unread != "" || c.Bytes == 0 {
		t.Errorf("%+v", c)
	}
	w := f.ask(t, "operator", "POST", "/api/v1/dead-letters/"+id+"/replay", "")
	if w.Code != 202 || len(f.broker.data) != 1 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var m sentinelpb.Deliveries
	must(t, proto.Unmarshal(f.broker.data[0], &m))
	got, err := proto.Marshal(m.GetDeliveries()[0].GetEnvelope())
	must(t, err)
	l, err := f.db.Letter(t.Context(), c.ID)
	must(t, err)
	if !bytes.Equal(got, l.Envelope) || l.ReplayedAt.IsZero() {
		t.Errorf("another envelope was published, or it was not noted: %+v", l)
	}
	// A broker that is out costs nothing: the letter stays for another try.
	f.broker.err = sentinel.Errorf(sentinel.Unavailable, "out")
	wantProblem(t, f.ask(t, "operator", "POST", "/api/v1/dead-letters/"+id+"/replay", ""), 503, "")
	// What is no envelope cannot be replayed, and says so.
	_, err = f.db.Commit(t.Context(), nil, []postgres.Orphan{{Reason: "malformed", Envelope: []byte("rubbish"), AgentName: "x\x1b[2J"}})
	must(t, err)
	var page api.LetterPage
	must(t, json.Unmarshal(f.ask(t, "viewer", "GET", "/api/v1/dead-letters?orphans=true", "").Body.Bytes(), &page))
	if len(page.Letters) != 1 || !page.Letters[0].Orphan {
		t.Fatalf("%+v", page)
	}
	wantProblem(t, f.ask(t, "admin", "POST", fmt.Sprintf("/api/v1/dead-letters/%d/replay", page.Letters[0].ID), ""), 409, "")
	for target, status := range map[string]int{"/api/v1/dead-letters/999": 404, "/api/v1/dead-letters/x": 422, "/api/v1/dead-letters/0": 422,
		"/api/v1/dead-letters?agent=ag-unknown": 404, "/api/v1/dead-letters?agent=%00": 422, "/api/v1/dead-letters?reason=%00": 422, "/api/v1/dead-letters?after=x!": 422} {
		wantProblem(t, f.ask(t, "viewer", "GET", target, ""), status, "")
	}
	wantProblem(t, f.ask(t, "admin", "DELETE", "/api/v1/dead-letters?older_than=soon", ""), 422, "query.older_than")
}
