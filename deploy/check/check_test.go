// Package check looks at the files with which Sentinel is shipped as those will who
// read them: Docker, Compose, Kubernetes, GitHub, an editor.
package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	kyaml "sigs.k8s.io/yaml"
)

const root = "../.."

var bin string // where the programs are

func TestMain(m *testing.M) {
	var err error
	if bin, err = os.MkdirTemp("", "sentinel-check-"); err != nil {
		panic(err)
	}
	build := exec.Command("make", "--silent", "-C", root, "build", "BIN="+bin)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(bin)
	os.Exit(code)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func compose(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(root, "deploy/docker-compose.yml")}, cli.WithProfiles(profiles), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("docker compose config: %v", err)
	}
	return p
}

func TestCompose(t *testing.T) {
	for profile, want := range map[string][]string{
		"":         {"nats", "secrets", "timescaledb"},
		"sentinel": {"nats", "secrets", "server", "setup", "timescaledb", "tokens", "worker"},
		"agent":    {"agent", "nats", "secrets", "server", "setup", "timescaledb", "tokens", "worker"},
		"grafana":  {"grafana", "nats", "secrets", "server", "setup", "timescaledb", "tokens", "worker"},
	} {
		p := compose(t, profile)
		if got := p.ServiceNames(); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("profile %q starts %v, want %v", profile, got, want)
		}
		for _, s := range p.Services {
			once := s.Restart == "no"
			if _, tag, _ := strings.Cut(s.Image, ":"); tag == "" || tag == "latest" {
				t.Errorf("%s: image %s is not pinned", s.Name, s.Image)
			}
			for _, port := range s.Ports {
				if port.HostIP != "127.0.0.1" {
					t.Errorf("%s: port %s is published on %q, want the loopback alone", s.Name, port.Published, port.HostIP)
				}
			}
			if s.HealthCheck == nil && s.Build == nil && !once {
				t.Errorf("%s: nobody looks whether it is well", s.Name)
			}
			if s.Build != nil {
				if target := s.Build.Target; !strings.Contains(string(read(t, "deploy/docker/Dockerfile")), " AS "+target+"\n") {
					t.Errorf("%s: the Dockerfile has no target %s", s.Name, target)
				}
				if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) {
					t.Errorf("%s: may write to its root, or has capabilities", s.Name)
				}
				knownToProgram(t, s)
			}
			for _, v := range s.Volumes {
				if v.Type == types.VolumeTypeVolume && p.Volumes[v.Source].Name == "" {
					t.Errorf("%s: volume %q has no name", s.Name, v.Source)
				}
				if v.Type == types.VolumeTypeBind && !v.ReadOnly {
					t.Errorf("%s: %s may be written to", s.Name, v.Source)
				}
			}
		}
	}
}

// knownToProgram asks the image's program which of the service's variables it reads:
// a misspelt one would be passed over in silence.
func knownToProgram(t *testing.T, s types.ServiceConfig) {
	t.Helper()
	program := "sentinel-" + s.Build.Target
	cmd := exec.Command(filepath.Join(bin, program), "config", "show", "-o", "json")
	for k, v := range s.Environment {
		cmd.Env = append(cmd.Env, k+"="+*v)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %s does not take its environment: %v\n%s", s.Name, program, err, out)
		return
	}
	for k := range s.Environment {
		// One environment serves server and worker.
		if strings.HasPrefix(k, "SENTINEL_SERVER_") && s.Build.Target == "worker" {
			continue
		}
		if !bytes.Contains(out, []byte(`"environment `+k+`"`)) {
			t.Errorf("%s: %s does not know %s", s.Name, program, k)
		}
	}
}

// No secret stands in a file that is shipped: what is called so is a file's name, or
// made when it is needed.
func TestNoSecretInTheFiles(t *testing.T) {
	literal := regexp.MustCompile(`(?i)(password|secret|token|key)\w*["']?\s*[:=]\s*["']?[A-Za-z0-9+_-][A-Za-z0-9+/_-]{7,}["']?\s*$`) // a path begins with /
	for _, pattern := range []string{"deploy/*.yml", "deploy/*/*.y*ml", ".github/workflows/*.yml", "deploy/docker/*"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(raw), "\n") {
				if literal.MatchString(line) && !strings.Contains(line, "topologyKey") {
					t.Errorf("%s:%d: %s", file, i+1, line)
				}
			}
		}
	}
}

