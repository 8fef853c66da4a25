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

// floors names every package and the floor it stands on, from the ground up. A
// package may import packages of lower floors, and its own parent; nothing beside
// or above it. A folder speaks for the packages below it that are not named.
var floors = map[string]int{
	// The nouns.
	"internal/sentinel": 0, "internal/sentinelpb": 0, "deploy": 0,
	// What plugins are written with, which stands alone, and plugins.
	"sdk/go": 0, "sdk/examples": 1,
	"internal/filelock": 1, "internal/atomicfile": 1, "internal/guard": 1,
	// One outside world each.
	"internal/wal": 2, "internal/sign": 2, "internal/wire": 2, "internal/broker": 2, "internal/postgres": 2,
	"internal/localpg": 2, "internal/devca": 2, "internal/config": 2, "internal/telemetry": 2, "internal/backoff": 2, "internal/control": 2,
	"internal/exposition": 2,
	"internal/service":    2,
	"internal/delivery":   3, // what comes out of the broker, for all who read it
	// What Sentinel does.
	"internal/collector": 4, "internal/uplink": 4, "internal/ingest": 4, "internal/fleet": 4, "internal/query": 4,
	"internal/api": 4, "internal/pipeline": 4, "internal/webui": 4, "internal/notify": 4, "internal/alerting": 4,
	"internal/plugin": 4,
	// The processes.
	"internal/app/process": 5, "internal/app/backend": 5, "internal/app/notifiers": 5,
	"internal/app/alerts": 6,
	"internal/app/agent":  7, "internal/app/server": 7, "internal/app/worker": 7,
	"internal/app/standalone": 8,
	// The programs, and the receiver of webhooks that the walk through the documents starts.
	"cmd/internal": 9,
	"cmd":          10, "scripts/webhook": 10,
}

// owners names the one package that may import each third-party world.
var owners = map[string][]string{
	"github.com/jackc/pgx/":               {"internal/postgres"},
	"github.com/pressly/goose/":           {"internal/postgres"},
	"github.com/nats-io/nats.go":          {"internal/broker"},
	"github.com/nats-io/nats-server/":     {"internal/broker/embedded"},
	"github.com/tidwall/wal":              {"internal/wal"},
	"google.golang.org/grpc":              {"internal/uplink", "internal/ingest", "internal/sentinelpb"},
	"github.com/shirou/gopsutil/":         {"internal/collector"},
	"github.com/danielgtaylor/huma/":      {"internal/api"},
	"gopkg.in/yaml.v3":                    {"internal/config"},
	"github.com/VictoriaMetrics/":         {"internal/telemetry"},
	"github.com/spf13/cobra":              {"cmd"},
	"golang.org/x/time/rate":              {"internal/ingest"},
	"golang.org/x/crypto/":                {"internal/fleet"},
	"golang.org/x/sys/windows/svc":        {"internal/service"},
	"github.com/getkin/kin-openapi":       {}, // tests alone
	"github.com/tetratelabs/wazero":       {"internal/plugin"},
	"github.com/prometheus/prometheus/":   {"internal/query"},
	"github.com/evanw/esbuild":            {"internal/webui"},
	"github.com/prometheus/alertmanager/": {}, // tests compare with it
	"github.com/wneessen/go-mail":         {"internal/notify/email"},
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
			if testSupport(to) && to != p.ImportPath {
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
