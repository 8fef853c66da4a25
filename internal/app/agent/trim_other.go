//go:build !linux

package agent

// program is nothing here: these systems take what is not used by themselves.
type program struct{}

func cutProgram() program { return program{} }

func (program) release() {}