// dockerfile returns the stages of the Dockerfile, and says what BuildKit warns of.
func dockerfile(t *testing.T, warn func(string)) []instructions.Stage {
	t.Helper()
	ast, err := parser.Parse(bytes.NewReader(read(t, "deploy/docker/Dockerfile")))
	must(t, err)
	for _, w := range ast.Warnings {
		warn(w.Short)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, description, url, text string, location []parser.Range) {
		warn(fmt.Sprintf("Dockerfile:%v: %s: %s", location, rule, text))
	}})
	stages, _, err := instructions.Parse(ast.AST, lint)
	must(t, err)
	return stages
}

func TestDockerfile(t *testing.T) {
	stages := dockerfile(t, func(warning string) { t.Error(warning) })
	users := map[string]string{}
	for _, stage := range stages {
		user := users[stage.BaseName]
		health, entry := false, false
		for _, c := range stage.Commands {
			switch c := c.(type) {
			case *instructions.UserCommand:
				user = c.User
			case *instructions.HealthCheckCommand:
				health = true
				// What is asked for is a command that the program has.
				args := c.Health.Test[1:]
				if out, err := exec.Command(filepath.Join(bin, filepath.Base(args[0])), append(args[1:], "--help")...).CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %v\n%s", stage.Name, args, err, out)
				}
			case *instructions.EntrypointCommand:
				entry = !c.PrependShell
			}
		}
		users[stage.Name] = user
		if slices.Contains([]string{"server", "worker", "agent"}, stage.Name) && (user != "65532:65532" || !health || !entry || stage.BaseName != "base") {
			t.Errorf("%s: user %q, health check %v, entry point without a shell %v, from %s", stage.Name, user, health, entry, stage.BaseName)
		}
	}
}

func TestKubernetes(t *testing.T) {
	kinds := map[string]func() any{
		"ConfigMap": func() any { return &corev1.ConfigMap{} }, "Service": func() any { return &corev1.Service{} },
		"Deployment": func() any { return &appsv1.Deployment{} }, "DaemonSet": func() any { return &appsv1.DaemonSet{} },
		"PodDisruptionBudget": func() any { return &policyv1.PodDisruptionBudget{} }, "NetworkPolicy": func() any { return &networkingv1.NetworkPolicy{} },
	}
	var kustomization struct{ Resources []string }
	if err := yaml.Unmarshal(read(t, "deploy/kubernetes/kustomization.yaml"), &kustomization); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, file := range kustomization.Resources {
		dec := yaml.NewDecoder(bytes.NewReader(read(t, "deploy/kubernetes/"+file)))
		for {
			var doc map[string]any
			if err := dec.Decode(&doc); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			kind := fmt.Sprint(doc["kind"])
			seen[kind]++
			if kinds[kind] == nil {
				t.Errorf("%s: %s is not known here", file, kind)
				continue
			}
			raw, err := yaml.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			object := kinds[kind]()
			if err := kyaml.UnmarshalStrict(raw, object); err != nil {
				t.Errorf("%s: %s: %v", file, kind, err)
			}
			switch o := object.(type) {
			case *appsv1.Deployment:
				podIsSafe(t, o.Name, o.Spec.Template.Spec, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
			case *appsv1.DaemonSet:
				podIsSafe(t, o.Name, o.Spec.Template.Spec, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
			case *corev1.ConfigMap:
				for name, text := range o.Data {
					path := filepath.Join(t.TempDir(), name)
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					program := "sentinel-" + strings.TrimSuffix(name, ".yml")
					if out, err := exec.Command(filepath.Join(bin, program), "--config", path, "--check").CombinedOutput(); err != nil {
						t.Errorf("%s does not take %s: %s", program, name, out)
					}
				}
			}
		}
	}
	if seen["Deployment"] != 2 || seen["DaemonSet"] != 1 || seen["PodDisruptionBudget"] != 2 || seen["NetworkPolicy"] != 2 {
		t.Errorf("there are %v", seen)
	}
}

func podIsSafe(t *testing.T, name string, pod corev1.PodSpec, selector, labels map[string]string) {
	t.Helper()
	for k, v := range selector {
		if labels[k] != v {
			t.Errorf("%s: its selector does not find its own pods", name)
		}
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Errorf("%s: has a token for the cluster that it has no use for", name)
	}
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
			t.Errorf("%s/%s: has more rights than it needs", name, c.Name)
		}
		if c.LivenessProbe == nil || c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s/%s: lacks a probe or limits", name, c.Name)
		}
		ports := map[string]bool{}
		for _, p := range c.Ports {
			ports[p.Name] = true
		}
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
			if p != nil && p.HTTPGet != nil && !ports[p.HTTPGet.Port.StrVal] {
				t.Errorf("%s/%s: a probe asks port %s, which it has not", name, c.Name, p.HTTPGet.Port.StrVal)
			}
		}
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s/%s: there is no volume %s", name, c.Name, m.Name)
			}
		}
	}
}

