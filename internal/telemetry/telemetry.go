// Package telemetry is how a process shows itself: metrics in Prometheus' text
// format, health endpoints and logging. It owns the metrics library.
package telemetry

import (
	"io"
	"log/slog"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Registry holds one process's metrics. Asking twice for the same name and labels
// gives the same metric. Safe for concurrent use.
type Registry struct {
	set *metrics.Set

	mu sync.Mutex // held while a gauge is exchanged
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{set: metrics.NewSet()} }

// Counter only rises. Safe for concurrent use.
type Counter struct{ c *metrics.Counter }

// Add adds n.
func (c Counter) Add(n int) { c.c.Add(n) }

// Inc adds one.
func (c Counter) Inc() { c.c.Inc() }

// Value returns the count.
func (c Counter) Value() uint64 { return c.c.Get() }

// Counter returns the counter with this name and labels (name, value, …).
func (r *Registry) Counter(name string, labels ...string) Counter {
	return Counter{r.set.GetOrCreateCounter(seriesName(name, labels))}
}

// Gauge registers a gauge that asks f when the metrics are read; f must be safe
// for concurrent use. A later registration under the same name takes its place: a
// part that is replaced while the process runs leaves no gauge of the old one.
func (r *Registry) Gauge(name string, f func() float64, labels ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := seriesName(name, labels)
	r.set.UnregisterMetric(s)
	r.set.NewGauge(s, f)
}

// Writer has write asked for more metrics whenever they are read; it must be safe
// for concurrent use and write whole lines of Prometheus' text format.
func (r *Registry) Writer(write func(io.Writer)) { r.set.RegisterMetricsWriter(write) }

// Histogram counts observations in buckets. Safe for concurrent use.
type Histogram struct{ h *metrics.PrometheusHistogram }

// Observe adds one observation, in seconds where the name says so.
func (h Histogram) Observe(v float64) { h.h.Update(v) }

// Histogram returns the classic Prometheus histogram with this name and labels.
func (r *Registry) Histogram(name string, labels ...string) Histogram {
	return Histogram{r.set.GetOrCreatePrometheusHistogram(seriesName(name, labels))}
}

// Write writes every metric in Prometheus' text format, then those of the
// process and the Go runtime.
func (r *Registry) Write(w io.Writer) {
	r.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}

func seriesName(name string, labels []string) string {
	s := sentinel.NewSeries(name, sentinel.Gauge, "", labels...)
	return s.String()
}

// LogConfig says how a process logs.
type LogConfig struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is text or json.
	Format string `yaml:"format"`
}

// DefaultLogConfig logs what matters, as text.
func DefaultLogConfig() LogConfig { return LogConfig{Level: "info", Format: "text"} }

// Validate says which key is wrong and what is allowed.
func (c LogConfig) Validate() error {
	_, err := c.Logger(io.Discard)
	return err
}

// Threshold returns Level as slog has it. It is Invalid where it is not known.
func (c LogConfig) Threshold() (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.Level)); err != nil {
		return 0, sentinel.Errorf(sentinel.Invalid, "level: %q is not known, want debug, info, warn or error", c.Level)
	}
	return l, nil
}

// Logger returns a logger that writes to w.
func (c LogConfig) Logger(w io.Writer) (*slog.Logger, error) {
	return c.LoggerAt(w, new(slog.LevelVar))
}

// LoggerAt returns a logger that writes to w from level on. It sets level to that
// of the configuration; the caller may change it at any time.
func (c LogConfig) LoggerAt(w io.Writer, level *slog.LevelVar) (*slog.Logger, error) {
	l, err := c.Threshold()
	if err != nil {
		return nil, err
	}
	level.Set(l)
	opts := &slog.HandlerOptions{Level: level}
	switch c.Format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, sentinel.Errorf(sentinel.Invalid, "format: %q is not known, want text or json", c.Format)
}
