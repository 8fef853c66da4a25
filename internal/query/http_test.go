package query_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// TestQueriesOverStoredSamples asks for what two hosts wrote, by every way in.
func TestQueriesOverStoredSamples(t *testing.T) {
	db := postgrestest.New(t)
	start := time.Now().Add(-30 * time.Minute).Truncate(time.Minute)
	layout := sentinel.Layout{
		sentinel.NewSeries("node_load1", sentinel.Gauge, ""),
		sentinel.NewSeries("node_cpu_seconds_total", sentinel.Counter, "seconds", "cpu", "0", "mode", "idle"),
		sentinel.NewSeries("node_cpu_seconds_total", sentinel.Counter, "seconds", "cpu", "0", "mode", "user"),
		sentinel.NewSeries("pg_up", sentinel.Gauge, "", "instance", "127.0.0.1:9187", "job", "postgres", "site", "own"),
	}
	fra := newHost(t, db, "web-1", sentinel.Label{Name: "site", Value: "fra"})
	ber := newHost(t, db, "web-2", sentinel.Label{Name: "site", Value: "ber"}, sentinel.Label{Name: "agent", Value: "not this"})
	for i, h := range []*host{fra, ber} {
		h.write(t, layout, every(10*time.Second, start, start.Add(20*time.Minute), func(n int) []float64 {
			return []float64{float64(i + 1), float64(n * 90), float64(n * 10), 1}
		})...)
	}
	w := newWeb(t, db, query.DefaultLimits())
	end := start.Add(20 * time.Minute)
	labels := func(h *host, instance, job, site, more string) string {
		return `{agent="` + string(h.name) + `"` + more + `,instance="` + instance + `",job="` + job + `",site="` + site + `"}`
	}
	for expr, want := range map[string][]string{
		`node_load1`:                                       {"node_load1" + labels(fra, "web-1", "node", "fra", "") + " 1", "node_load1" + labels(ber, "web-2", "node", "ber", "") + " 2"},
		`sum(node_load1)`:                                  {"{} 3"},
		`node_load1{site="fra"}`:                           {"node_load1" + labels(fra, "web-1", "node", "fra", "") + " 1"},
		`node_load1{site=~"f.*"}`:                          {"node_load1" + labels(fra, "web-1", "node", "fra", "") + " 1"},
		`node_load1{site!="fra"}`:                          {"node_load1" + labels(ber, "web-2", "node", "ber", "") + " 2"},
		`node_load1{site!~"f|b"}`:                          {"node_load1" + labels(fra, "web-1", "node", "fra", "") + " 1", "node_load1" + labels(ber, "web-2", "node", "ber", "") + " 2"},
		`node_load1{site=~"(?i)FRA|x"}`:                    {"node_load1" + labels(fra, "web-1", "node", "fra", "") + " 1"},
		`node_load1{instance="web-2",job="node"}`:          {"node_load1" + labels(ber, "web-2", "node", "ber", "") + " 2"},
		`node_load1{agent="` + string(fra.name) + `"}`:     {"node_load1" + labels(fra, "web-1", "node", "fra", "") + " 1"},
		`node_load1{agent="not this"}`:                     {},
		`node_load1{nothing=""}`:                           {"node_load1" + labels(fra, "web-1", "node", "fra", "") + " 1", "node_load1" + labels(ber, "web-2", "node", "ber", "") + " 2"},
		`{__name__=~"node_l.*",site="ber"}`:                {"node_load1" + labels(ber, "web-2", "node", "ber", "") + " 2"},
		`pg_up{instance="127.0.0.1:9187",site="own"} + 1`:  {labels(fra, "127.0.0.1:9187", "postgres", "own", "") + " 2", labels(ber, "127.0.0.1:9187", "postgres", "own", "") + " 2"},
		`sum by (mode) (rate(node_cpu_seconds_total[5m]))`: {`{mode="idle"} 18`, `{mode="user"} 2`},
		`count(max_over_time(node_cpu_seconds_total[1m]) and on(agent) node_load1 == 2)`: {"{} 2"},
		`node_load1 offset 1h`: {},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			got := w.ask(method, "/query", url.Values{"query": {expr}, "time": {unix(end)}}).vector(t)
			slices.Sort(want)
			if !slices.Equal(got, want) && len(got)+len(want) > 0 {
				t.Errorf("%s %s gives\n%s\nwant\n%s", method, expr, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
	if got := w.ask(http.MethodGet, "/query", url.Values{"query": {"1+1"}, "time": {"1000.5"}}); string(got.Data) != `{"resultType":"scalar","result":[1000.5,"2"]}` {
		t.Errorf("1+1 is %s", got.Data)
	}

	got := w.ask(http.MethodGet, "/query_range", url.Values{"query": {`sum(node_load1)`}, "start": {start.Add(-2 * time.Minute).Format(time.RFC3339)}, "end": {unix(start.Add(2 * time.Minute))}, "step": {"30s"}}).matrix(t)
	want := map[string]map[float64]string{"{}": {}}
	for d := time.Duration(0); d <= 2*time.Minute; d += 30 * time.Second {
		want["{}"][float64(start.Add(d).Unix())] = "3"
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("range is %v, want %v", got, want)
	}

	for path, want := range map[string]string{
		"/labels":                                     `["__name__","agent","cpu","instance","job","mode","site"]`,
		"/labels?match[]=node_load1":                  `["__name__","agent","instance","job","site"]`,
		"/label/job/values":                           `["node","postgres"]`,
		"/label/site/values?match[]=pg_up":            `["own"]`,
		"/label/__name__/values":                      `["node_cpu_seconds_total","node_load1","pg_up"]`,
		"/label/mode/values?match[]={site=%22fra%22}": `["idle","user"]`,
		"/label/mode/values?limit=1":                  `["idle"]`,
		"/metadata?metric=node_cpu_seconds_total":     `{"node_cpu_seconds_total":[{"type":"counter","help":"","unit":"seconds"}]}`,
		"/metadata":                                   `{"node_cpu_seconds_total":[{"type":"counter","help":"","unit":"seconds"}],"node_load1":[{"type":"gauge","help":"","unit":""}],"pg_up":[{"type":"gauge","help":"","unit":""}]}`,
		"/rules":                                      `{"groups":[]}`,
		"/alerts":                                     `{"alerts":[]}`,
		"/query_exemplars?query=node_load1":           `[]`,
		"/format_query?query=sum(node_load1)by(site)": `"sum by (site) (node_load1)"`,
		"/series?match[]=pg_up&match[]=pg_up&limit=1": `[{"__name__":"pg_up","agent":"` + min(string(fra.name), string(ber.name)) + `","instance":"127.0.0.1:9187","job":"postgres","site":"own"}]`,
	} {
		if got := w.ask(http.MethodGet, path, nil); got.Status != "success" || string(got.Data) != want {
			t.Errorf("%s gives %+v %s, want %s", path, got, got.Data, want)
		}
	}
	var info map[string]string
	must(t, json.Unmarshal(w.ask(http.MethodGet, "/status/buildinfo", nil).Data, &info))
	if info["version"] == "" {
		t.Errorf("buildinfo is %v", info)
	}
}

// TestWhatEndsASeries keeps values from being drawn for longer than they hold.
func TestWhatEndsASeries(t *testing.T) {
	db := postgrestest.New(t)
	start := time.Now().Add(-time.Hour).Truncate(time.Minute)
	h := newHost(t, db, "web-1")
	both := sentinel.Layout{sentinel.NewSeries("a", sentinel.Gauge, ""), sentinel.NewSeries("b", sentinel.Gauge, "")}
	// b goes absent after five minutes; after ten the host is silent for ten more.
	h.write(t, both, every(10*time.Second, start, start.Add(10*time.Minute), func(i int) []float64 {
		if i >= 30 {
			return []float64{1, sentinel.Absent()}
		}
		return []float64{1, 2}
	})...)
	h.write(t, both, every(10*time.Second, start.Add(20*time.Minute), start.Add(25*time.Minute), func(int) []float64 { return []float64{3, 4} })...)
	w := newWeb(t, db, query.DefaultLimits())
	for name, spans := range map[string][][2]time.Duration{
		"a": {{0, 10*time.Minute + 50*time.Second}, {20 * time.Minute, 25*time.Minute + 50*time.Second}},
		"b": {{0, 5*time.Minute - 10*time.Second}, {20 * time.Minute, 25*time.Minute + 50*time.Second}},
	} {
		got := w.ask(http.MethodGet, "/query_range", url.Values{"query": {"sum(" + name + ")"}, "start": {unix(start.Add(-5 * time.Minute))}, "end": {unix(start.Add(35 * time.Minute))}, "step": {"10s"}}).matrix(t)["{}"]
		for d := -5 * time.Minute; d <= 35*time.Minute; d += 10 * time.Second {
			want := false
			for _, s := range spans {
				// The last sample is ten seconds before the end; it holds for a minute.
				want = want || d >= s[0] && d < s[1]
			}
			if name == "b" && d == 5*time.Minute-10*time.Second {
				want = true
			}
			if _, ok := got[float64(start.Add(d).Unix())]; ok != want {
				t.Errorf("%s at %s: has a value is %t, want %t", name, d, ok, want)
			}
		}
	}
}