func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	// By itself, since it needs other versions of what the readers above need.
	lint := exec.Command("go", append([]string{"run", "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12", "-shellcheck=", "-pyflakes="}, files...)...)
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
	pinned := regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	uses := regexp.MustCompile(`(?m)^\s*-?\s*uses:\s*(\S+)`)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range uses.FindAllStringSubmatch(string(raw), -1) {
			if !pinned.MatchString(m[1]) {
				t.Errorf("%s: %s is not pinned", file, m[1])
			}
		}
		if !regexp.MustCompile(`(?m)^permissions:\n  contents: read$`).Match(raw) {
			t.Errorf("%s: does not begin with the least permissions", file)
		}
	}
}

func schema(t *testing.T, path string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(path, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(path)
	if err != nil {
		t.Fatalf("%s is no JSON schema: %v", path, err)
	}
	return s
}

// Editors that know the schemas take what the programs take, and mark what they refuse.
func TestSchemas(t *testing.T) {
	for name, files := range map[string]struct{ good, bad []string }{
		"sentinel": {
			[]string{"config.example.yml", "deploy/agent.yml", "deploy/packages/server.yml", "deploy/packages/worker.yml"},
			[]string{"agent: {bufer_limit: 1h}", "agent: {buffer_limit: 1}", "agent: {buffer_limit: soon}", "agnet: {}", "server: {listen: 1}", "agent: {collect: {scrape: [{nam: x}]}}"},
		},
		"notifications": {
			[]string{"docs/notifications.md"},
			[]string{"route: {reciever: x}", "route: {routes: [{routes: [{group_wait: 3}]}]}", "receivers: [{name: x, slak: []}]"},
		},
		"rules":           {[]string{"internal/alerting/pack/rules.yml", "docs/alerting.md"}, []string{"groups: [{name: x, rules: [{alrt: y}]}]", "groups: [{name: x, rules: [{alert: y, for: 3}]}]"}},
		"plugin-manifest": {[]string{"sdk/examples/nginx/manifest.yml", "sdk/examples/temperature/manifest.yml"}, []string{"nam: x", "abi: one"}},
		"agent-config":    {nil, []string{"interval: 3", "intervals: []"}},
	} {
		s := schema(t, "docs/reference/"+name+".schema.json")
		valid := func(text string) error {
			var doc any
			if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			return s.Validate(value)
		}
		for _, file := range files.good {
			texts := []string{string(read(t, file))}
			if strings.HasSuffix(file, ".md") { // its first example
				texts = []string{regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(texts[0])[1]}
			}
			for _, text := range texts {
				if err := valid(text); err != nil {
					t.Errorf("%s by %s: %v", file, name, err)
				}
			}
		}
		for _, text := range files.bad {
			if valid(text) == nil {
				t.Errorf("%s is taken by %s", text, name)
			}
		}
	}
}
