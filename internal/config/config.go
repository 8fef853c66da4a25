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

// Decode reads YAML into out, a pointer to a struct, as strictly as Load reads a
// file, and without the environment. Errors name the text as name does.
func Decode(name string, raw []byte, out any) error {
	l := loader{file: name}
	if err := l.decodeFile(raw, reflect.ValueOf(out).Elem()); err != nil {
		return err
	}
	return l.validate(reflect.ValueOf(out).Elem(), "")
}

type loader struct {
	file string
	env  map[string]string
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
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if seen[key.Value] {
			return l.errorf(key, at, "stands there twice")
		}
		seen[key.Value] = true
		field, ok := fieldByKey(v, key.Value)
		if !ok {
			if path == "" && isSection(key.Value) && sectioned(v.Type()) {
				continue
			}
			return l.errorf(key, at, "unknown key; %s", suggest(key.Value, v.Type(), path == ""))
		}
		if err := l.decode(value, field, at); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) decodeLeaf(n *yaml.Node, v reflect.Value, path string) error {
	if isList(v) {
		return l.decodeList(n, v, path)
	}
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

// decodeList puts a list of structs into v. An empty one is nil.
func (l *loader) decodeList(n *yaml.Node, v reflect.Value, path string) error {
	if n.Kind != yaml.SequenceNode && n.Tag != "!!null" {
		return l.errorf(n, path, "%s", wanted(v, n.Value, nil))
	}
	list := reflect.Zero(v.Type())
	for i, item := range n.Content {
		one := reflect.New(v.Type().Elem()).Elem()
		if err := l.decode(item, one, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
		list = reflect.Append(list, one)
	}
	v.Set(list)
	return nil
}

func (l *loader) applyEnv(v reflect.Value, name, path string) error {
	for _, field := range fieldsOf(v.Type()) {
		key := keyOf(field)
		f, env, at := v.FieldByIndex(field.Index), name+"_"+strings.ToUpper(key), join(path, key)
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
	for _, field := range fieldsOf(v.Type()) {
		if f := v.FieldByIndex(field.Index); f.Kind() == reflect.Struct && !isScalarStruct(f) {
			if err := l.validate(f, join(path, keyOf(field))); err != nil {
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
