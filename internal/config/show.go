package config

import (
	"fmt"
	"reflect"
	"regexp"
)

// Setting is one key of a configuration with the value that is in force.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`  // as a file would say it; what signs in somewhere is hidden
	Origin string `json:"origin"` // default, FILE:LINE or environment NAME
}

// Show does what Load does and tells of every key which value it has and where that
// comes from, in the order of the struct.
func Show(path string, environ []string, out any) ([]Setting, error) {
	l := newLoader(path, environ)
	if err := l.load(out); err != nil {
		return nil, err
	}
	return l.show(nil, reflect.ValueOf(out).Elem(), "SENTINEL", "")
}

func (l *loader) show(list []Setting, v reflect.Value, name, path string) ([]Setting, error) {
	for _, field := range fieldsOf(v.Type()) {
		f, env, at := v.FieldByIndex(field.Index), envName(name, keyOf(field)), join(path, keyOf(field))
		if f.Kind() == reflect.Struct && !isScalarStruct(f) {
			var err error
			if list, err = l.show(list, f, env, at); err != nil {
				return nil, err
			}
			continue
		}
		text, err := inline(f)
		if err != nil {
			return nil, fmt.Errorf("show configuration: %s: %w", at, err)
		}
		s := Setting{Key: at, Value: hideSecrets(text), Origin: "default"}
		if line, ok := l.lines[at]; ok {
			s.Origin = fmt.Sprintf("%s:%d", l.file, line)
		}
		if _, ok := l.env[env]; ok {
			s.Origin = "environment " + env
		}
		list = append(list, s)
	}
	return list, nil
}

var (
	inURL = regexp.MustCompile(`(://)[^"\s]*@`)                                    // user and password, or a token alone
	inDSN = regexp.MustCompile(`(?i)\b((?:ssl)?password)\s*=\s*('[^']*'|[^\s"]+)`) // of a connection string
)

// hideSecrets hides what URLs and connection strings sign in with.
func hideSecrets(text string) string {
	return inDSN.ReplaceAllString(inURL.ReplaceAllString(text, "${1}***@"), "$1=***")
}
