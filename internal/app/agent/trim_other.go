//go:build !linux

package agent

// releaseProgram does nothing: these systems take what is not used by themselves.
func releaseProgram() {}
