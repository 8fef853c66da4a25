package postgres_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestAgentsAndKeys(t *testing.T) {
	db := postgrestest.New(t)
	ctx := t.Context()
	key := postgres.NewKey{KeyID: "k1", Secret: []byte{0, 1, 255}, MasterKeyID: "m1", State: postgres.KeyActive}
	hostile := `x"}' OR 1=1 --` + "\u2028"
	created, err := db.CreateAgent(ctx, postgres.NewAgent{Name: "web-1", Hostname: "Web1.example", Info: postgres.AgentInfo{OS: "linux"},
		Labels: []sentinel.Label{{Name: "site", Value: hostile}}}, key)
	must(t, err)
	got, err := db.AgentByName(ctx, "web-1")
	must(t, err)
	if got.ID != created.ID || got.Labels[0].Value != hostile || got.Info.OS != "linux" || !got.LastSeenAt.IsZero() || got.CreatedAt.IsZero() {
		t.Errorf("agent %+v", got)
	}
	_, err = db.CreateAgent(ctx, postgres.NewAgent{Name: "web-1"}, key)
	wantCode(t, err, sentinel.Conflict)
	_, err = db.CreateAgent(ctx, postgres.NewAgent{Name: "Not Valid"}, key)
	wantCode(t, err, sentinel.Invalid)
	_, err = db.CreateAgent(ctx, postgres.NewAgent{Name: "nul", Labels: []sentinel.Label{{Name: "a", Value: "\x00"}}}, key)
	wantCode(t, err, sentinel.Invalid)
	_, err = db.CreateAgent(ctx, postgres.NewAgent{Name: "half"}, postgres.NewKey{KeyID: "k", State: "nonsense", Secret: []byte{1}})
	wantCode(t, err, sentinel.Invalid)
	_, err = db.AgentByName(ctx, "half") // no agent without its key
	wantCode(t, err, sentinel.NotFound)

	for i := range 5 {
		_, err := db.CreateAgent(ctx, postgres.NewAgent{Name: sentinel.AgentID(fmt.Sprintf("db-%d", i))}, key)
		must(t, err)
	}
	list := func(f postgres.AgentFilter) (names []sentinel.AgentID) {
		agents, err := db.Agents(ctx, f)
		must(t, err)
		for _, a := range agents {
			names = append(names, a.Name)
		}
		return names
	}
	if n := list(postgres.AgentFilter{Search: "EXAMPLE"}); !slices.Equal(n, []sentinel.AgentID{"web-1"}) {
		t.Errorf("search %v", n)
	}
	if n := list(postgres.AgentFilter{Search: "%"}); len(n) != 0 {
		t.Errorf("search %v", n)
	}
	if n := list(postgres.AgentFilter{Labels: []sentinel.Label{{Name: "site", Value: hostile}}}); len(n) != 1 {
		t.Errorf("labels %v", n)
	}
	if n := list(postgres.AgentFilter{After: created.ID, Limit: 3}); len(n) != 3 || n[2] != "db-2" {
		t.Errorf("page %v", n)
	}
	must(t, db.SetAgentDisabled(ctx, created.ID, true))
	if n := list(postgres.AgentFilter{Enabled: true}); len(n) != 5 {
		t.Errorf("enabled %v", n)
	}
	must(t, db.SetAgentDisabled(ctx, created.ID, false))
	wantCode(t, db.SetAgentDisabled(ctx, 1<<40, true), sentinel.NotFound)

	second := postgres.NewKey{KeyID: "k2", Secret: []byte("two"), MasterKeyID: "m1", State: postgres.KeyPending}
	for _, offered := range []postgres.NewKey{second, {KeyID: "k3", Secret: []byte("three"), MasterKeyID: "m1"}} {
		got, err := db.RequestKey(ctx, postgres.Entry{Actor: postgres.Actor{Kind: postgres.ActorConsole}, Action: "test"}, created.ID, offered)
		must(t, err)
		if got.KeyID != "k2" { // one at a time: the one that waits is returned
			t.Errorf("pending key %+v", got)
		}
	}
	_, err = db.RequestKey(ctx, postgres.Entry{Actor: postgres.Actor{Kind: postgres.ActorConsole}, Action: "test"}, 1<<40, second)
	wantCode(t, err, sentinel.NotFound)
	grace := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for range 2 { // idempotent
		must(t, db.ActivateKey(ctx, created.ID, "k2", grace))
	}
	keys, err := db.AgentKeys(ctx, created.ID)
	must(t, err)
	if len(keys) != 2 || keys[0].State != postgres.KeyRetiring || !keys[0].ExpiresAt.Equal(grace) || keys[1].State != postgres.KeyActive ||
		string(keys[0].Secret) != string(key.Secret) {
		t.Errorf("keys %+v", keys)
	}
	wantCode(t, db.ActivateKey(ctx, created.ID, "k1", grace), sentinel.NotFound)
	must(t, db.RevokeKey(ctx, postgres.Entry{Actor: postgres.Actor{Kind: postgres.ActorConsole}, Action: "test"}, created.ID, "k1"))
	wantCode(t, db.RevokeKey(ctx, postgres.Entry{Actor: postgres.Actor{Kind: postgres.ActorConsole}, Action: "test"}, created.ID, "k9"), sentinel.NotFound)
}

// console is who changes things in these tests.
var console = postgres.Entry{Actor: postgres.Actor{Kind: postgres.ActorConsole, Name: "console"}, Action: "test"}

