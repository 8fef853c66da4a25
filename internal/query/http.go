package query

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Prefix is the path under which the interface stands: it is the address that
// Grafana is given, and what follows is Prometheus' own, /api/v1/….
const Prefix = "/prometheus"

// Metadata knows which metrics there are.
type Metadata interface {
	Metrics(ctx context.Context, name string, limit int) ([]postgres.Metric, error)
}

// Rules tells the alerting rules and alerts in Prometheus' form, each as the value
// of data. It may be nil: then there are none.
type Rules interface {
	Rules(ctx context.Context, only RuleFilter) (json.RawMessage, error)
	Alerts(ctx context.Context) (json.RawMessage, error)
}

// RuleFilter is which rules are asked for. Empty fields ask for all.
type RuleFilter struct {
	Names, Groups []string
	// WithoutAlerts asks for no alerts beside the rules.
	WithoutAlerts bool
}

// HTTP is what the handler needs.
type HTTP struct {
	Engine   *Engine
	Metadata Metadata
	Rules    Rules
	Version  string // of Sentinel
	Log      *slog.Logger
}

// Handler returns Prometheus' HTTP interface under Prefix, as far as it reads. Who
// may ask is the caller's business. https://prometheus.io/docs/prometheus/latest/querying/api/
func (h HTTP) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, f func(context.Context, params) (payload, error), methods ...string) {
		for _, method := range methods {
			mux.HandleFunc(method+" "+Prefix+"/api/v1"+path, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, f) })
		}
	}
	const get, post = http.MethodGet, http.MethodPost
	handle("/query", h.instant, get, post)
	handle("/query_range", h.ranged, get, post)
	handle("/query_exemplars", h.exemplars, get, post)
	handle("/format_query", h.format, get, post)
	handle("/series", h.series, get, post)
	handle("/labels", h.labelNames, get, post)
	handle("/label/{name}/values", h.labelValues, get)
	handle("/metadata", h.metadata, get)
	handle("/rules", h.rules, get)
	handle("/alerts", h.alerts, get)
	handle("/status/buildinfo", h.buildinfo, get)
	mux.HandleFunc(Prefix+"/", func(w http.ResponseWriter, r *http.Request) {
		Refuse(w, r, http.StatusNotFound, "no such path, or not by "+r.Method)
	})
	return mux
}

// payload is what an answer holds beside its status.
type payload struct {
	data     json.RawMessage
	warnings []string
	infos    []string
}

func (h HTTP) serve(w http.ResponseWriter, r *http.Request, f func(context.Context, params) (payload, error)) {
	p, err := readParams(r)
	var out payload
	if err == nil {
		out, err = f(r.Context(), p)
	}
	if err != nil {
		status, kind, text := h.fault(r, err)
		fail(w, status, kind, text)
		return
	}
	write(w, r, out)
}

// Refuse answers in the interface's form that a request is not served at all.
func Refuse(w http.ResponseWriter, _ *http.Request, status int, text string) {
	kind := map[int]string{http.StatusNotFound: "not_found", http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "forbidden",
		http.StatusServiceUnavailable: "unavailable", http.StatusTooManyRequests: "unavailable"}[status]
	if kind == "" {
		kind = "internal"
	}
	fail(w, status, kind, text)
}

// fault maps the one error vocabulary to Prometheus'. What is our own fault is
// logged and not shown.
func (h HTTP) fault(r *http.Request, err error) (status int, kind, text string) {
	var timeout *timeoutError
	var canceled *canceledError
	var database interface{ SQLState() string }
	switch {
	case r.Context().Err() != nil && errors.Is(context.Cause(r.Context()), context.Canceled), errors.As(err, &canceled):
		return 499, "canceled", err.Error() // nobody listens any more
	case errors.As(err, &timeout):
		return http.StatusServiceUnavailable, "timeout", err.Error()
	case errors.As(err, &database) && database.SQLState() == "57014": // query_canceled: the statement's own limit
		return http.StatusServiceUnavailable, "timeout", "the query took the database too long: ask for less time, a larger step or fewer series"
	case errors.As(err, &database):
		h.Log.Error("query failed in the database", "error", err)
		return http.StatusInternalServerError, "internal", "the service failed; its log says why"
	}
	var param *paramError
	switch sentinel.CodeOf(err) {
	case sentinel.Invalid:
		if errors.As(err, &param) {
			return http.StatusBadRequest, "bad_data", err.Error()
		}
		return http.StatusUnprocessableEntity, "execution", err.Error()
	case sentinel.ResourceExhausted:
		return http.StatusUnprocessableEntity, "execution", err.Error()
	case sentinel.NotFound:
		return http.StatusNotFound, "not_found", err.Error()
	case sentinel.Unavailable:
		h.Log.Warn("query failed", "error", err)
		return http.StatusServiceUnavailable, "unavailable", "a part of the service does not answer, try again later"
	}
	h.Log.Error("query failed", "error", err)
	return http.StatusInternalServerError, "internal", "the service failed; its log says why"
}

