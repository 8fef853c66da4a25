package plugin_test

import (
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/plugin"
	. "github.com/sentinelgo/sentinel/internal/plugin/plugintest" //nolint:staticcheck // modules are written in its words
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func cat(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// bombs are modules that take memory or time of whoever compiles them.
func bombs() map[string][]byte {
	head := []byte("\x00asm\x01\x00\x00\x00")
	body := func(locals ...[]byte) []byte {
		in := cat(U(uint64(len(locals))), cat(locals...), []byte{0x0b})
		return cat(head, Section(1, []byte{1, 0x60, 0, 0}), Section(3, []byte{1, 0}), Section(10, cat(U(1), U(uint64(len(in))), in)))
	}
	m := &Module{}
	m.Memory(1)
	return map[string][]byte{
		"no WebAssembly module":                     []byte("hello"),
		"is cut short":                              cat(head, []byte{1, 0xff, 0xff, 3}),
		"is cut short,":                             cat(head, []byte{1}),
		"more than 10000 local variables":           body(cat(U(1<<32-1), []byte{I32})),
		"more than 10000 local variables,":          body(cat(U(9_999), []byte{I32}), cat(U(9_999), []byte{I64})),
		"a function of 1048576 bytes":               cat(head, Section(10, cat(U(1), U(1<<20)))),
		"declares 1 functions and defines 0":        cat(head, Section(3, []byte{1, 0})),
		"4294967295 types":                          cat(head, Section(1, U(1<<32-1))),
		"function of 100000 parameters":             cat(head, Section(1, cat(U(1), []byte{0x60}, U(100_000)))),
		"4294967295 functions":                      cat(head, Section(3, U(1<<32-1))),
		"table of 4294967295 entries":               cat(head, Section(4, cat(U(1), []byte{0x70, 0}, U(1<<32-1)))),
		"9 tables":                                  cat(head, Section(4, U(9))),
		"starts with 4096 MiB of memory":            cat(head, Section(5, cat(U(1), []byte{0}, U(65536)))),
		"memory that is shared or has 64 bits":      cat(head, Section(5, cat(U(1), []byte{4}, U(1)))),
		"2 memories":                                cat(head, Section(5, U(2))),
		"4294967295 globals":                        cat(head, Section(6, U(1<<32-1))),
		"4294967295 exports":                        cat(head, Section(7, U(1<<32-1))),
		"4294967295 element segments":               cat(head, Section(9, U(1<<32-1))),
		"4294967295 data segments":                  cat(head, Section(11, U(1<<32-1))),
		"4294967295 imports":                        cat(head, Section(2, U(1<<32-1))),
		`imports "memory", which is no function`:    cat(head, Section(2, cat(U(1), U(8), []byte("sentinel"), U(6), []byte("memory"), []byte{2, 0, 1}))),
		`imports "f" of "env"`:                      cat(head, Section(2, cat(U(1), U(3), []byte("env"), U(1), []byte("f"), []byte{0, 0}))),
		"section 13, which is not known":            cat(head, Section(13, nil)),
		"section 1 where it may not stand":          cat(head, Section(1, U(0)), Section(1, U(0))),
		"section 3 where it may not stand":          cat(head, Section(5, U(0)), Section(3, U(0))),
		"bytes after its types":                     cat(head, Section(1, []byte{0, 1})),
		"cut short, or has more than 64 sections":   cat(head, cat(make([][]byte, 1)...), strings64()),
		"cut short within its imports":              cat(head, Section(2, cat(U(1), U(100)))),
		"cut short within its imports because of u": cat(head, Section(2, cat(U(1), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}))),
	}
}

// strings64 are more sections for debuggers than there may be.
func strings64() (b []byte) {
	for range 65 {
		b = append(b, Section(0, []byte{0})...)
	}
	return b
}

// P24: what a compiler should not see it does not see.
func TestP24CheckModule(t *testing.T) {
	for want, module := range bombs() {
		want, _, _ = strings.Cut(strings.TrimSuffix(want, ","), " because")
		if _, err := plugin.CheckModule(module, 32); err == nil || sentinel.CodeOf(err) != sentinel.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := plugin.CheckModule(make([]byte, plugin.MaxModule+1), 32); err == nil {
		t.Error("a module that is too large is taken")
	}
	s, err := plugin.CheckModule(Emitting(Record("a", 1)), 32)
	if err != nil || len(s.Imports) != 1 || s.Imports[0] != (plugin.Import{Module: "sentinel", Name: "emit"}) || len(s.Exports) != 2 || !s.Memory {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, name := range []string{"http_get", "tcp_request", "read_file"} {
		m := &Module{}
		m.Import("sentinel", name, nil, nil)
		m.Plugin(Const(0))
		s, err := plugin.CheckModule(m.Bytes(), 32)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(plugin.Capabilities{}); err == nil || sentinel.CodeOf(err) != sentinel.Forbidden || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Check(plugin.Capabilities{HTTP: []string{"a"}, TCP: []string{"a:1"}, Files: []string{"/"}}); err != nil {
			t.Error(err)
		}
	}
	for want, m := range map[string]*Module{"exports no memory": {}, `imports "nothing"`: {}, "does not export sentinel_abi_version": {}} {
		switch want {
		case `imports "nothing"`:
			m.Import("sentinel", "nothing", nil, nil)
			m.Plugin(Const(0))
		case "does not export sentinel_abi_version":
			m.Memory(1)
		}
		s, err := plugin.CheckModule(m.Bytes(), 32)
		if err == nil {
			err = s.Check(plugin.Capabilities{})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzCheckModule(f *testing.F) {
	for _, m := range bombs() {
		f.Add(m)
	}
	f.Add(Emitting(Record("a", 1)))
	f.Fuzz(func(t *testing.T, module []byte) {
		s, err := plugin.CheckModule(module, 32)
		if err == nil {
			_ = s.Check(plugin.Capabilities{}) // either is right
		} else if sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%v is %s", err, sentinel.CodeOf(err))
		}
	})
}

func FuzzDecodeBundle(f *testing.F) {
	f.Add(plugin.Bundle{RawManifest: []byte("name: x"), Module: []byte("m")}.Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := plugin.DecodeBundle(raw)
		if err == nil && string(b.Append(nil)) != string(raw) {
			t.Errorf("%q is also %q", raw, b.Append(nil))
		}
	})
}

func FuzzPour(f *testing.F) {
	f.Add(Record("a", 1, "b", "c"))
	f.Add([]byte("\x03\x00\x01\x00\x00\x00h\x01\x00" + strings.Repeat("\x00", 32)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := plugin.CheckEmission(raw)
		got := new(tally)
		perr := plugin.Pour(raw, got)
		if (err == nil) != (perr == nil) || err == nil && int(*got) > n {
			t.Errorf("%d series are %d: %v, %v", n, *got, err, perr)
		}
	})
}

// tally counts samples.
type tally int

func (c *tally) Set([]byte, float64) bool { return false }

func (c *tally) Define([]byte, sentinel.Series, float64) { *c++ }

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(manifest("a", "1.0.0", "capabilities: {http: ['*']}")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := plugin.ParseManifest(raw); err == nil && m.Validate() != nil {
			t.Errorf("%q is taken and not valid", raw)
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{5, 0, 0, 0, 'A', 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, raw []byte) {
		kind, content, err := plugin.ReadFrame(strings.NewReader(string(raw)), nil)
		if err == nil && kind == 'A' {
			_, _, _ = plugin.DecodeAnswer(content) // whatever it is
		}
	})
}
