package notifiers

import (
	"reflect"
	"slices"
	"strings"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/notify"
)

// Redact returns a notification file in which <secret> stands for every secret; the
// rest is as it was written. Of a file whose secrets cannot be found in its text, which
// may write them with escapes, it returns a line that says so.
func Redact(text []byte) (string, error) {
	var f File
	if err := config.Decode("notification file", text, &f); err != nil {
		return "", err
	}
	found := secrets(reflect.ValueOf(f), nil)
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) }) // one may be a part of another
	shown := string(text)
	for _, s := range found {
		shown = strings.ReplaceAll(shown, s, notify.Hidden)
	}
	var again File
	if config.Parse("notification file", []byte(shown), &again) == nil && !slices.ContainsFunc(secrets(reflect.ValueOf(again), nil), func(s string) bool { return s != notify.Hidden }) {
		return shown, nil
	}
	return "# The file is not shown: it writes secrets in a way in which they cannot be hidden.\n# Name files of them (url_file, token_file, …), and it is.\n", nil
}

// secrets returns all that a configuration holds.
func secrets(v reflect.Value, found []string) []string {
	if v.CanInterface() {
		if s, ok := v.Interface().(notify.Secret); ok {
			if s.Reveal() != "" {
				found = append(found, s.Reveal())
			}
			return found
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				found = secrets(v.Field(i), found)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			found = secrets(v.Index(i), found)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			found = secrets(v.Elem(), found)
		}
	default: // holds nothing else
	}
	return found
}
