//go:build linux

package standalone_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/app/standalone"
)

// nodeExporterFull are core expressions of the dashboard of this name (number 1860 on
// grafana.com), which is drawn for node_exporter.
var nodeExporterFull = map[string]string{
	"cpu busy":      `100 * (1 - avg(rate(node_cpu_seconds_total{mode="idle", instance="$node", job="$job"}[$__rate_interval])))`,
	"cpu by mode":   `sum by(instance) (irate(node_cpu_seconds_total{instance="$node",job="$job", mode="system"}[$__rate_interval])) / on(instance) group_left sum by (instance)((irate(node_cpu_seconds_total{instance="$node",job="$job"}[$__rate_interval])))`,
	"cores":         `count(count(node_cpu_seconds_total{instance="$node",job="$job"}) by (cpu))`,
	"load":          `scalar(node_load1{instance="$node",job="$job"}) * 100 / count(count(node_cpu_seconds_total{instance="$node",job="$job"}) by (cpu))`,
	"uptime":        `node_time_seconds{instance="$node",job="$job"} - node_boot_time_seconds{instance="$node",job="$job"}`,
	"memory":        `(1 - (node_memory_MemAvailable_bytes{instance="$node", job="$job"} / node_memory_MemTotal_bytes{instance="$node", job="$job"})) * 100`,
	"memory stack":  `node_memory_Cached_bytes{instance="$node",job="$job"} + node_memory_Buffers_bytes{instance="$node",job="$job"} + node_memory_SReclaimable_bytes{instance="$node",job="$job"}`,
	"swap":          `node_memory_SwapTotal_bytes{instance="$node",job="$job"} - node_memory_SwapFree_bytes{instance="$node",job="$job"}`,
	"disk":          `irate(node_disk_read_bytes_total{instance="$node",job="$job",device=~"[a-z]+|nvme[0-9]+n[0-9]+|mmcblk[0-9]+"}[$__rate_interval])`,
	"disk iops":     `irate(node_disk_writes_completed_total{instance="$node",job="$job",device=~"[a-z]+|nvme[0-9]+n[0-9]+|mmcblk[0-9]+"}[$__rate_interval])`,
	"disk busy":     `irate(node_disk_io_time_seconds_total{instance="$node",job="$job"}[$__rate_interval])`,
	"network in":    `irate(node_network_receive_bytes_total{instance="$node",job="$job"}[$__rate_interval])*8`,
	"network out":   `irate(node_network_transmit_bytes_total{instance="$node",job="$job"}[$__rate_interval])*8`,
	"file systems":  `100 - ((node_filesystem_avail_bytes{instance="$node",job="$job",fstype!="rootfs"} * 100) / node_filesystem_size_bytes{instance="$node",job="$job",fstype!="rootfs"})`,
	"inodes":        `node_filesystem_files{instance="$node",job="$job",device!~'rootfs'}`,
	"the variables": `node_uname_info{instance="$node",job="$job"}`,
}

// TestDashboardsHaveData starts the whole system as make demo does and asks for every
// expression of our dashboards, and for the core of a well-known one.
func TestDashboardsHaveData(t *testing.T) {
	dir, err := os.MkdirTemp("", "sentinel-standalone-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for PostgreSQL's user
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ready, done := make(chan standalone.Place, 1), make(chan error, 1)
	o := standalone.Options{StateDir: filepath.Join(dir, "state"), DatabaseURL: os.Getenv("SENTINEL_TEST_DATABASE_URL"), Gateway: freeAddress(t), API: freeAddress(t),
		Interval: time.Second, Version: "test", Log: slog.New(slog.DiscardHandler), Ready: func(p standalone.Place) { ready <- p }}
	go func() { done <- standalone.Run(ctx, o) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var place standalone.Place
	select {
	case place = <-ready:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	token, err := os.ReadFile(place.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(api.ClientConfig{Server: place.API, CAFile: filepath.Join(dir, "state", "certs", "ca.crt"), Token: strings.TrimSpace(string(token))})
	if err != nil {
		t.Fatal(err)
	}
	agents, err := client.Agents(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$instance", agents[0].Hostname, "$node", agents[0].Hostname, "$job", "node", "$__rate_interval", "1m", "$__interval", "15s", "$datasource", "sentinel")
	asked := 0
	ask := func(where, expr string) {
		asked++
		expr = fill.Replace(expr)
		// What compares two cycles is there after the second.
		for {
			a, err := client.Query(ctx, expr, time.Time{})
			if err != nil {
				t.Fatalf("%s: %s: %v", where, expr, err)
			}
			if len(a.Series) > 0 {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s: %s never had data", where, expr)
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	files, err := filepath.Glob("../../../deploy/grafana/dashboards/*.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("dashboards are %v, %v", files, err)
	}
	variable := regexp.MustCompile(`^label_values\((.*), *\w+\)$`)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Templating struct {
				List []struct{ Type, Definition string }
			}
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, v := range d.Templating.List {
			if m := variable.FindStringSubmatch(v.Definition); m != nil {
				ask(filepath.Base(file), m[1])
			} else if v.Type == "query" {
				t.Errorf("%s: a variable is %q", file, v.Definition)
			}
		}
		for _, p := range d.Panels {
			if len(p.Targets) == 0 {
				t.Errorf("%s: %q asks for nothing", file, p.Title)
			}
			for _, q := range p.Targets {
				ask(filepath.Base(file)+": "+p.Title, q.Expr)
			}
		}
	}
	for name, expr := range nodeExporterFull {
		ask("Node Exporter Full: "+name, expr)
	}
	t.Logf("%d expressions have data", asked)
}
