package plugin

import (
	"bytes"
	"slices"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Structure is what a module wants of its host and offers to it.
type Structure struct {
	Imports []Import
	Exports []string // of functions
	Memory  bool     // its memory is exported, as "memory"
}

// Import is a function that the module imports.
type Import struct{ Module, Name string }

// HostModule is the name under which a host's own functions are imported.
const HostModule = "sentinel"

const wasiModule = "wasi_snapshot_preview1"

// Bounds of a module. A compiler takes memory and time by these, long before anything
// runs: a module of a few bytes can declare billions of locals.
const (
	maxSections   = 64
	maxTypes      = 10_000
	maxTypeValues = 1_000 // parameters and results of one
	maxImports    = 128
	maxFunctions  = 50_000
	maxBody       = 512 << 10 // bytes of one function
	maxLocals     = 10_000    // of one function
	maxAllLocals  = 2_000_000
	maxTables     = 4
	maxTableSize  = 100_000
	maxGlobals    = 10_000
	maxExports    = 1_000
	maxElements   = 10_000
	maxSegments   = 100_000
	maxImportName = 64
	// PageSize is what a module's memory is counted in.
	PageSize = 64 << 10
)

// CheckModule reads the outer form of a module and returns an Invalid error where it
// is beyond what a compiler should see: it looks at sizes and counts and leaves the
// instructions to the compiler. memoryMiB bounds the memory that it starts with. It
// takes no memory of its own but for names.
func CheckModule(module []byte, memoryMiB int) (s Structure, err error) {
	if len(module) > MaxModule {
		return s, refuse("is %d bytes, want at most %d", len(module), MaxModule)
	}
	rest, ok := bytes.CutPrefix(module, []byte("\x00asm\x01\x00\x00\x00"))
	if !ok {
		return s, refuse("is no WebAssembly module of version 1")
	}
	c := checker{memory: uint64(memoryMiB) << 20 / PageSize, out: &s}
	r := reader{rest}
	last := 0
	for n := 0; len(r.rest) > 0; n++ {
		id, body := r.byte(), reader{}
		body.rest = r.bytes(r.u32())
		if r.rest == nil || n >= maxSections {
			return Structure{}, refuse("is cut short, or has more than %d sections", maxSections)
		}
		if id == 0 {
			continue // custom: for debuggers
		}
		at := bytes.IndexByte([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11}, id) + 1 // the order of a module
		if at == 0 {
			return Structure{}, refuse("has a section %d, which is not known", id)
		}
		if at <= last {
			return Structure{}, refuse("has section %d where it may not stand", id)
		}
		last = at
		if err := c.section(id, &body); err != nil {
			return Structure{}, err
		}
	}
	if c.functions != c.bodies {
		return Structure{}, refuse("declares %d functions and defines %d", c.functions, c.bodies)
	}
	return s, nil
}

func refuse(format string, args ...any) error {
	return sentinel.Errorf(sentinel.Invalid, "the module "+format, args...)
}

// checker is what is known of a module so far.
type checker struct {
	memory            uint64 // pages that may be
	functions, bodies uint32
	locals            uint64
	out               *Structure
}

// bounded is a section of so many things at most.
type bounded struct {
	what string
	most uint32
	each func(r *reader) error
}

func (c *checker) section(id byte, r *reader) error {
	kind, counted := map[byte]bounded{
		1:  {"types", maxTypes, c.functype},
		2:  {"imports", maxImports, c.imported},
		3:  {"functions", maxFunctions, func(r *reader) error { r.u32(); c.functions++; return nil }},
		4:  {"tables", maxTables, c.table},
		5:  {"memories", 1, c.limits},
		6:  {"globals", maxGlobals, nil},
		7:  {"exports", maxExports, c.exported},
		9:  {"element segments", maxElements, nil},
		10: {"function bodies", maxFunctions, c.body},
		11: {"data segments", maxSegments, nil},
		12: {"data segments", maxSegments, nil},
	}[id]
	if !counted {
		return nil // the function to start with: it runs under the same limits as any other
	}
	n := r.u32()
	if r.rest == nil || n > kind.most {
		return refuse("has %d %s, want at most %d", n, kind.what, kind.most)
	}
	if kind.each == nil {
		return nil
	}
	for range n {
		if err := kind.each(r); err != nil {
			return err
		}
		if r.rest == nil {
			return refuse("is cut short within its %s", kind.what)
		}
	}
	if len(r.rest) > 0 {
		return refuse("has bytes after its %s", kind.what)
	}
	return nil
}

func (c *checker) functype(r *reader) error {
	r.byte()
	for range 2 { // parameters, results
		n := r.u32()
		if n > maxTypeValues {
			return refuse("has a function of %d parameters or results, want at most %d", n, maxTypeValues)
		}
		r.bytes(n)
	}
	return nil
}

func (c *checker) imported(r *reader) error {
	module, name := r.bytes(r.u32()), r.bytes(r.u32())
	if kind := r.byte(); r.rest != nil && kind != 0 {
		return refuse("imports %.60q, which is no function", name)
	}
	r.u32()
	if r.rest == nil {
		return nil // section says so
	}
	if len(module) > maxImportName || len(name) > maxImportName || string(module) != HostModule && string(module) != wasiModule {
		return refuse("imports %.60q of %.60q: there are functions of %q and %q alone", name, module, HostModule, wasiModule)
	}
	c.out.Imports = append(c.out.Imports, Import{string(module), string(name)})
	return nil
}

func (c *checker) table(r *reader) error {
	r.byte() // what it holds
	flags, least := r.byte(), r.u32()
	if flags&1 != 0 {
		r.u32()
	}
	if flags > 1 || least > maxTableSize {
		return refuse("has a table of %d entries, want at most %d", least, maxTableSize)
	}
	return nil
}

func (c *checker) limits(r *reader) error {
	flags, least := r.byte(), r.u32()
	if flags&1 != 0 {
		r.u32()
	}
	if flags > 1 {
		return refuse("has a memory that is shared or has 64 bits")
	}
	if uint64(least) > c.memory {
		return refuse("starts with %d MiB of memory, memory_mib allows %d", uint64(least)*PageSize>>20, c.memory*PageSize>>20)
	}
	return nil
}

func (c *checker) exported(r *reader) error {
	name, kind := r.bytes(r.u32()), r.byte()
	r.u32()
	c.out.Memory = c.out.Memory || kind == 2 && string(name) == "memory"
	if kind == 0 && len(name) <= maxImportName {
		c.out.Exports = append(c.out.Exports, string(name))
	}
	return nil
}

func (c *checker) body(r *reader) error {
	n := r.u32()
	if n > maxBody {
		return refuse("has a function of %d bytes, want at most %d", n, maxBody)
	}
	c.bodies++
	in := reader{r.bytes(n)}
	groups, locals := in.u32(), uint64(0)
	for range groups {
		locals += uint64(in.u32())
		in.byte()
		if in.rest == nil || locals > maxLocals {
			return refuse("has a function with more than %d local variables, or one that is cut short", maxLocals)
		}
	}
	if c.locals += locals; c.locals > maxAllLocals {
		return refuse("has more than %d local variables", maxAllLocals)
	}
	return nil
}

// reader takes numbers and bytes off the front. Past the end everything is zero, and
// rest is nil.
type reader struct{ rest []byte }

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.rest = nil
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.rest)) {
		r.rest = nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// u32 reads an unsigned number in LEB128, of at most five bytes.
func (r *reader) u32() uint32 {
	v := uint64(0)
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	r.rest = nil
	return 0
}

// Exports that every plugin has.
const (
	ExportVersion = "sentinel_abi_version"
	ExportCollect = "sentinel_collect"
	ExportInit    = "_initialize" // called once, where it is there
)

// functions names the host's functions and the capability that each needs; none for
// those that every plugin has.
func functions() map[string]string {
	return map[string]string{"emit": "", "log": "", "now": "", "config": "", "take": "", "http_get": "http", "tcp_request": "tcp", "read_file": "files"}
}

// Check returns an error that names the first function that the module wants and does
// not get with these capabilities, or lacks: Forbidden where a capability would do,
// else Invalid.
func (s Structure) Check(c Capabilities) error {
	known := functions()
	for _, imp := range s.Imports {
		if imp.Module != HostModule {
			continue
		}
		needs, is := known[imp.Name]
		if !is {
			return refuse("imports %q, which no host of ABI %d has", imp.Name, ABI)
		}
		if needs == "" {
			continue
		}
		for _, l := range c.lists() {
			if l.key == needs && len(l.entries) == 0 {
				return sentinel.Errorf(sentinel.Forbidden, "the module calls %s, for which the manifest does not ask: capabilities.%s is empty there", imp.Name, needs)
			}
		}
	}
	if !s.Memory {
		return refuse("exports no memory")
	}
	for _, name := range []string{ExportVersion, ExportCollect} {
		if !slices.Contains(s.Exports, name) {
			return refuse("does not export %s", name)
		}
	}
	return nil
}
