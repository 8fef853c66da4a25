package config

import "reflect"

// Diff returns the keys, such as agent.collect.interval, whose values differ
// between two configurations of the same struct type, in its order.
func Diff[T any](a, b T) []string {
	return diff(reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem(), "")
}

func diff(a, b reflect.Value, path string) (keys []string) {
	for _, f := range fieldsOf(a.Type()) {
		x, y, at := a.FieldByIndex(f.Index), b.FieldByIndex(f.Index), join(path, keyOf(f))
		switch {
		case x.Kind() == reflect.Struct && !isScalarStruct(x):
			keys = append(keys, diff(x, y, at)...)
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			keys = append(keys, at)
		}
	}
	return keys
}
