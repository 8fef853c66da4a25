//go:build !race

package host

import "github.com/tetratelabs/wazero"

// newConfig takes the compiler, or the interpreter where the system does not let
// programs make machine code.
func newConfig() wazero.RuntimeConfig { return wazero.NewRuntimeConfig() }
