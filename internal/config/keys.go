package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

var durationType = reflect.TypeFor[time.Duration]()

// keyOf returns the YAML key of a struct field, or "" where it has none.
func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if key == "-" || !f.IsExported() {
		return ""
	}
	return key
}

// fieldsOf returns the fields of a struct that have keys. Those of an embedded struct
// are its own.
func fieldsOf(t reflect.Type) []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool { return keyOf(f) == "" })
}

func fieldByKey(v reflect.Value, key string) (reflect.Value, bool) {
	for _, f := range fieldsOf(v.Type()) {
		if keyOf(f) == key {
			return v.FieldByIndex(f.Index), true
		}
	}
	return reflect.Value{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(keys, keyOf(f))
	}
	return keys
}

func firstKey(t reflect.Type) string {
	if keys := keysOf(t); len(keys) > 0 {
		return keys[0]
	}
	return ""
}

// envName returns the name in the environment of a key below another.
func envName(above, key string) string { return above + "_" + strings.ToUpper(key) }

func isSection(key string) bool { return slices.Contains(Sections(), key) }

// sectioned reports whether a struct is one program's view of the shared file, so
// that the sections of other programs may stand beside its own.
func sectioned(t reflect.Type) bool {
	keys := keysOf(t)
	return len(keys) > 0 && !slices.ContainsFunc(keys, func(k string) bool { return !isSection(k) })
}

// isScalarStruct reports whether a value reads itself from one word.
func isScalarStruct(v reflect.Value) bool {
	_, ok := reflect.New(v.Type()).Interface().(encoding.TextUnmarshaler)
	return ok
}

// structured reports whether values of a type have keys of their own.
func structured(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}

// linesOf returns the struct's Lines, made if need be, or nil where it has none.
func linesOf(v reflect.Value) Lines {
	for i := range v.NumField() {
		if f := v.Field(i); f.Type() == reflect.TypeFor[Lines]() && f.CanSet() {
			f.Set(reflect.ValueOf(Lines{}))
			return f.Interface().(Lines) //nolint:errcheck // its type was asked for
		}
	}
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// suggest names the key that was probably meant, or all there are.
func suggest(key string, t reflect.Type, top bool) string {
	keys := keysOf(t)
	if top && sectioned(t) {
		keys = Sections()
	}
	best, bestDistance := "", len(key)/2+1
	for _, k := range keys {
		if d := distance(key, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "known here: " + strings.Join(keys, ", ")
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// wanted says in words what a value should look like.
func wanted(v reflect.Value, got string, err error) string {
	var want string
	switch {
	case v.Type() == durationType:
		want = "a duration such as 10s, 5m or 30d"
	case isScalarStruct(v):
		if err != nil {
			return strings.TrimPrefix(err.Error(), "yaml: ")
		}
		want = "a text"
	case v.Kind() == reflect.Bool:
		want = "true or false"
	case v.CanInt() || v.CanUint():
		want = "a whole number"
	case v.CanFloat():
		want = "a number"
	case v.Kind() == reflect.Slice && structured(v.Type().Elem()):
		want = fmt.Sprintf("a list, whose items begin with \"- %s:\"", firstKey(v.Type().Elem()))
	case v.Kind() == reflect.Slice:
		want = "a list such as [a, b]"
	case v.Kind() == reflect.Map:
		want = "a map such as {name: value}"
	default:
		want = "a text"
	}
	if got == "" {
		return "want " + want
	}
	return fmt.Sprintf("want %s, not %.60q", want, got)
}
