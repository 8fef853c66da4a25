// Package internal holds no code of its own; its test keeps the floors apart.
package internal

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/sentinelgo/sentinel"

// floors names every package and the floor it stands on. A package may import
// packages of lower floors, and its own parent; nothing beside or above it.
var floors = map[string]int{
	"internal/sentinel": 0, "internal/sentinelpb": 0, "internal/filelock": 1,

	"internal/wal": 2, "internal/sign": 1, "internal/wire": 1, "internal/broker": 1, "internal/postgres": 1,
	"internal/localpg": 2, "internal/devca": 1, "internal/config": 1, "internal/telemetry": 1, "internal/backoff": 1,

	"internal/collector": 2, "internal/uplink": 2, "internal/ingest": 2, "internal/fleet": 2, "internal/query": 2,
	"internal/api": 2, "internal/webui": 2, "internal/pipeline": 2,

	"internal/app/process": 3, "internal/app/backend": 3,
	"internal/app/agent": 4, "internal/app/server": 4, "internal/app/worker": 4,
	"internal/app/standalone": 5,

	"cmd/internal": 6,
	"cmd":          7,
}

// owners names the one package that may import each third-party world.
var owners = map[string][]string{
	"github.com/jackc/pgx/":             {"internal/postgres"},
	"github.com/pressly/goose/":         {"internal/postgres"},
	"github.com/nats-io/nats.go":        {"internal/broker"},
	"github.com/nats-io/nats-server/":   {"internal/broker/embedded"},
	"github.com/tidwall/wal":            {"internal/wal"},
	"google.golang.org/grpc":            {"internal/uplink", "internal/ingest", "internal/sentinelpb"},
	"github.com/shirou/gopsutil/":       {"internal/collector"},
	"github.com/danielgtaylor/huma/":    {"internal/api"},
	"gopkg.in/yaml.v3":                  {"internal/config"},
	"github.com/VictoriaMetrics/":       {"internal/telemetry"},
	"github.com/spf13/cobra":            {"cmd"},
	"golang.org/x/time/rate":            {"internal/ingest"},
	"github.com/tetratelabs/wazero":     {"internal/plugin"},
	"github.com/prometheus/prometheus/": {"internal/query"},
	"github.com/evanw/esbuild":          {"internal/webui"},
}

type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module+"/")
		list = append(list, p)
	}
}

// floorOf returns the floor of a package by its longest known prefix.
func floorOf(path string) (floor int, house string, ok bool) {
	for house = path; ; {
		if f, ok := floors[house]; ok {
			return f, house, true
		}
		i := strings.LastIndexByte(house, '/')
		if i < 0 {
			return 0, "", false
		}
		house = house[:i]
	}
}

func testSupport(path string) bool { return strings.HasSuffix(path, "test") }

func TestImportsRunDownward(t *testing.T) {
	for _, p := range packages(t) {
		from, _, ok := floorOf(p.ImportPath)
		if !ok {
			if p.ImportPath != "internal" && p.ImportPath != module && !testSupport(p.ImportPath) {
				t.Errorf("%s has no floor: add it to the list in this test", p.ImportPath)
			}
			continue
		}
		for _, imp := range p.Imports {
			to, inside := strings.CutPrefix(imp, module+"/")
			if !inside || testSupport(p.ImportPath) {
				continue
			}
			if testSupport(to) {
				t.Errorf("%s imports the test support %s", p.ImportPath, to)
			}
			floor, _, _ := floorOf(to)
			parent := strings.HasPrefix(p.ImportPath, to+"/")
			if floor >= from && !parent {
				t.Errorf("%s (floor %d) imports %s (floor %d)", p.ImportPath, from, to, floor)
			}
		}
	}
}

func TestEveryLibraryHasOneOwner(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			for world, who := range owners {
				if strings.HasPrefix(imp, world) && !owned(p.ImportPath, who) {
					t.Errorf("%s imports %s, which belongs to %s", p.ImportPath, imp, strings.Join(who, " and "))
				}
			}
		}
	}
}

func owned(path string, owners []string) bool {
	for _, o := range owners {
		if path == o || strings.HasPrefix(path, o+"/") {
			return true
		}
	}
	return false
}

// TestAgentIsLight keeps what only servers need out of the agent, as it is built
// for release: without gRPC's own tracing pages, which bring html/template.
func TestAgentIsLight(t *testing.T) {
	out, err := exec.Command("go", "list", "-tags", "grpcnotrace", "-deps", module+"/cmd/sentinel-agent").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		for _, heavy := range []string{"github.com/jackc/pgx/", "github.com/nats-io/", "html/template", "github.com/prometheus/", "github.com/danielgtaylor/huma"} {
			if strings.HasPrefix(dep, heavy) {
				t.Errorf("the agent depends on %s", dep)
			}
		}
	}
}
