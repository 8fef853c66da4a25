//go:build race

package host

import "github.com/tetratelabs/wazero"

// newConfig takes the interpreter where the race detector looks on, in tests: a compiler
// that is watched takes half a minute for a module that Go made.
func newConfig() wazero.RuntimeConfig { return wazero.NewRuntimeConfigInterpreter() }
