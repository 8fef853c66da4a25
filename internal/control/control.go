// Package control is how an operator on an agent's host asks the running agent: a
// few requests over HTTP on a unix socket in the agent's state folder. Whoever may
// open that socket may ask; the socket and its folder are for the agent's user (and
// root) alone.
package control

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// SocketName is the socket's name in the state folder.
const SocketName = "agent.sock"

// SocketPath returns where an agent with that state folder listens.
func SocketPath(stateDir string) string { return filepath.Join(stateDir, SocketName) }

// Agent is what answers. Its methods are called by any number of goroutines.
type Agent interface {
	Status() Status
	// Flush asks for everything that is in the log now to be sent, and waits until it
	// is settled or ctx ends.
	Flush(ctx context.Context) Flush
	// Reload reads the configuration again and applies it.
	Reload() Reload
}

// Status is how an agent stands. Times are UTC; what is not known is left out.
type Status struct {
	Version string    `json:"version"`
	Agent   string    `json:"agent_id"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`

	Config     Config      `json:"config"`
	Connection Connection  `json:"connection"`
	Log        Log         `json:"log"`
	Collectors []Collector `json:"collectors"`
	Plugins    []Plugin    `json:"plugins"`
}

// Plugin is how one plugin stands.
type Plugin struct {
	Name    string  `json:"name"`
	Version string  `json:"version,omitempty"`
	File    string  `json:"file"`             // its name
	Signer  string  `json:"signer,omitempty"` // empty where no trusted key has signed it
	State   string  `json:"state"`            // running, backing_off, quarantined or refused
	Error   string  `json:"error,omitempty"`
	Runs    uint64  `json:"runs"`
	Errors  uint64  `json:"errors"`
	Kills   uint64  `json:"kills"`
	Seconds float64 `json:"seconds"` // of its last collection
	Memory  int64   `json:"memory_bytes"`
}

// Config says which configuration runs.
type Config struct {
	File string `json:"file,omitempty"` // empty where there is none: defaults and environment
	// LastGood says that the agent runs with the last configuration that was good,
	// because that of the file is not. Error says why.
	LastGood   bool       `json:"last_good"`
	Error      string     `json:"error,omitempty"`
	LastReload *time.Time `json:"last_reload,omitempty"` // good or not
	// Told is the version of what the service told the agent to collect; 0: nothing.
	Told uint64 `json:"told,omitempty"`
	// NeedsRestart names keys whose values in the file wait for a restart.
	NeedsRestart []string `json:"needs_restart,omitempty"`
}

// Connection is the way to the service.
type Connection struct {
	Server     string    `json:"server"`
	Connected  bool      `json:"connected"`
	Since      time.Time `json:"since"` // of the connection, or of its loss
	LastError  string    `json:"last_error,omitempty"`
	ClockAhead float64   `json:"clock_ahead_seconds"` // of this host's clock against the service's
}

// Log is what the log on disk holds. Counts are since the start.
type Log struct {
	Error           string            `json:"error,omitempty"` // why it takes no records, where it does not
	Bytes           int64             `json:"bytes"`
	OldestUnsettled *time.Time        `json:"oldest_unsettled,omitempty"` // its record's time
	Appended        uint64            `json:"records_appended"`
	Failed          uint64            `json:"records_failed"`
	Dropped         map[string]uint64 `json:"records_dropped"` // by reason
	Waiting         int64             `json:"cycles_waiting_for_clock"`
	Marks           []Mark            `json:"marks"`
}

// Mark is how far one epoch of the log is settled.
type Mark struct {
	Epoch string `json:"epoch"`
	// Appended is the last sequence number, 0 where it is not known without reading
	// the log.
	Appended uint64 `json:"appended"`
	Settled  uint64 `json:"settled"` // everything up to here is
}

// Collector is how one collector fared in its last cycle.
type Collector struct {
	Name    string    `json:"name"`
	Success bool      `json:"success"`
	Seconds float64   `json:"seconds"`
	At      time.Time `json:"at"`
}

// Flush is the outcome of a flush. Where it is Done, all that the log held when it
// was asked for is settled: stored, quarantined or declared lost.
type Flush struct {
	Done    bool    `json:"done"`
	Seconds float64 `json:"seconds"`
	Marks   []Mark  `json:"marks"`            // of what is left in the log
	Reason  string  `json:"reason,omitempty"` // why it is not done
}

// Reload is the outcome of a reload. Where it is not OK nothing has changed.
type Reload struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	// Applied and NeedsRestart name the keys that have changed, by whether they hold
	// now or only after a restart.
	Applied      []string `json:"applied"`
	NeedsRestart []string `json:"needs_restart"`
}

// maxFlush bounds how long one request may wait.
const maxFlush = 10 * time.Minute

// Handler answers for the agent.
func Handler(a Agent) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, a.Status()) })
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, a.Reload()) })
	mux.HandleFunc("POST /v1/flush", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.URL.Query().Get("timeout"))
		if err != nil || d <= 0 || d > maxFlush {
			answer(w, http.StatusBadRequest, problem{"timeout: want a duration up to " + maxFlush.String()})
			return
		}
		until := time.Now().Add(d + time.Minute)
		// An answer may take longer than others have; a connection that cannot say so
		// keeps its own bounds.
		c := http.NewResponseController(w)
		_, _ = c.SetReadDeadline(until), c.SetWriteDeadline(until)
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		answer(w, http.StatusOK, a.Flush(ctx))
	})
	return mux
}

type problem struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client may be gone
}

// errorOf reads what a request that failed was answered.
func errorOf(raw []byte) error {
	var p problem
	if json.Unmarshal(raw, &p) != nil || p.Error == "" {
		p.Error = "the agent's answer is not understood; is it of another version?"
	}
	return sentinel.Errorf(sentinel.Internal, "%s", p.Error)
}
