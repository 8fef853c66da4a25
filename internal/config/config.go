// Package config reads one YAML file and the environment into the configuration
// structs that each part keeps beside its code. It owns the YAML library.
//
// Keys are those of the structs' yaml tags. The file is strict: an unknown key, a
// key that stands there twice or a value of the wrong form is an error that names
// file, line and key and says what to write. Every key can be set from the
// environment as well, SENTINEL_ and the path in upper case joined by '_':
// agent.wal.max_bytes is SENTINEL_AGENT_WAL_MAX_BYTES. The environment wins.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Sections are the top-level keys of a configuration file. One file may serve
// every process: each reads its own sections and passes over the others.
func Sections() []string {
	return []string{"agent", "server", "worker", "broker", "database", "security", "log"}
}

// Validator is a configuration struct that can judge its values. The error names
// the key, relative to the struct, and what is allowed.
type Validator interface{ Validate() error }

// Defaulter is the element of a list or map that has defaults: it gets them before
// its own keys are read.
type Defaulter interface{ SetDefaults() }

// Load reads the file at path and then the environment into out, a pointer to a
// struct that holds the defaults. Where its keys are all Sections the other sections
// are passed over, else they are unknown keys. An empty path means environment and defaults
// alone. Every struct in out that is a Validator is asked at the end. All errors
// are Invalid or NotFound and are fit to be shown as they are.
func Load(path string, environ []string, out any) error {
	return newLoader(path, environ).load(out)
}

func newLoader(path string, environ []string) *loader {
	l := &loader{file: path, env: map[string]string{}, lines: map[string]int{}}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "SENTINEL_") {
			l.env[k] = v
		}
	}
	return l
}

func (l *loader) load(out any) error {
	if l.file != "" {
		raw, err := os.ReadFile(l.file)
		if errors.Is(err, fs.ErrNotExist) {
			return sentinel.Errorf(sentinel.NotFound, "configuration file %s does not exist; config.example.yml shows every key", l.file)
		}
		if err != nil {
			return sentinel.Errorf(sentinel.Invalid, "read configuration: %w", err)
		}
		if err := l.decodeFile(raw, reflect.ValueOf(out).Elem()); err != nil {
			return err
		}
	}
	if err := l.applyEnv(reflect.ValueOf(out).Elem(), "SENTINEL", ""); err != nil {
		return err
	}
	return l.validate(reflect.ValueOf(out).Elem(), "")
}

// Decode reads one YAML document that is no configuration file, such as a text that
// came over REST, into out, a pointer to a struct: as strictly as Load, and without
// sections and environment. Every struct in out that is a Validator is asked at the
// end. Errors are Invalid and name the text as name does.
func Decode(name string, raw []byte, out any) error {
	l := loader{file: name, plain: true, lines: map[string]int{}}
	if err := l.decodeFile(raw, reflect.ValueOf(out).Elem()); err != nil {
		return err
	}
	return l.validate(reflect.ValueOf(out).Elem(), "")
}

// Parse is Decode without asking Validators, for who judges what was read later.
func Parse(name string, raw []byte, out any) error {
	l := loader{file: name, plain: true, lines: map[string]int{}}
	return l.decodeFile(raw, reflect.ValueOf(out).Elem())
}

// Lines tells at which line of its file each key of a mapping stands; "" is the
// mapping itself. A struct with a field of this type has it filled, so that what
// judges the values later can name the line.
type Lines map[string]int

// Of returns the line of a key, or the mapping's where the key is not there.
func (l Lines) Of(key string) int {
	if n, ok := l[key]; ok {
		return n
	}
	return l[""]
}

type loader struct {
	file  string
	env   map[string]string
	plain bool           // one document for itself, without sections
	lines map[string]int // where each key stands, by its path
}

