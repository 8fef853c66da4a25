package query_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// host is an agent whose cycles a test writes.
type host struct {
	db      *postgres.DB
	id      int64
	name    sentinel.AgentID
	epoch   sentinel.Epoch
	seq     uint64
	layouts map[string]int64
}

func newHost(t testing.TB, db *postgres.DB, hostname string, labels ...sentinel.Label) *host {
	t.Helper()
	name := sentinel.NewAgentID()
	a, err := db.CreateAgent(t.Context(), postgres.NewAgent{Name: name, Hostname: hostname, Labels: labels}, postgres.NewKey{
		KeyID: "k1", Secret: []byte("sealed"), MasterKeyID: "m1", State: postgres.KeyActive})
	must(t, err)
	return &host{db: db, id: a.ID, name: name, epoch: sentinel.NewEpoch(), layouts: make(map[string]int64)}
}

// write stores cycles of one layout, as the pipeline would.
func (h *host) write(t testing.TB, layout sentinel.Layout, cycles ...sentinel.Cycle) {
	t.Helper()
	var definition strings.Builder
	for _, s := range layout {
		fmt.Fprintln(&definition, s)
	}
	id, ok := h.layouts[definition.String()]
	if !ok {
		sum := sha256.Sum256([]byte(definition.String()))
		var err error
		id, err = h.db.EnsureLayout(t.Context(), h.id, sentinel.LayoutHash(sum[:16]), []byte(definition.String()), layout)
		must(t, err)
		h.layouts[definition.String()] = id
	}
	for part := range slices.Chunk(cycles, 128) {
		b := postgres.Batch{Agent: h.id, AgentName: h.name, Epoch: h.epoch, First: h.seq + 1, Count: uint32(len(part)),
			LayoutID: id, Cycles: part, Envelope: []byte("envelope"), Received: time.Now()}
		for i := range part {
			b.Digests = append(b.Digests, uint64(i))
		}
		out, err := h.db.Commit(t.Context(), []postgres.Batch{b}, nil)
		must(t, err)
		if out[0].StoredCycles != len(part) {
			t.Fatalf("of %d cycles the outcome is %+v", len(part), out[0])
		}
		h.seq += uint64(len(part))
	}
}

// every returns cycles at regular times, from inclusive, to exclusive.
func every(step time.Duration, from, to time.Time, values func(i int) []float64) []sentinel.Cycle {
	var out []sentinel.Cycle
	for i := 0; from.Before(to); i++ {
		out = append(out, sentinel.Cycle{Time: from, Values: values(i)})
		from = from.Add(step)
	}
	return out
}

// web is the HTTP interface on a database.
type web struct {
	t       testing.TB
	handler http.Handler
}

func newWeb(t testing.TB, db *postgres.DB, limits query.Limits) web {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return web{t, query.HTTP{Engine: query.New(db, limits, log), Metadata: db, Version: "test", Log: log}.Handler()}
}

// answer is what the interface says.
type answer struct {
	code      int
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
	Warnings  []string        `json:"warnings"`
	Infos     []string        `json:"infos"`
}

func (w web) ask(method, path string, form url.Values) answer {
	w.t.Helper()
	target, body := query.Prefix+"/api/v1"+path, ""
	if method == http.MethodPost {
		body = form.Encode()
	} else if len(form) > 0 {
		target += "?" + form.Encode()
	}
	r := httptest.NewRequest(method, target, strings.NewReader(body)).WithContext(w.t.Context())
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	a := answer{code: rec.Code}
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
		w.t.Fatalf("%s %s: answer %d is not JSON: %v: %.300s", method, target, rec.Code, err, rec.Body)
	}
	return a
}

// vector reads an instant answer as lines of labels and value, sorted.
func (a answer) vector(t testing.TB) []string {
	t.Helper()
	var d struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if a.Status != "success" {
		t.Fatalf("answer is %+v", a)
	}
	must(t, json.Unmarshal(a.Data, &d))
	var lines []string
	for _, s := range d.Result {
		lines = append(lines, fmt.Sprintf("%s %v", sorted(s.Metric), s.Value[1]))
	}
	slices.Sort(lines)
	return lines
}

// matrix reads an answer over time: for each series its values by time.
func (a answer) matrix(t testing.TB) map[string]map[float64]string {
	t.Helper()
	var d struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any
		}
	}
	if a.Status != "success" {
		t.Fatalf("answer is %+v", a)
	}
	must(t, json.Unmarshal(a.Data, &d))
	out := make(map[string]map[float64]string)
	for _, s := range d.Result {
		values := make(map[float64]string)
		for _, v := range s.Values {
			values[v[0].(float64)] = v[1].(string)
		}
		out[sorted(s.Metric)] = values
	}
	return out
}

func sorted(labels map[string]string) string {
	var b strings.Builder
	b.WriteString(labels["__name__"])
	b.WriteByte('{')
	for i, n := range slices.SortedFunc(maps.Keys(labels), cmp.Compare[string]) {
		if n == "__name__" {
			continue
		}
		if i > 0 && b.String()[b.Len()-1] != '{' {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s=%q", n, labels[n])
	}
	b.WriteByte('}')
	return b.String()
}

func unix(t time.Time) string { return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000) }
