package agent

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

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
