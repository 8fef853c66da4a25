package query_test

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// hostile is a database with something in it, and small limits.
func hostile(t testing.TB) (web, *postgres.DB) {
	db := postgrestest.New(t)
	start := time.Now().Add(-20 * time.Minute)
	layout := sentinel.Layout{}
	for _, cpu := range strings.Split("0123456789", "") {
		layout = append(layout, sentinel.NewSeries("m", sentinel.Gauge, "", "cpu", cpu, "long", strings.Repeat("x", 1000)))
	}
	newHost(t, db, "web-1").write(t, layout, every(5*time.Second, start, time.Now(), func(i int) []float64 {
		return []float64{float64(i), 1, 2, 3, 4, 5, 6, 7, 8, 9}
	})...)
	limits := query.DefaultLimits()
	limits.Timeout, limits.MaxSamples, limits.MaxSeries, limits.Concurrent = 2*time.Second, 100_000, 100, 4
	return newWeb(t, db, limits), db
}

// TestP22HostileQueries asks what would crash or swell a process, or keep it busy for
// ever: each is answered, soon, with an error that says what is wrong.
func TestP22HostileQueries(t *testing.T) {
	w, _ := hostile(t)
	nested := func(f string, n int) string { return strings.Repeat(f+"(", n) + "m" + strings.Repeat(")", n) }
	bomb := "m"
	for range 30 {
		bomb = `label_replace(` + bomb + `, "long", "$1$1", "long", "(.*)")`
	}
	join := "m"
	for range 30 {
		join = `label_join(` + join + `, "long", "", "long", "long")`
	}
	for name, expr := range map[string]string{
		"nothing":                       ``,
		"no end":                        `sum(`,
		"deep brackets":                 nested("", 5000),
		"deep calls":                    nested("abs", 3000),
		"deep signs":                    strings.Repeat("-", 15000) + "1",
		"deep signs with blanks":        strings.Repeat("- ", 7000) + "1",
		"many parts":                    strings.Repeat("1+", 5000) + "1",
		"many selectors":                strings.Repeat("m+", 300) + "m",
		"too long":                      "sum(" + strings.Repeat("m+", 10000) + "m)",
		"labels that double":            bomb,
		"labels that double by join":    join,
		"labels that grow":              `label_replace(m, "a", "` + strings.Repeat("$1", 2000) + `", "long", "(.*)")`,
		"a bad pattern":                 `m{cpu=~"("}`,
		"a pattern too large":           `m{cpu=~"((a{1000}){1000}){1000}"}`,
		"everything":                    `{__name__=~".*"}`,
		"an endless range":              `rate(m[9999999999y])`,
		"a fine subquery":               `max_over_time(m[50y:1ms])`,
		"a fine subquery of a number":   `sum_over_time(vector(1)[50y:1ms])`,
		"fine subqueries in each other": `max_over_time(max_over_time(m[1h:20ms])[2h:20ms])`,
		"not UTF-8":                     "m{cpu=\"\xff\"}",
		"two metrics for one":           `m * on() m`,
	} {
		start := time.Now()
		a := w.ask(http.MethodPost, "/query", url.Values{"query": {expr}})
		if a.Status != "error" || a.Error == "" || a.code < 400 || a.code == http.StatusInternalServerError {
			t.Errorf("%s: answer %d is %s %.200s", name, a.code, a.Status, a.Data)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
	// These are long, odd, and fine.
	for _, expr := range []string{`m{cpu=~"` + strings.Repeat("a|", 5000) + `0"}`, nested("abs", 90), strings.Repeat("1+", 900) + "1", strings.Repeat(`m{cpu="1"}+`, 50) + "1", `m{cpu="` + strings.Repeat("é", 1000) + `"}`, "m{cpu=\"\x00\"}", `{"a b"="",cpu!=""}`,
		`label_replace(m, "a", "$1$1", "cpu", "(.*)")`, `absent(nothing{cpu=~".+"})`} {
		if a := w.ask(http.MethodPost, "/query", url.Values{"query": {expr}}); a.Status != "success" {
			t.Errorf("%.60s: %+v", expr, a)
		}
	}
	far := func(expr, start, end, step string) url.Values {
		return url.Values{"query": {expr}, "start": {start}, "end": {end}, "step": {step}}
	}
	for name, c := range map[string]struct {
		path string
		form url.Values
	}{
		"no start":             {"/query_range", url.Values{"query": {"m"}, "end": {"1"}, "step": {"1"}}},
		"no step":              {"/query_range", far("m", "1", "2", "")},
		"backwards":            {"/query_range", far("m", "2", "1", "1")},
		"too many points":      {"/query_range", far("m", "0", "1e9", "1")},
		"no time at all":       {"/query_range", far("m", "NaN", "1", "1")},
		"beyond time":          {"/query_range", far("m", "1e300", "1e301", "1")},
		"before time":          {"/query", url.Values{"query": {"m"}, "time": {"-1e18"}}},
		"infinite":             {"/query", url.Values{"query": {"m"}, "time": {"+Inf"}}},
		"step of nothing":      {"/query_range", far("m", "1", "2", "0")},
		"negative step":        {"/query_range", far("m", "1", "2", "-1")},
		"tiny step":            {"/query_range", far("m", "1", "2", "1e-300")},
		"endless step":         {"/query_range", far("m", "1", "2", "1e300")},
		"a word for a step":    {"/query_range", far("m", "1", "2", "often")},
		"timeout of nothing":   {"/query", url.Values{"query": {"m"}, "timeout": {"0"}}},
		"negative limit":       {"/query", url.Values{"query": {"m"}, "limit": {"-1"}}},
		"no selector":          {"/series", nil},
		"selector of all":      {"/series", url.Values{"match[]": {`{cpu=~".*"}`}}},
		"expression, selector": {"/series", url.Values{"match[]": {`sum(m)`}}},
		"many selectors":       {"/series", url.Values{"match[]": make([]string, 500)}},
		"large selector":       {"/labels", url.Values{"match[]": {`m{a="` + strings.Repeat("x", 20000) + `"}`}}},
		"large form":           {"/query", url.Values{"query": {strings.Repeat("m", 300_000)}}},
	} {
		if a := w.ask(http.MethodPost, c.path, c.form); a.code < 400 || a.code >= 500 || a.Error == "" {
			t.Errorf("%s: answer is %d %.200s", name, a.code, a.Data)
		}
	}
	if a := w.ask(http.MethodGet, "/nowhere", nil); a.code != http.StatusNotFound || a.ErrorType != "not_found" {
		t.Errorf("an unknown path gives %+v", a)
	}
	if a := w.ask(http.MethodPost, "/label/cpu/values", nil); a.code != http.StatusNotFound {
		t.Errorf("a wrong method gives %+v", a)
	}
}

// TestP22QueriesAreBounded: what one query may read, and how many run, is bounded, and
// one whose client is gone ends.
func TestP22QueriesAreBounded(t *testing.T) {
	w, db := hostile(t)
	limits := query.DefaultLimits()
	limits.MaxSamples, limits.MaxSeries = 1000, 100
	small := newWeb(t, db, limits)
	for expr, want := range map[string]string{"rate(m[1h])": "more than 1000 samples", `count_over_time(m{cpu="1"}[1h:1s])`: "too many samples", `sum(rate(m{cpu="1"}[30m])) + sum(rate(m[1h]))`: "more than"} {
		if a := small.ask(http.MethodGet, "/query", url.Values{"query": {expr}}); a.code != http.StatusUnprocessableEntity || !strings.Contains(a.Error, want) {
			t.Errorf("%s: answer is %+v, want %q", expr, a, want)
		}
	}
	limits.MaxSeries = 5
	if a := newWeb(t, db, limits).ask(http.MethodGet, "/query", url.Values{"query": {"m"}}); a.code != http.StatusUnprocessableEntity || !strings.Contains(a.Error, "more than 5 series") {
		t.Errorf("many series: answer is %+v", a)
	}
	if a := w.ask(http.MethodGet, "/query", url.Values{"query": {`max_over_time(max_over_time(m[20m:1s])[20m:1s])`}, "timeout": {"20ms"}}); a.code != http.StatusServiceUnavailable || a.ErrorType != "timeout" {
		t.Errorf("out of time: answer is %+v", a)
	}

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w.ask(http.MethodGet, "/query", url.Values{"query": {`sum_over_time(vector(1)[40y:1ms])`}})
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 200<<20 {
		t.Errorf("a query that is refused took %d MB", grown>>20)
	}
}

// stuck is a store whose samples never come.
type stuck struct {
	*postgres.DB
	asked chan struct{}
}

func (s stuck) ReadSamples(ctx context.Context, _ postgres.SampleRead) ([]postgres.SeriesSamples, error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestP22QueriesTakeTurns: no more run at once than may, a query that gets no turn says
// so, and one that nobody waits for any more makes room.
func TestP22QueriesTakeTurns(t *testing.T) {
	_, db := hostile(t)
	s := stuck{db, make(chan struct{}, 1)}
	limits := query.DefaultLimits()
	limits.Concurrent = 1
	e := query.New(s, limits, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := e.Instant(ctx, "m", time.Now())
		first <- err
	}()
	<-s.asked
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := e.Instant(short, "m", time.Now()); sentinel.CodeOf(err) != sentinel.Unavailable || !strings.Contains(err.Error(), "1 other queries were running") {
		t.Errorf("a second query gives %v", err)
	}
	cancel()
	if err := <-first; sentinel.CodeOf(err) != sentinel.Unavailable {
		t.Errorf("a query that is given up gives %v", err)
	}
	r, err := e.Instant(t.Context(), "1+1", time.Now())
	must(t, err)
	r.Close()
}

// FuzzP22Parameters sends any parameters: there is always an answer, and it is in
// Prometheus' form.
func FuzzP22Parameters(f *testing.F) {
	f.Add("/query", "query=m&time=1700000000.123&timeout=1s&limit=3")
	f.Add("/query_range", "query=rate(m[5m])&start=2026-01-01T00:00:00Z&end=1e9&step=1m")
	f.Add("/series", "match[]=m{cpu=~\"1|2\"}&match[]={__name__=\"m\"}&start=0")
	f.Add("/labels", "match[]=m&limit=-1")
	f.Add("/label/__name__/values", "match[]={a!=\"b\"}")
	f.Add("/label/U__na_20_me/values", "")
	f.Add("/metadata", "metric=m&limit=x")
	f.Add("/query", "query=label_replace(m,\"a\",\"$1\",\"b\",\"(\")")
	f.Add("/query", "query=%ff;&time=NaN")
	w, _ := hostile(f)
	f.Fuzz(func(t *testing.T, path, form string) {
		target := query.Prefix + "/api/v1" + (&url.URL{Path: "/" + path}).EscapedPath()
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := httptest.NewRequest(method, "/", strings.NewReader(form))
			u, err := url.Parse(target)
			if err != nil {
				t.Skip()
			}
			r.URL = u
			if method == http.MethodGet {
				r.URL.RawQuery = form
			} else {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, r)
			if rec.Code == http.StatusInternalServerError {
				t.Errorf("%s %s?%s gives %d %s", method, path, form, rec.Code, rec.Body)
			}
			if body := rec.Body.String(); rec.Code/100 != 3 && !strings.HasPrefix(body, `{"status":"success","data":`) && !strings.Contains(body, `"status":"error"`) {
				t.Errorf("%s %s?%s gives %d %.200s", method, path, form, rec.Code, body)
			}
		}
	})
}

// TestValuesAsPrometheusWritesThem: an answer's numbers and times.
func TestValuesAsPrometheusWritesThem(t *testing.T) {
	db := postgrestest.New(t)
	at := time.Now().Truncate(time.Second).Add(-time.Minute)
	newHost(t, db, "").write(t, sentinel.Layout{sentinel.NewSeries("m", sentinel.Gauge, "", "text", "a\"b\\c\n<é>")}, sentinel.Cycle{Time: at, Values: []float64{math.MaxFloat64}})
	w := newWeb(t, db, query.DefaultLimits())
	for expr, want := range map[string]string{
		`m / 1e308`: `1.7976931348623157`, `m`: `1.7976931348623157e+308`, `m * 10`: `+Inf`, `-m * 10`: `-Inf`, `m - m`: `0`, `0 / (m - m)`: `NaN`, `m / m / 1e7`: `1e-07`, `m / m * 1e20`: `100000000000000000000`,
	} {
		a := w.ask(http.MethodGet, "/query", url.Values{"query": {expr}, "time": {unix(at)}})
		if !strings.Contains(string(a.Data), `,"`+want+`"]`) {
			t.Errorf("%s gives %s, want %s", expr, a.Data, want)
		}
	}
	if a := w.ask(http.MethodGet, "/label/text/values", nil); string(a.Data) != `["a\"b\\c\n\u003cé\u003e"]` {
		t.Errorf("a label's value is %s", a.Data)
	}
}