func TestTokens(t *testing.T) {
	db := postgrestest.New(t)
	ctx := t.Context()
	tok, err := db.CreateToken(ctx, console, "ci", postgres.Operator, []byte("hash"), time.Time{})
	must(t, err)
	_, err = db.CreateToken(ctx, console, "ci2", postgres.Operator, []byte("hash"), time.Time{})
	wantCode(t, err, sentinel.Conflict)
	_, err = db.CreateToken(ctx, console, "god", "god", []byte("hash2"), time.Time{})
	wantCode(t, err, sentinel.Invalid)
	_, err = db.CreateToken(ctx, console, "old", postgres.Viewer, []byte("hash3"), time.Now().Add(-time.Second))
	must(t, err)
	got, err := db.TokenByHash(ctx, []byte("hash"))
	must(t, err)
	if got.ID != tok.ID || got.Role != postgres.Operator {
		t.Errorf("token %+v", got)
	}
	_, err = db.TokenByHash(ctx, []byte("hash3"))
	wantCode(t, err, sentinel.NotFound)
	_, err = db.TokenByHash(ctx, nil)
	wantCode(t, err, sentinel.NotFound)
	list, err := db.Tokens(ctx)
	must(t, err)
	if len(list) != 2 || list[0].LastUsedAt.IsZero() {
		t.Errorf("tokens %+v", list)
	}
	must(t, db.DeleteToken(ctx, console, tok.ID))
	wantCode(t, db.DeleteToken(ctx, console, tok.ID), sentinel.NotFound)
}

func TestEnsureLayout(t *testing.T) {
	db := postgrestest.New(t)
	ctx := t.Context()
	agent, _ := newAgent(t, db)
	// Overlapping layouts, made known by many at once.
	var wg sync.WaitGroup
	ids := make([][]int64, 6)
	for w := range ids {
		ids[w] = make([]int64, 5)
		wg.Go(func() {
			for i := range 5 {
				n := (i+w)%5 + 3
				definition := fmt.Appendf(nil, "m %d", n)
				layout := testLayout("m", n)
				if w%2 == 1 {
					layout = slices.Clone(layout) // same content, other order of insertion
				}
				id, err := db.EnsureLayout(ctx, agent, hashOf(definition), definition, layout)
				if err != nil {
					t.Error(err)
				}
				ids[w][(i+w)%5] = id
			}
		})
	}
	wg.Wait()
	for w := range ids {
		if !slices.Equal(ids[w], ids[0]) {
			t.Errorf("ids differ: %v and %v", ids[w], ids[0])
		}
	}
	n, err := postgres.One[int](ctx, db, `SELECT count(*) FROM series`)
	must(t, err)
	if n != 7 {
		t.Errorf("%d series", n)
	}
	order, err := postgres.One[bool](ctx, db, `SELECT bool_and(s.name = 'm_' || (p.i - 1)) FROM layouts l,
		unnest(l.series_ids) WITH ORDINALITY p(id, i) JOIN series s ON s.id = p.id`)
	must(t, err)
	if !order {
		t.Error("series_ids are not in the layout's order")
	}
	known, err := db.LookupLayouts(ctx, agent, []sentinel.LayoutHash{hashOf([]byte("m 3")), hashOf([]byte("unknown"))})
	must(t, err)
	if len(known) != 1 || known[hashOf([]byte("m 3"))] != ids[0][0] {
		t.Errorf("known %v", known)
	}
	_, definition, err := db.Layout(ctx, agent, hashOf([]byte("m 3")))
	must(t, err)
	if string(definition) != "m 3" {
		t.Errorf("definition %q", definition)
	}
	_, err = db.EnsureLayout(ctx, 1<<40, hashOf([]byte("x")), []byte("x"), testLayout("m", 1))
	wantCode(t, err, sentinel.NotFound)
}

func TestHostileLabels(t *testing.T) {
	db := postgrestest.New(t)
	agent, _ := newAgent(t, db)
	long := make([]byte, 1024)
	for i := range long {
		long[i] = 'a' + byte(i*7%26)
	}
	for name, value := range map[string]string{"nul": "a\x00b", "utf8": "\xff\xfe"} {
		l := sentinel.Layout{sentinel.NewSeries("m", sentinel.Gauge, "", "l", value)}
		_, err := db.EnsureLayout(t.Context(), agent, hashOf([]byte(name)), []byte(name), l)
		if err == nil || postgres.Classify(err) != postgres.Poison {
			t.Errorf("%s: %v", name, err)
		}
	}
	var many []string // far more than what an index row takes
	for i := range 32 {
		many = append(many, fmt.Sprintf("l%02d", i), string(long)+fmt.Sprint(i))
	}
	layout := sentinel.Layout{
		sentinel.NewSeries("m", sentinel.Gauge, "", many...),
		sentinel.NewSeries("m", sentinel.Gauge, "", "l", "\"\\\n\u2028'};DROP TABLE series;--\U0001F4A9"),
		sentinel.NewSeries("m", sentinel.Gauge, ""),
	}
	id, err := db.EnsureLayout(t.Context(), agent, hashOf([]byte("ok")), []byte("ok"), layout)
	must(t, err)
	_, err = db.Commit(t.Context(), []postgres.Batch{{Agent: agent, Epoch: 1, First: 1, Count: 1, LayoutID: id,
		Cycles: []sentinel.Cycle{{Time: time.Now(), Values: []float64{1, 2, 3}}}}}, nil)
	must(t, err)
	got, err := db.Latest(t.Context(), agent, time.Minute)
	must(t, err)
	if len(got) != 3 {
		t.Fatalf("%d samples", len(got))
	}
	for _, s := range got {
		if want := layout[int(s.Value)-1]; want.String() != s.Series.String() || s.Series.Kind != sentinel.Gauge {
			t.Errorf("series came back as %s", s.Series)
		}
	}
}
