package agent

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestOnce(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Once(t.Context(), collector.DefaultConfig(), "json", &b, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Samples []struct {
			Name  string
			Value *float64
		}
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, s := range doc.Samples {
		got[s.Name] = s.Value != nil
	}
	for _, name := range []string{"node_time_seconds", "node_cpu_seconds_total", "sentinel_host_cpu_used_percent", "sentinel_host_memory_used_percent"} {
		if !got[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

// Collectors with intervals of their own are printed with the others.
func TestOnceOfSeveralIntervals(t *testing.T) {
	t.Parallel()
	cfg := collector.DefaultConfig()
	cfg.Intervals["time"] = time.Minute
	var b bytes.Buffer
	if err := Once(t.Context(), cfg, "table", &b, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"\nnode_time_seconds ", "\nsentinel_host_cpu_used_percent "} {
		if strings.Count(b.String(), name) != 1 {
			t.Errorf("%q is not printed once", name)
		}
	}
}

func TestOnceAsTable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Once(t.Context(), collector.DefaultConfig(), "table", &b, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "SERIES ") || !strings.Contains(b.String(), "\nnode_time_seconds ") {
		t.Errorf("printed\n%.300s", b.String())
	}
}

func TestOnceUnknownFormat(t *testing.T) {
	err := Once(t.Context(), collector.DefaultConfig(), "xml", nil, nil)
	if sentinel.CodeOf(err) != sentinel.Invalid {
		t.Errorf("the error is %v, want one that is Invalid", err)
	}
}
