// Package configtest describes configuration files for editors and for people: a JSON
// schema and a table, from the structs that read them and an example that explains
// them.
package configtest

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Key is one key of a file.
type Key struct {
	Path    string // such as agent.wal.max_bytes; [] stands for the items of a list, * for any name
	Type    string // in words
	Default string // as a file would say it; empty for items of lists and maps
	About   string // what the example says of it
}

// File is a kind of configuration file.
type File struct {
	Title string
	// Values are the structs, with their defaults, that read it, each its part.
	Values []any
	// Example explains keys in comments. It may be empty.
	Example []byte
}

// Schema returns the file's JSON schema (draft 2020-12), for encoding/json.
func (f File) Schema() (map[string]any, error) {
	about, err := comments(f.Example)
	if err != nil {
		return nil, err
	}
	root := map[string]any{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f.Title, "type": "object", "additionalProperties": false}
	props := map[string]any{}
	for _, v := range f.Values {
		d := describer{about: about, places: map[reflect.Type]string{}}
		part := d.schema(reflect.ValueOf(v), "", "#")
		for k, p := range part["properties"].(map[string]any) { //nolint:errcheck // a struct's schema has them
			props[k] = p
		}
	}
	root["properties"] = props
	return root, nil
}

// Keys returns every key of the file, in the order of the structs.
func (f File) Keys() ([]Key, error) {
	about, err := comments(f.Example)
	if err != nil {
		return nil, err
	}
	var list []Key
	seen := map[string]bool{}
	for _, v := range f.Values {
		for _, k := range keys(reflect.ValueOf(v), "", about) {
			if !seen[k.Path] {
				seen[k.Path] = true
				list = append(list, k)
			}
		}
	}
	return list, nil
}

var durationType = reflect.TypeFor[time.Duration]()

// text reports whether a type reads itself from one word.
func text(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// fields returns the fields of a struct that have keys, those of embedded ones too.
func fields(t reflect.Type) []reflect.StructField {
	var list []reflect.StructField
	for _, f := range reflect.VisibleFields(t) {
		if key(f) != "" {
			list = append(list, f)
		}
	}
	return list
}

func key(f reflect.StructField) string {
	k, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if k == "-" || !f.IsExported() {
		return ""
	}
	return k
}

// describer makes schemas. places are the structs that it is in, so that one which holds
// itself, such as a route, is referred to.
type describer struct {
	about  map[string]string
	places map[reflect.Type]string
}

func (d describer) schema(v reflect.Value, path, at string) map[string]any {
	s := map[string]any{}
	if a := d.about[path]; a != "" {
		s["description"] = a
	}
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		return d.schema(reflect.New(t.Elem()).Elem(), path, at)
	case t == durationType:
		s["type"], s["pattern"] = "string", `^(0|([0-9.]+(ns|us|µs|ms|s|m|h)|[0-9]+[dwy])+)$`
		s["default"] = sentinel.FormatDuration(time.Duration(v.Int()))
	case text(t):
		s["type"] = []string{"string", "number"} // YAML takes 30 for a number
	case t.Kind() == reflect.Struct:
		if place, inside := d.places[t]; inside {
			return map[string]any{"$ref": place}
		}
		d.places[t] = at
		defer delete(d.places, t)
		props := map[string]any{}
		for _, f := range fields(t) {
			props[key(f)] = d.schema(v.FieldByIndex(f.Index), join(path, key(f)), at+"/properties/"+key(f))
		}
		s["type"], s["additionalProperties"], s["properties"] = "object", false, props
	case t.Kind() == reflect.Slice:
		s["type"], s["items"] = "array", d.schema(reflect.New(t.Elem()).Elem(), path+"[]", at+"/items")
		plain(s["items"])
	case t.Kind() == reflect.Map:
		s["type"], s["additionalProperties"] = "object", d.schema(reflect.New(t.Elem()).Elem(), path+".*", at+"/additionalProperties")
		plain(s["additionalProperties"])
	case t.Kind() == reflect.Bool:
		s["type"], s["default"] = "boolean", v.Bool()
	case v.CanInt() || v.CanUint():
		s["type"], s["default"] = "integer", v.Interface()
	case v.CanFloat():
		s["type"], s["default"] = "number", v.Float()
	default:
		s["type"], s["default"] = "string", v.String()
	}
	return s
}

// plain takes the defaults out of the schema of an item, which has none.
func plain(s any) {
	m, ok := s.(map[string]any)
	if !ok {
		return
	}
	delete(m, "default")
	if props, ok := m["properties"].(map[string]any); ok {
		for _, p := range props {
			plain(p)
		}
	}
}

func keys(v reflect.Value, path string, about map[string]string) []Key {
	var list []Key
	for _, f := range fields(v.Type()) {
		at, value := join(path, key(f)), v.FieldByIndex(f.Index)
		t := value.Type()
		switch {
		case t.Kind() == reflect.Struct && !text(t):
			list = append(list, keys(value, at, about)...)
			continue
		case (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) && t.Elem().Kind() == reflect.Struct && !text(t.Elem()):
			mark := "[]"
			if t.Kind() == reflect.Map {
				mark = ".*"
			}
			list = append(list, Key{Path: at, Type: words(t), Default: "none", About: about[at]})
			for _, k := range keys(reflect.New(t.Elem()).Elem(), at+mark, about) {
				k.Default = ""
				list = append(list, k)
			}
			continue
		}
		list = append(list, Key{Path: at, Type: words(t), Default: value1(value), About: about[at]})
	}
	return list
}

func words(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return words(t.Elem())
	case t == durationType:
		return "duration"
	case text(t):
		return "text"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Map:
		return "map"
	case t.Kind() == reflect.Bool:
		return "switch"
	case t.Kind() == reflect.Float64:
		return "number"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "whole number"
	}
	return "text"
}

// value1 writes a value on one line.
func value1(v reflect.Value) string {
	if v.Type() == durationType {
		return sentinel.FormatDuration(time.Duration(v.Int()))
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			return "none"
		}
		out, err := yaml.Marshal(v.Interface())
		if err != nil {
			return fmt.Sprint(v.Interface())
		}
		return strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", ", ")
	}
	return fmt.Sprint(v.Interface())
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// comments returns what stands above or behind each key of an example, as one line.
func comments(example []byte) (map[string]string, error) {
	about := map[string]string{}
	var doc yaml.Node
	if err := yaml.Unmarshal(example, &doc); err != nil {
		return nil, fmt.Errorf("read the example: %w", err)
	}
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		switch n.Kind {
		case yaml.DocumentNode:
			walk(n.Content[0], path)
		case yaml.SequenceNode:
			for _, item := range n.Content {
				walk(item, path+"[]")
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				k, v := n.Content[i], n.Content[i+1]
				at := join(path, k.Value)
				about[at] = oneLine(k.HeadComment + "\n" + k.LineComment + "\n" + v.LineComment)
				walk(v, at)
			}
		}
	}
	if doc.Kind != 0 {
		walk(&doc, "")
	}
	return about, nil
}

var spaces = regexp.MustCompile(`\s+`)

func oneLine(comment string) string {
	var words []string
	for _, l := range strings.Split(comment, "\n") {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(l), "#")))
	}
	return strings.TrimSpace(spaces.ReplaceAllString(strings.Join(words, " "), " "))
}
