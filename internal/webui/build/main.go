// Command build bundles the web interface's sources in internal/webui/ui into the
// files of internal/webui/dist, which the Go package embeds. The same sources and
// packages give the same bytes. Run it by `make ui`.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	if err := run("internal/webui/ui", "internal/webui/dist"); err != nil {
		fmt.Fprintln(os.Stderr, "build the web interface:", err)
		os.Exit(1)
	}
}

// run bundles the sources in ui and leaves exactly what it made in dist.
func run(ui, dist string) error {
	ui, err := filepath.Abs(ui)
	if err != nil {
		return fmt.Errorf("find the sources: %w", err)
	}
	out := make(map[string][]byte)
	licences := make(map[string][]byte)
	for _, b := range []api.BuildOptions{
		{EntryPoints: []string{"src/app.tsx"}, Format: api.FormatESModule, Splitting: true, ChunkNames: "[name]"},
		{EntryPoints: []string{"src/app.css"}},
		{EntryPoints: []string{"src/boot.ts"}, Format: api.FormatIIFE}, // runs before the page is drawn
	} {
		if err := bundle(ui, b, out, licences); err != nil {
			return err
		}
	}
	if out["assets/icon.svg"], err = os.ReadFile(filepath.Join(ui, "src", "icon.svg")); err != nil {
		return fmt.Errorf("read the icon: %w", err)
	}
	if out["index.html"], err = os.ReadFile(filepath.Join(ui, "index.html")); err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	version(out)
	out["licenses.txt"] = joined(licences)
	return write(dist, out)
}

// bundle adds what one entry point gives to out, and the licences of the packages
// in it to licences.
func bundle(ui string, o api.BuildOptions, out, licences map[string][]byte) error {
	o.AbsWorkingDir, o.Outdir, o.Outbase = ui, filepath.Join(ui, "assets"), filepath.Join(ui, "src")
	o.Bundle, o.Metafile, o.Target = true, true, api.ES2022
	o.MinifyIdentifiers, o.MinifySyntax, o.MinifyWhitespace = true, true, true
	o.JSX, o.JSXImportSource = api.JSXAutomatic, "preact"
	o.External = []string{"/assets/*"}
	o.LegalComments, o.LogLevel = api.LegalCommentsNone, api.LogLevelWarning // licenses.txt has them
	result := api.Build(o)
	if len(result.Errors) > 0 {
		return errors.New("the sources have errors")
	}
	for _, f := range result.OutputFiles {
		rel, err := filepath.Rel(ui, f.Path)
		if err != nil {
			return fmt.Errorf("name %s: %w", f.Path, err)
		}
		out[filepath.ToSlash(rel)] = f.Contents
	}
	var meta struct {
		Inputs map[string]struct{} `json:"inputs"`
	}
	if err := json.Unmarshal([]byte(result.Metafile), &meta); err != nil {
		return fmt.Errorf("read what was bundled: %w", err)
	}
	for input := range meta.Inputs {
		name := packageOf(input)
		if name == "" || licences[name] != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(ui, "node_modules", filepath.FromSlash(name), "LICENSE"))
		if err != nil {
			return fmt.Errorf("read the licence of %s: %w", name, err)
		}
		licences[name] = text
	}
	return nil
}

// packageOf returns the package that an input belongs to, or "" for our own.
func packageOf(input string) string {
	rest, ok := strings.CutPrefix(input, "node_modules/")
	if !ok {
		return ""
	}
	parts := strings.SplitN(rest, "/", 3)
	if strings.HasPrefix(rest, "@") {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// modules in the order that each comes after those that it loads. The bundler splits
// what the first view does not need (more.js) from what it does (app.js), and what
// both need from both (chunk.js): two of one name would be an error.
var modules = [...]string{"chunk.js", "more.js", "app.js"}

// version adds to each address of an asset a digest of its content, so that browsers
// may keep it for ever: first in the modules, then in the page. One module has one
// address wherever it is named, else it would run twice.
func version(out map[string][]byte) {
	for i, name := range modules {
		for _, other := range modules[i+1:] {
			content := out["assets/"+other]
			out["assets/"+other] = bytes.ReplaceAll(content, []byte(`"./`+name+`"`), []byte(`"./`+addressed(name, out)+`"`))
		}
	}
	for name := range out {
		out["index.html"] = bytes.ReplaceAll(out["index.html"], []byte(`"/`+name+`"`), []byte(`"/assets/`+addressed(strings.TrimPrefix(name, "assets/"), out)+`"`))
	}
}

// addressed returns the address of an asset beside its fellows.
func addressed(name string, out map[string][]byte) string {
	sum := sha256.Sum256(out["assets/"+name])
	return name + "?v=" + hex.EncodeToString(sum[:6])
}

func joined(licences map[string][]byte) []byte {
	names := make([]string, 0, len(licences))
	for name := range licences {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	b.WriteString("Sentinel's web interface contains these packages.\n")
	for _, name := range names {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", name, strings.Repeat("-", len(name)), bytes.TrimSpace(licences[name]))
	}
	return b.Bytes()
}

// write replaces the content of dist.
func write(dist string, out map[string][]byte) error {
	if err := os.RemoveAll(dist); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear what was built: %w", err)
	}
	for name, content := range out {
		path := filepath.Join(dist, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write what was built: %w", err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fmt.Errorf("write what was built: %w", err)
		}
	}
	return nil
}
