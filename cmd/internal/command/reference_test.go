package command_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/app/notifiers"
	"github.com/sentinelgo/sentinel/internal/app/server"
	"github.com/sentinelgo/sentinel/internal/app/worker"
	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/config/configtest"
	"github.com/sentinelgo/sentinel/internal/plugin"
)

var update = flag.Bool("update", false, "write the files in docs/reference anew")

// current compares a file of the reference with what it should be; -update writes it.
func current(t *testing.T, name string, want []byte) {
	t.Helper()
	path := filepath.Join("../../../docs/reference", name)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what its source gives: run go test ./cmd/internal/command -update", path)
	}
}

// The reference of the configuration, and its schema for editors, say what the structs
// and the example say.
func TestConfigurationReference(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the reference shows Linux's defaults")
	}
	raw, err := os.ReadFile(example(t))
	if err != nil {
		t.Fatal(err)
	}
	file := configtest.File{Title: "sentinel.yml", Example: raw, Values: []any{agent.DefaultConfig(), server.DefaultConfig(), worker.DefaultConfig()}}
	schema, err := file.Schema()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	current(t, "sentinel.schema.json", append(text, '\n'))

	keys, err := file.Keys()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString("# Configuration\n\nEvery key of `sentinel.yml`, from the programs' own structs and [config.example.yml](../../config.example.yml), which is\n" +
		"the file to copy from. The variable of the environment for a key is `SENTINEL_` and the path in upper case with `_` for each\n" +
		"dot. Editors that know JSON schemas complete and check with [sentinel.schema.json](sentinel.schema.json):\n" +
		"`# yaml-language-server: $schema=…/sentinel.schema.json`.\n")
	section := ""
	for _, k := range keys {
		if s, _, _ := strings.Cut(k.Path, "."); s != section {
			section = s
			fmt.Fprintf(&b, "\n## %s\n\n| key | type | default | |\n|---|---|---|---|\n", s)
		}
		def := k.Default
		if def != "" && def != "none" {
			def = "`" + def + "`"
		}
		bar := strings.NewReplacer("|", "\\|")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Path, k.Type, bar.Replace(def), bar.Replace(k.About))
	}
	current(t, "configuration.md", b.Bytes())
}

// The other files that people write have schemas too.
func TestSchemasReference(t *testing.T) {
	for name, value := range map[string]any{
		"notifications.schema.json": notifiers.File{},
		"rules.schema.json": struct {
			Groups []struct {
				Name  string          `yaml:"name"`
				Rules []alerting.Rule `yaml:"rules"`
			} `yaml:"groups"`
		}{},
		"plugin-manifest.schema.json": plugin.Manifest{},
		"agent-config.schema.json":    collector.Overlay{},
	} {
		schema, err := configtest.File{Title: strings.TrimSuffix(name, ".schema.json"), Values: []any{value}}.Schema()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		current(t, name, append(text, '\n'))
	}
}

// The catalogue of metrics is what recorded hosts gave, and what the sources register.
func TestMetricsReference(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("# Metrics\n\n## Of hosts\n\nWhat an agent on Linux stores, from recorded hosts of two kernels; a host has those that its hardware and kernel have. With\n" +
		"`agent.host_metrics` the agent serves them too. [collectors.md](../collectors.md) says what is what, and what other systems have.\n\n" +
		"| metric | kind | unit | labels |\n|---|---|---|---|\n")
	line := regexp.MustCompile(`^([a-z_A-Z0-9]+)(?:\{(.*)\})? \S+ # (gauge|counter) ?(\S*)$`)
	label := regexp.MustCompile(`(?:^|,)([a-z_]+)=`)
	rows := map[string]string{}
	golden, err := filepath.Glob("../../../internal/collector/testdata/linux-*.txt")
	if err != nil || len(golden) < 2 {
		t.Fatalf("%v, %v", golden, err)
	}
	for _, file := range golden {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(string(raw), "\n") {
			m := line.FindStringSubmatch(strings.ReplaceAll(l, "(varies)", "0"))
			if m == nil {
				continue
			}
			var labels []string
			for _, k := range label.FindAllStringSubmatch(m[2], -1) {
				labels = append(labels, k[1])
			}
			rows[m[1]] = fmt.Sprintf("| `%s` | %s | %s | %s |\n", m[1], m[3], m[4], strings.Join(labels, ", "))
		}
	}
	if len(rows) < 200 {
		t.Fatalf("only %d metrics were read", len(rows))
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		b.WriteString(rows[name])
	}

	b.WriteString("\n## Of Sentinel itself\n\nWhat the programs serve at `/metrics`, by the part that counts.\n\n| metric | kind | part |\n|---|---|---|\n")
	registered := regexp.MustCompile(`\.?(Counter|Gauge|Histogram|stat)\("(sentinel_[a-z_]+[a-z])"`)
	own := map[string]string{}
	err = filepath.WalkDir("../../../internal", func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		part := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../../../internal/")
		for _, m := range registered.FindAllStringSubmatch(string(raw), -1) {
			kind := strings.ToLower(m[1])
			if kind == "stat" {
				kind = "gauge"
			}
			if strings.HasSuffix(m[2], "_total") {
				kind = "counter"
			}
			own[m[2]] = fmt.Sprintf("| `%s` | %s | %s |\n", m[2], kind, part)
		}
		return err
	})
	if err != nil || len(own) < 50 {
		t.Fatalf("%d metrics, %v", len(own), err)
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		b.WriteString(own[name])
	}
	current(t, "metrics.md", b.Bytes())
}
