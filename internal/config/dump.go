package config

import (
	"bytes"
	"encoding"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Dump writes the configuration, a struct, as YAML: Load of that gives the same
// configuration. It writes what configurations have, texts, numbers, switches,
// durations, and lists, maps and structs of those; anything else is an error. YAML's own
// encoder would be a hundredth of the agent's binary.
func Dump(w io.Writer, cfg any) error {
	var b bytes.Buffer
	if err := dump(&b, reflect.ValueOf(cfg), "", ""); err != nil {
		return err
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

func dump(b *bytes.Buffer, v reflect.Value, path, indent string) error {
	for _, field := range fieldsOf(v.Type()) {
		key := keyOf(field)
		f, at := v.FieldByIndex(field.Index), join(path, key)
		if f.Kind() == reflect.Struct && !isScalarStruct(f) {
			fmt.Fprintf(b, "%s%s:\n", indent, key)
			if err := dump(b, f, at, indent+"  "); err != nil {
				return err
			}
			continue
		}
		text, err := inline(f)
		if err != nil {
			return fmt.Errorf("write configuration: %s: %w", at, err)
		}
		fmt.Fprintf(b, "%s%s: %s\n", indent, key, text)
	}
	return nil
}

// inline writes a value on one line.
func inline(v reflect.Value) (string, error) {
	if d, ok := v.Interface().(time.Duration); ok {
		return sentinel.FormatDuration(d), nil
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		return quote(string(text)), err
	}
	switch v.Kind() {
	case reflect.String:
		return quote(v.String()), nil
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return fmt.Sprint(v.Interface()), nil
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			var err error
			if parts[i], err = inline(v.Index(i)); err != nil {
				return "", err
			}
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	case reflect.Struct:
		var parts []string
		for _, field := range fieldsOf(v.Type()) {
			text, err := inline(v.FieldByIndex(field.Index))
			if err != nil {
				return "", err
			}
			parts = append(parts, keyOf(field)+": "+text)
		}
		return "{" + strings.Join(parts, ", ") + "}", nil
	case reflect.Map:
		var parts []string
		for _, k := range v.MapKeys() {
			key, err := inline(k)
			if err != nil {
				return "", err
			}
			value, err := inline(v.MapIndex(k))
			if err != nil {
				return "", err
			}
			parts = append(parts, key+": "+value)
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, ", ") + "}", nil
	}
	return "", sentinel.Errorf(sentinel.Internal, "a %s has no form in a file", v.Type())
}

// quote writes a text in double quotes, whose escapes are the same in Go and YAML
// for all that is UTF-8.
func quote(s string) string { return strconv.Quote(strings.ToValidUTF8(s, "\uFFFD")) }
