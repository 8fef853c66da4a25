package check

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents returns every Markdown file of the project, by path from its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "dist") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".md") {
			raw, err := os.ReadFile(path)
			docs[name] = string(raw)
			return err
		}
		return nil
	})
	must(t, err)
	if len(docs) < 15 {
		t.Fatalf("there are %d documents", len(docs))
	}
	return docs
}

var (
	fence   = regexp.MustCompile("(?ms)^ *```([a-z]*)[^\n]*\n(.*?)^ *```$")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	span    = regexp.MustCompile("`([^`\n]+)`")
)

// slug is how GitHub names a heading in an address.
func slug(text string) string {
	text = strings.ToLower(strings.NewReplacer("`", "", "*", "").Replace(text))
	text = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(text, "")
	return strings.ReplaceAll(text, " ", "-")
}

// Every link within the project leads somewhere.
func TestLinks(t *testing.T) {
	docs := documents(t)
	for name, text := range docs {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(name), file)
			if file == "" {
				target = name
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
				continue
			}
			if anchor == "" {
				continue
			}
			found := false
			for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(docs[target], ""), -1) {
				found = found || slug(h[1]) == anchor
			}
			if !found {
				t.Errorf("%s links to %s, which has no such heading", name, m[1])
			}
		}
	}
}

// program is what a program's own reference says that it takes.
type program struct {
	commands map[string]map[string]bool // flags by command, such as "agent ls"
	groups   map[string]bool            // commands that only hold others
}

func programs(t *testing.T) map[string]program {
	t.Helper()
	all := map[string]program{}
	flag := regexp.MustCompile("(?m)^\\| `(?:(-.), )?(--[a-z-]+)`")
	for _, name := range []string{"sentinel", "sentinel-agent", "sentinel-server", "sentinel-worker", "sentinelctl"} {
		out, err := exec.Command(filepath.Join(bin, name), "reference").Output()
		must(t, err)
		p := program{map[string]map[string]bool{}, map[string]bool{}}
		for _, section := range strings.Split(string(out), "\n## ")[1:] {
			title, body, _ := strings.Cut(section, "\n")
			path := strings.TrimSpace(strings.TrimPrefix(title, name))
			p.commands[path] = map[string]bool{"--help": true, "-h": true, "--version": path == ""}
			for _, m := range flag.FindAllStringSubmatch(body, -1) {
				p.commands[path][m[1]], p.commands[path][m[2]] = true, true
			}
			if i := strings.LastIndex(path, " "); i > 0 {
				p.groups[path[:i]] = true
			}
		}
		all[name] = p
	}
	return all
}

// Every command in the documents is one that the program has, with flags that it takes.
// (docs/quickstart.md and the walk in docs/plugins.md are run besides, word for word.)
func TestCommandsInDocuments(t *testing.T) {
	all := programs(t)
	call := regexp.MustCompile(`(?:^|[\s;&|(])(?:\./bin/|\./)?(sentinel(?:-agent|-server|-worker|ctl)?)((?: +[^\s;&)>#"]+)+)`)
	count := 0
	for name, text := range documents(t) {
		if strings.HasPrefix(name, "docs/reference/") || strings.HasPrefix(name, "docs/adr/") {
			continue
		}
		var snippets []string
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			if m[1] == "sh" {
				snippets = append(snippets, strings.Split(strings.ReplaceAll(m[2], "\\\n", " "), "\n")...)
			}
		}
		for _, m := range span.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.HasPrefix(m[1], "sentinel") {
				snippets = append(snippets, m[1])
			}
		}
		for _, s := range snippets {
			s, _, _ = strings.Cut(s, " #")
			for _, m := range call.FindAllStringSubmatch(s, -1) {
				count++
				for _, why := range all[m[1]].check(strings.Fields(m[2])) {
					t.Errorf("%s: %s: %s", name, strings.TrimSpace(m[0]), why)
				}
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d commands were found", count)
	}
}

// check returns what is wrong with the arguments of a call. a|b stands for either.
func (p program) check(args []string) (wrong []string) {
	paths := []string{""}
	flags := []string{}
	words := true
	for i, a := range args {
		switch {
		case a == "|" || a == "||": // another program follows
			return append(wrong, p.flags(paths, flags)...)
		case a == "-":
		case strings.HasPrefix(a, "-"):
			flag, _, _ := strings.Cut(a, "=")
			flags = append(flags, flag)
		case words && p.isGroup(paths):
			var next []string
			for _, path := range paths {
				for _, word := range strings.Split(a, "|") {
					at := strings.TrimSpace(path + " " + word)
					if _, is := p.commands[at]; !is {
						if path == "" { // a program that runs by itself may have a value here
							words = i > 0 && strings.HasPrefix(args[i-1], "-")
							continue
						}
						wrong = append(wrong, fmt.Sprintf("there is no %q", at))
						continue
					}
					next = append(next, at)
				}
			}
			if len(next) > 0 {
				paths = next
			}
		}
	}
	return append(wrong, p.flags(paths, flags)...)
}

func (p program) isGroup(paths []string) bool {
	for _, path := range paths {
		if path == "" || p.groups[path] {
			return true
		}
	}
	return false
}

func (p program) flags(paths, flags []string) (wrong []string) {
	for _, path := range paths {
		for _, f := range flags {
			known := false
			for at := path; ; at = at[:max(strings.LastIndex(at, " "), 0)] {
				known = known || p.commands[at][f]
				if at == "" {
					break
				}
			}
			if !known {
				wrong = append(wrong, fmt.Sprintf("%q takes no %s", path, f))
			}
		}
	}
	return wrong
}

// Every metric of Sentinel's own that a document names is in the sources.
func TestMetricsInDocuments(t *testing.T) {
	metric := regexp.MustCompile(`\bsentinel_(?:agent|gateway|writer|notify|collector|host|alerter|query)_[a-z_]+[a-z]\b`)
	known := map[string]bool{}
	for _, dir := range []string{"internal", "cmd"} {
		must(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, m := range metric.FindAllString(string(raw), -1) {
				known[m] = true
			}
			return err
		}))
	}
	for name, text := range documents(t) {
		for _, m := range metric.FindAllString(text, -1) {
			base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(m, "_bucket"), "_count"), "_sum")
			if !known[m] && !known[base] {
				t.Errorf("%s names %s, which no source does", name, m)
			}
		}
	}
}
