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
	"time"

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

// Load reads the file at path and then the environment into out, a pointer to a
// struct that holds the defaults. Where its keys are all Sections the other sections
// are passed over, else they are unknown keys. An empty path means environment and defaults
// alone. Every struct in out that is a Validator is asked at the end. All errors
// are Invalid or NotFound and are fit to be shown as they are.
func Load(path string, environ []string, out any) error {
	l := loader{file: path, env: map[string]string{}}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "SENTINEL_") {
			l.env[k] = v
		}
	}
	if path != "" {
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return sentinel.Errorf(sentinel.NotFound, "configuration file %s does not exist; config.example.yml shows every key", path)
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

// Parse reads one YAML document that is no configuration file, such as alerting
// rules, into out, a pointer to a struct. It is as strict as Load, in the structs of
// lists as well, and knows neither sections nor the environment nor Validators.
// name is the file's, for errors. Errors are Invalid.
func Parse(name string, raw []byte, out any) error {
	l := loader{file: name, plain: true}
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

// Dump writes the configuration as YAML, the form that Load reads.
func Dump(w io.Writer, cfg any) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(cfg); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return enc.Close()
}

type loader struct {
	file  string
	env   map[string]string
	plain bool // one document for itself, without sections
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
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && n.Kind == yaml.SequenceNode && !isScalarStruct(reflect.New(v.Type().Elem()).Elem()) {
		return l.decodeList(n, v, path)
	}
	if v.Kind() != reflect.Struct || isScalarStruct(v) {
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

// decodeList puts a list of mappings into v, a slice of structs.
func (l *loader) decodeList(n *yaml.Node, v reflect.Value, path string) error {
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		if err := l.decode(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

func (l *loader) decodeLeaf(n *yaml.Node, v reflect.Value, path string) error {
	fresh := reflect.New(v.Type())
	if err := n.Decode(fresh.Interface()); err != nil {
		return l.errorf(n, path, "%s", wanted(v, n.Value, err))
	}
	if v.Type() == reflect.TypeFor[time.Duration]() && n.Tag != "!!str" {
		return l.errorf(n, path, "%s", wanted(v, n.Value, nil)) // yaml takes 10 for 10 ns
	}
	v.Set(fresh.Elem())
	return nil
}

func (l *loader) applyEnv(v reflect.Value, name, path string) error {
	t := v.Type()
	for i := range t.NumField() {
		key := keyOf(t.Field(i))
		if key == "" {
			continue
		}
		f, env, at := v.Field(i), name+"_"+strings.ToUpper(key), join(path, key)
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
		el := loader{file: "environment " + env}
		if err := el.decodeLeaf(doc.Content[0], f, at); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) validate(v reflect.Value, path string) error {
	for i := range v.NumField() {
		if key := keyOf(v.Type().Field(i)); key != "" && v.Field(i).Kind() == reflect.Struct && !isScalarStruct(v.Field(i)) {
			if err := l.validate(v.Field(i), join(path, key)); err != nil {
				return err
			}
		}
	}
	if val, ok := v.Addr().Interface().(Validator); ok {
		if err := val.Validate(); err != nil {
			where := l.file
			if where == "" {
				where = "configuration"
			}
			return sentinel.Errorf(sentinel.Invalid, "%s: %s", where, join(path, err.Error()))
		}
	}
	return nil
}

func (l *loader) errorf(n *yaml.Node, path, format string, args ...any) error {
	if strings.HasPrefix(l.file, "environment ") {
		return sentinel.Errorf(sentinel.Invalid, "%s (%s): %s", l.file, path, fmt.Sprintf(format, args...))
	}
	return sentinel.Errorf(sentinel.Invalid, "%s:%d: %s: %s", l.file, n.Line, path, fmt.Sprintf(format, args...))
}