func (l *loader) decodeFile(raw []byte, out reflect.Value) error {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // an empty file: all defaults
	case err != nil:
		return sentinel.Errorf(sentinel.Invalid, "%s: %s", l.file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if !errors.Is(dec.Decode(new(yaml.Node)), io.EOF) {
		return sentinel.Errorf(sentinel.Invalid, "%s: holds more than one YAML document", l.file)
	}
	return l.decode(doc.Content[0], out, "")
}

// decode puts a node into v, a settable value at the given path.
func (l *loader) decode(n *yaml.Node, v reflect.Value, path string) error {
	l.lines[path] = n.Line
	switch {
	case isScalarStruct(v):
		return l.decodeLeaf(n, v, path)
	case v.Kind() == reflect.Pointer:
		fresh := newElement(v.Type().Elem())
		if err := l.decode(n, fresh, path); err != nil {
			return err
		}
		v.Set(fresh.Addr())
		return nil
	case v.Kind() == reflect.Slice && structured(v.Type().Elem()):
		return l.decodeList(n, v, path)
	case v.Kind() == reflect.Map && (structured(v.Type().Elem()) || v.Type().Elem() == durationType):
		return l.decodeMap(n, v, path)
	case v.Kind() != reflect.Struct:
		return l.decodeLeaf(n, v, path)
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil // "agent:" with nothing below it
	}
	if n.Kind != yaml.MappingNode {
		return l.errorf(n, path, "want keys below it, such as %q", firstKey(v.Type()))
	}
	seen := map[string]bool{}
	lines := linesOf(v)
	if lines != nil {
		lines[""] = n.Line
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if seen[key.Value] {
			return l.errorf(key, at, "stands there twice")
		}
		seen[key.Value] = true
		if lines != nil {
			lines[key.Value] = key.Line
		}
		field, ok := fieldByKey(v, key.Value)
		if !ok {
			if path == "" && !l.plain && isSection(key.Value) && sectioned(v.Type()) {
				continue
			}
			return l.errorf(key, at, "unknown key; %s", suggest(key.Value, v.Type(), path == "" && !l.plain))
		}
		if err := l.decode(value, field, at); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) decodeLeaf(n *yaml.Node, v reflect.Value, path string) error {
	if v.Type() == durationType {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		d, err := sentinel.ParseDuration(n.Value)
		if err != nil || n.Tag != "!!str" { // 0 is a number
			return l.errorf(n, path, "%s", wanted(v, n.Value, nil))
		}
		v.SetInt(int64(d))
		return nil
	}
	fresh := reflect.New(v.Type())
	if err := n.Decode(fresh.Interface()); err != nil {
		return l.errorf(n, path, "%s", wanted(v, n.Value, err))
	}
	v.Set(fresh.Elem())
	return nil
}

// decodeList puts a list of structs into v. An empty one is nil.
func (l *loader) decodeList(n *yaml.Node, v reflect.Value, path string) error {
	if n.Kind != yaml.SequenceNode && n.Tag != "!!null" {
		return l.errorf(n, path, "%s", wanted(v, n.Value, nil))
	}
	list := reflect.Zero(v.Type())
	for i, item := range n.Content {
		one := newElement(v.Type().Elem())
		if err := l.decode(item, one, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
		list = reflect.Append(list, one)
	}
	v.Set(list)
	return nil
}

// decodeMap puts a map of names to structs, or to durations, into v.
func (l *loader) decodeMap(n *yaml.Node, v reflect.Value, path string) error {
	if n.Tag == "!!null" {
		return nil
	}
	switch {
	case n.Kind == yaml.MappingNode:
	case structured(v.Type().Elem()):
		return l.errorf(n, path, "want a map of names to keys such as %q", firstKey(v.Type().Elem()))
	default:
		return l.errorf(n, path, "%s", wanted(v, n.Value, nil))
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, at := reflect.ValueOf(n.Content[i].Value), join(path, n.Content[i].Value)
		if v.MapIndex(key).IsValid() {
			return l.errorf(n.Content[i], at, "stands there twice")
		}
		one := newElement(v.Type().Elem())
		if err := l.decode(n.Content[i+1], one, at); err != nil {
			return err
		}
		v.SetMapIndex(key, one)
	}
	return nil
}

// newElement returns a settable value of a type with its defaults.
func newElement(t reflect.Type) reflect.Value {
	p := reflect.New(t)
	if d, ok := p.Interface().(Defaulter); ok {
		d.SetDefaults()
	}
	return p.Elem()
}

func (l *loader) applyEnv(v reflect.Value, name, path string) error {
	for _, field := range fieldsOf(v.Type()) {
		key := keyOf(field)
		f, env, at := v.FieldByIndex(field.Index), envName(name, key), join(path, key)
		if f.Kind() == reflect.Struct && !isScalarStruct(f) {
			if err := l.applyEnv(f, env, at); err != nil {
				return err
			}
			continue
		}
		text, ok := l.env[env]
		if !ok {
			continue
		}
		if f.Kind() == reflect.String {
			f.SetString(text)
			continue
		}
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 {
			return sentinel.Errorf(sentinel.Invalid, "environment %s (%s): %s", env, at, wanted(f, text, nil))
		}
		el := loader{file: "environment " + env, lines: map[string]int{}}
		if err := el.decode(doc.Content[0], f, at); err != nil {
			return err
		}
	}
	return nil
}

// validate asks every Validator below v, the innermost first.
func (l *loader) validate(v reflect.Value, path string) error {
	switch {
	case isScalarStruct(v):
		return nil
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return l.validate(v.Elem(), path)
	case v.Kind() == reflect.Slice && structured(v.Type().Elem()):
		for i := range v.Len() {
			if err := l.validate(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		return nil
	case v.Kind() == reflect.Map && structured(v.Type().Elem()):
		for _, key := range sortedKeys(v) {
			one := reflect.New(v.Type().Elem()).Elem() // an element of a map cannot be asked in place
			one.Set(v.MapIndex(key))
			if err := l.validate(one, join(path, key.String())); err != nil {
				return err
			}
		}
		return nil
	case v.Kind() != reflect.Struct:
		return nil
	}
	for i := range v.NumField() {
		field, at := v.Type().Field(i), path
		if key := keyOf(field); key != "" {
			at = join(path, key)
		} else if !field.Anonymous || !field.IsExported() {
			continue
		}
		if err := l.validate(v.Field(i), at); err != nil {
			return err
		}
	}
	if val, ok := v.Addr().Interface().(Validator); ok {
		if err := val.Validate(); err != nil {
			where, text := l.file, join(path, err.Error())
			if where == "" {
				where = "configuration"
			}
			if line := l.lineOf(text); line > 0 {
				where = fmt.Sprintf("%s:%d", where, line)
			}
			return sentinel.Errorf(sentinel.Invalid, "%s: %s", where, text)
		}
	}
	return nil
}

// lineOf returns the line of the key that an error's text begins with, or of the
// nearest one above it that stands in the file, or 0.
func (l *loader) lineOf(text string) int {
	path, _, _ := strings.Cut(text, ": ")
	for path != "" {
		if line, ok := l.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

func (l *loader) errorf(n *yaml.Node, path, format string, args ...any) error {
	if strings.HasPrefix(l.file, "environment ") {
		return sentinel.Errorf(sentinel.Invalid, "%s (%s): %s", l.file, path, fmt.Sprintf(format, args...))
	}
	return sentinel.Errorf(sentinel.Invalid, "%s:%d: %s: %s", l.file, n.Line, path, fmt.Sprintf(format, args...))
}