func (h HTTP) instant(ctx context.Context, p params) (payload, error) {
	at, err := p.time("time", time.Now())
	if err != nil {
		return payload{}, err
	}
	return h.evaluate(ctx, p, 0, func(ctx context.Context, expr string) (*Result, error) { return h.Engine.Instant(ctx, expr, at) })
}

func (h HTTP) ranged(ctx context.Context, p params) (payload, error) {
	from, err := p.needTime("start")
	if err != nil {
		return payload{}, err
	}
	to, err := p.needTime("end")
	if err != nil {
		return payload{}, err
	}
	step, err := p.duration("step", 0)
	if err != nil {
		return payload{}, err
	}
	if err := checkRange(from, to, step); err != nil {
		return payload{}, err
	}
	return h.evaluate(ctx, p, to.Sub(from), func(ctx context.Context, expr string) (*Result, error) {
		return h.Engine.Range(ctx, expr, from, to, step)
	})
}

func (h HTTP) evaluate(ctx context.Context, p params, over time.Duration, ask func(context.Context, string) (*Result, error)) (payload, error) {
	expr := p.Get("query")
	if _, err := h.Engine.parse(expr, over); err != nil {
		return payload{}, wrong("query", err)
	}
	timeout, err := p.duration("timeout", h.Engine.limits.Timeout)
	if err != nil {
		return payload{}, err
	}
	limit, err := p.limit()
	if err != nil {
		return payload{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, min(timeout, h.Engine.limits.Timeout))
	defer cancel()
	result, err := ask(ctx, expr)
	if err != nil {
		return payload{}, err
	}
	defer result.Close()
	value, cut := truncate(result.Value, limit)
	if cut {
		result.Warnings = append(result.Warnings, "results truncated due to limit")
	}
	return payload{appendResult(nil, value), result.Warnings, result.Infos}, nil
}

func (h HTTP) exemplars(_ context.Context, p params) (payload, error) {
	_, err := h.Engine.parse(p.Get("query"), 0)
	return payload{data: json.RawMessage(`[]`)}, wrong("query", err)
}

func (h HTTP) format(_ context.Context, p params) (payload, error) {
	expr, err := h.Engine.parse(p.Get("query"), 0)
	if err != nil {
		return payload{}, wrong("query", err)
	}
	return encode(expr.Pretty(0))
}

// selected gathers, from the series that each match[] selects, what keep takes.
func (h HTTP) selected(ctx context.Context, p params, need bool, keep func(labels.Labels)) error {
	sets, err := p.matchers(h.Engine, need)
	if err != nil {
		return err
	}
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	ctx, cancel := context.WithTimeout(ctx, h.Engine.limits.Timeout)
	defer cancel()
	for _, matchers := range sets {
		q := &querier{Storage: h.Engine.storage, series: h.Engine.limits.MaxSeries}
		_, found, err := q.find(ctx, matchers)
		if err != nil {
			return failed(err)
		}
		for _, ls := range found {
			keep(ls)
		}
	}
	return nil
}

func (h HTTP) series(ctx context.Context, p params) (payload, error) {
	limit, err := p.limit()
	if err != nil {
		return payload{}, err
	}
	var all []labels.Labels
	if err := h.selected(ctx, p, true, func(ls labels.Labels) { all = append(all, ls) }); err != nil {
		return payload{}, err
	}
	slices.SortFunc(all, labels.Compare)
	all = slices.CompactFunc(all, labels.Equal)
	var out payload
	if limit > 0 && len(all) > limit {
		all, out.warnings = all[:limit], []string{"results truncated due to limit"}
	}
	out.data = append(out.data, '[')
	for i, ls := range all {
		if i > 0 {
			out.data = append(out.data, ',')
		}
		out.data = appendLabels(out.data, ls)
	}
	out.data = append(out.data, ']')
	return out, nil
}

func (h HTTP) labelNames(ctx context.Context, p params) (payload, error) {
	limit, err := p.limit()
	if err != nil {
		return payload{}, err
	}
	names := make(map[string]struct{})
	err = h.selected(ctx, p, false, func(ls labels.Labels) {
		ls.Range(func(l labels.Label) { names[l.Name] = struct{}{} })
	})
	if err != nil {
		return payload{}, err
	}
	return encode(bounded(names, &storage.LabelHints{Limit: limit}))
}

func (h HTTP) labelValues(ctx context.Context, p params) (payload, error) {
	limit, err := p.limit()
	if err != nil {
		return payload{}, err
	}
	name := model.UnescapeName(p.label, model.ValueEncodingEscaping)
	values := make(map[string]struct{})
	err = h.selected(ctx, p, false, func(ls labels.Labels) {
		if v := ls.Get(name); v != "" {
			values[v] = struct{}{}
		}
	})
	if err != nil {
		return payload{}, err
	}
	return encode(bounded(values, &storage.LabelHints{Limit: limit}))
}

func (h HTTP) metadata(ctx context.Context, p params) (payload, error) {
	limit, err := p.limit()
	if err != nil {
		return payload{}, err
	}
	metrics, err := h.Metadata.Metrics(ctx, p.Get("metric"), limit)
	if err != nil {
		return payload{}, err
	}
	type entry struct {
		Type string `json:"type"`
		Help string `json:"help"`
		Unit string `json:"unit"`
	}
	out := make(map[string][]entry, len(metrics))
	for _, m := range metrics {
		out[m.Name] = append(out[m.Name], entry{m.Kind.String(), "", m.Unit})
	}
	return encode(out)
}

func (h HTTP) rules(ctx context.Context, p params) (payload, error) {
	switch kind := p.Get("type"); kind {
	case "", "alert", "record":
		if h.Rules == nil || kind == "record" { // there are no recording rules
			return payload{data: json.RawMessage(`{"groups":[]}`)}, nil
		}
	default:
		return payload{}, wrong("type", sentinel.Errorf(sentinel.Invalid, "want alert or record, not %.40q", kind))
	}
	without := p.Get("exclude_alerts") == "true"
	data, err := h.Rules.Rules(ctx, RuleFilter{Names: p.Values["rule_name[]"], Groups: p.Values["rule_group[]"], WithoutAlerts: without})
	return payload{data: data}, err
}

func (h HTTP) alerts(ctx context.Context, _ params) (payload, error) {
	if h.Rules == nil {
		return payload{data: json.RawMessage(`{"alerts":[]}`)}, nil
	}
	data, err := h.Rules.Alerts(ctx)
	return payload{data: data}, err
}

// engineVersion is which Prometheus the engine is of: clients ask for it to know
// what they may ask for.
const engineVersion = "3.16.0"

func (h HTTP) buildinfo(context.Context, params) (payload, error) {
	return encode(map[string]string{"version": engineVersion, "revision": h.Version, "branch": "sentinel", "buildUser": "", "buildDate": "", "goVersion": runtime.Version()})
}

func encode(v any) (payload, error) {
	data, err := json.Marshal(v)
	return payload{data: data}, err
}

// write sends an answer.
func write(w http.ResponseWriter, r *http.Request, p payload) {
	body := append(make([]byte, 0, len(p.data)+64), `{"status":"success","data":`...)
	body = append(body, p.data...)
	for _, l := range []struct {
		key   string
		texts []string
	}{{"warnings", p.warnings}, {"infos", p.infos}} {
		if len(l.texts) > 0 {
			raw, _ := json.Marshal(l.texts) // strings always marshal
			body = append(append(body, `,"`+l.key+`":`...), raw...)
		}
	}
	body = append(body, '}')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Add("Vary", "Accept-Encoding")
	send(w, r, body)
}

func fail(w http.ResponseWriter, status int, kind, text string) {
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(5))
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": kind, "error": text}) // the client may be gone
}
