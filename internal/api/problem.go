package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Problem is the body of every answer that is an error (RFC 9457).
type Problem struct {
	huma.ErrorModel
	// RequestID is that of the answer's header X-Request-Id; the service's log has it
	// beside what is not shown here.
	RequestID string `json:"request_id,omitempty"`
}

const requestIDHeader = "X-Request-Id"

type requestIDKey struct{}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// identify puts the request's id into every problem that the library writes.
func identify(ctx huma.Context, _ string, v any) (any, error) {
	if m, ok := v.(*huma.ErrorModel); ok {
		return &Problem{*m, requestID(ctx.Context())}, nil
	}
	return v, nil
}

// fieldError is an Invalid error that knows which part of the request it is about.
type fieldError struct {
	where string // as the library names places: query.step, body.labels
	error
}

func (e *fieldError) Unwrap() error { return e.error }

func wrong(where, format string, args ...any) error {
	return &fieldError{where, sentinel.Errorf(sentinel.Invalid, format, args...)}
}

// staleError says that a thing is no longer what the client saw.
type staleError struct{ error }

// clean refuses text that the database cannot hold.
func clean(where, text string) error {
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return wrong(where, "want UTF-8 without NUL")
	}
	return nil
}

// problem maps the one error vocabulary to HTTP. What is our own fault is logged
// and not shown.
func problem(ctx context.Context, log *slog.Logger, err error) (status int, message string, details []error) {
	log = log.With("request", requestID(ctx))
	// The database's own words tell about tables and statements.
	if db := interface{ SQLState() string }(nil); errors.As(err, &db) && sentinel.CodeOf(err) != sentinel.Unavailable {
		log.Error("request failed in the database", "error", err)
		if sentinel.CodeOf(err) == sentinel.Invalid {
			return http.StatusUnprocessableEntity, "the database refuses a value of this request", nil
		}
		return http.StatusInternalServerError, "the service failed; its log says why", nil
	}
	if stale := new(staleError); errors.As(err, &stale) {
		return http.StatusPreconditionFailed, err.Error(), nil
	}
	switch sentinel.CodeOf(err) {
	case sentinel.Invalid:
		if f := new(fieldError); errors.As(err, &f) {
			return http.StatusUnprocessableEntity, "validation failed", []error{&huma.ErrorDetail{Location: f.where, Message: f.Error()}}
		}
		return http.StatusUnprocessableEntity, err.Error(), nil
	case sentinel.Unauthenticated:
		return http.StatusUnauthorized, err.Error(), nil
	case sentinel.Forbidden:
		return http.StatusForbidden, err.Error(), nil
	case sentinel.NotFound:
		return http.StatusNotFound, err.Error(), nil
	case sentinel.Conflict, sentinel.Forked:
		return http.StatusConflict, err.Error(), nil
	case sentinel.ResourceExhausted:
		return http.StatusTooManyRequests, err.Error(), nil
	case sentinel.Unavailable:
		if ctx.Err() == nil { // else who asked has left
			log.Warn("request failed", "error", err)
		}
		return http.StatusServiceUnavailable, "a part of the service does not answer, try again later", nil
	}
	log.Error("request failed", "error", err)
	return http.StatusInternalServerError, "the service failed; its log says why", nil
}

// fail turns an error into the library's.
func (r resources) fail(ctx context.Context, err error) error {
	status, message, details := problem(ctx, r.deps.Log, err)
	answer := huma.NewError(status, message, details...)
	var wait interface{ RetryAfter() time.Duration }
	if status == http.StatusTooManyRequests && errors.As(err, &wait) {
		seconds := int(math.Ceil(wait.RetryAfter().Seconds()))
		return huma.ErrorWithHeaders(answer, http.Header{"Retry-After": {strconv.Itoa(seconds)}})
	}
	return answer
}

// failBody is fail for what is Invalid in the body.
func (r resources) failBody(ctx context.Context, err error) error {
	if f := new(fieldError); sentinel.CodeOf(err) == sentinel.Invalid && !errors.As(err, &f) {
		err = &fieldError{"body", err}
	}
	return r.fail(ctx, err)
}

// requestPatience is for an answer to be made.
const requestPatience = 50 * time.Second

// bodyLimit returns how many bytes a request's body may have: whole bundles of plugins
// come to one place.
func bodyLimit(r *http.Request) int64 {
	if r.Method == http.MethodPost && r.URL.Path == "/api/v1/plugins" {
		return maxBundleBody
	}
	return maxBody
}

// around does for every request what is not the routes' business: its id, bounds on
// what it may hold and how long it may take, problems for unknown routes and for
// panics, and headers that tell browsers to be wary.
func around(mux *http.ServeMux, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !cleanRequestID(id) {
			id = sentinel.RandomName(10)
		}
		patience := requestPatience
		if r.URL.Path == backtestPath {
			patience = backtestPatience
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience)) // a writer that has none needs none
		}
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestIDKey{}, id), patience)
		defer cancel()
		r = r.WithContext(ctx)
		a := &answer{ResponseWriter: w}
		r.Body = http.MaxBytesReader(a, r.Body, bodyLimit(r))
		h := w.Header()
		h.Set(requestIDHeader, id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		defer func() {
			switch p := recover(); {
			case p == nil:
			case p == http.ErrAbortHandler || a.status != 0: //nolint:errorlint // a panic's value, compared as net/http does
				if p != http.ErrAbortHandler { //nolint:errorlint // likewise
					log.Error("request broke off", "request", id, "method", r.Method, "panic", p)
				}
				panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
			default:
				log.Error("request failed", "request", id, "method", r.Method, "panic", p)
				a.problem(r, http.StatusInternalServerError, "the service failed; its log says why")
			}
		}()
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(a, r)
			return
		}
		// The multiplexer knows whether it is the path or the method, and which
		// methods there are; only its body is not ours.
		silent := &muted{header: h}
		mux.ServeHTTP(silent, r)
		if silent.status == http.StatusMethodNotAllowed {
			a.problem(r, silent.status, "this path allows "+h.Get("Allow")+"; /openapi.json describes it")
			return
		}
		a.problem(r, http.StatusNotFound, "no such path; /openapi.json lists those there are")
	})
}

func cleanRequestID(id string) bool {
	if len(id) < 1 || len(id) > 64 {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_' && r != '.'
	}) < 0
}

// answer knows whether an answer has begun.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find what the writer can do.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) problem(r *http.Request, status int, detail string) {
	a.Header().Set("Content-Type", "application/problem+json")
	a.WriteHeader(status)
	p := Problem{huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: detail}, requestID(r.Context())}
	_ = json.NewEncoder(a).Encode(p) // the client may be gone
}

// muted keeps an answer's status and drops its body.
type muted struct {
	header http.Header
	status int
}

func (m *muted) Header() http.Header         { return m.header }
func (m *muted) WriteHeader(status int)      { m.status = status }
func (m *muted) Write(p []byte) (int, error) { return len(p), nil }
