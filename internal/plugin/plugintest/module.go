// Package plugintest makes WebAssembly modules for tests, from instructions written out:
// no compiler makes what hostile ones are made of.
package plugintest

import (
	"encoding/binary"
	"math"
)

// Module is a module that is being made.
type Module struct {
	types, imports, functions, exports, bodies, data, globals [][]byte
	Sections                                                  [][]byte // more of them, as they are, after the memory
	tables                                                    [][]byte
	memory                                                    []byte
	start                                                     []byte
}

// I32 and I64 are types of values.
const (
	I32 = 0x7f
	I64 = 0x7e
)

// U returns a number in LEB128.
func U(n uint64) []byte { return binary.AppendUvarint(nil, n) }

// S returns a signed number in LEB128.
func S(n int64) (b []byte) {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func text(s string) []byte { return append(U(uint64(len(s))), s...) }

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func (m *Module) typ(params, results []byte) uint64 {
	m.types = append(m.types, join([]byte{0x60}, U(uint64(len(params))), params, U(uint64(len(results))), results))
	return uint64(len(m.types) - 1)
}

// Import imports a function and returns its number. Imports come first.
func (m *Module) Import(module, name string, params, results []byte) uint64 {
	m.imports = append(m.imports, join(text(module), text(name), []byte{0}, U(m.typ(params, results))))
	return uint64(len(m.imports) - 1)
}

// Memory gives the module a memory of so many pages, which it exports.
func (m *Module) Memory(pages uint64) *Module {
	m.memory = join([]byte{0}, U(pages))
	m.exports = append(m.exports, join(text("memory"), []byte{2, 0}))
	return m
}

// Table gives the module a table of functions.
func (m *Module) Table(size uint64) *Module {
	m.tables = append(m.tables, join([]byte{0x70, 0}, U(size)))
	return m
}

// Data puts bytes into the memory.
func (m *Module) Data(at int64, b []byte) *Module {
	m.data = append(m.data, join([]byte{0}, Const(at), []byte{0x0b}, U(uint64(len(b))), b))
	return m
}

// Global makes a variable of type i32 and returns its number.
func (m *Module) Global(v int64) uint64 {
	m.globals = append(m.globals, join([]byte{I32, 1}, Const(v), []byte{0x0b}))
	return uint64(len(m.globals) - 1)
}

// Func defines a function that takes nothing, exported where it has a name, with so many
// locals of type i32, and returns its number.
func (m *Module) Func(name string, results []byte, locals uint64, code ...[]byte) uint64 {
	m.functions = append(m.functions, U(m.typ(nil, results)))
	declared := []byte{0}
	if locals > 0 {
		declared = join([]byte{1}, U(locals), []byte{I32})
	}
	body := join(declared, join(code...), []byte{0x0b})
	m.bodies = append(m.bodies, join(U(uint64(len(body))), body))
	n := uint64(len(m.imports) + len(m.functions) - 1)
	if name != "" {
		m.exports = append(m.exports, join(text(name), []byte{0}, U(n)))
	}
	return n
}

// Start has a function called when the module starts.
func (m *Module) Start(function uint64) *Module {
	m.start = U(function)
	return m
}

// Plugin gives the module what every plugin has: a memory, the version of the ABI, and
// code to collect, which leaves an i32.
func (m *Module) Plugin(collect ...[]byte) *Module {
	if m.memory == nil {
		m.Memory(1)
	}
	m.Func("sentinel_abi_version", []byte{I32}, 0, Const(1))
	m.Func("sentinel_collect", []byte{I32}, 2, collect...)
	return m
}

// Bytes returns the module.
func (m *Module) Bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	list := func(id byte, items [][]byte) {
		if len(items) > 0 {
			out = append(out, Section(id, join(U(uint64(len(items))), join(items...)))...)
		}
	}
	list(1, m.types)
	list(2, m.imports)
	list(3, m.functions)
	list(4, m.tables)
	if m.memory != nil {
		list(5, [][]byte{m.memory})
	}
	out = append(out, join(m.Sections...)...)
	list(6, m.globals)
	list(7, m.exports)
	if m.start != nil {
		out = append(out, Section(8, m.start)...)
	}
	list(10, m.bodies)
	list(11, m.data)
	return out
}

// Section returns a section.
func Section(id byte, content []byte) []byte {
	return join([]byte{id}, U(uint64(len(content))), content)
}

// Const pushes an i32.
func Const(v int64) []byte { return append([]byte{0x41}, S(int64(int32(v)))...) }

// Call calls a function.
func Call(n uint64) []byte { return append([]byte{0x10}, U(n)...) }

// Forever runs code again and again; it leaves nothing, and never ends.
func Forever(code ...[]byte) []byte {
	return join([]byte{0x03, 0x40}, join(code...), []byte{0x0c, 0, 0x0b})
}

// Drop drops a value.
func Drop() []byte { return []byte{0x1a} }

// Trap ends the plugin.
func Trap() []byte { return []byte{0x00} }

// Grow grows the memory by so many pages and leaves what it was before.
func Grow(pages int64) []byte { return join(Const(pages), []byte{0x40, 0}) }

// Fill fills memory.
func Fill(at, value, size int64) []byte {
	return join(Const(at), Const(value), Const(size), []byte{0xfc, 0x0b, 0})
}

// Record returns one record of an emission: a gauge.
func Record(name string, v float64, labels ...string) []byte {
	b := []byte{1, byte(len(labels) / 2)}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	b = binary.LittleEndian.AppendUint16(b, 0)
	texts := name
	for _, l := range labels {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(l)))
		texts += l
	}
	return binary.LittleEndian.AppendUint64(append(b, texts...), math.Float64bits(v))
}

// Emitting returns a plugin that says these records and ends well.
func Emitting(records ...[]byte) []byte {
	m := &Module{}
	emit := m.Import("sentinel", "emit", []byte{I32, I32}, []byte{I32})
	all := join(records...)
	m.Data(1024, all)
	return m.Plugin(Const(1024), Const(int64(len(all))), Call(emit), Drop(), Const(0)).Bytes()
}
