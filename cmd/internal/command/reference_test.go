package command_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/app/server"
	"github.com/sentinelgo/sentinel/internal/app/worker"
	"github.com/sentinelgo/sentinel/internal/config/configtest"
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
