//go:build !linux && !windows && !darwin

package collector

// definitions is the list of a system for which nobody has written collectors.
func definitions() []definition { return []definition{{"time", newClock}, {"agent", newSelf}} }

func systemHost() host { return host{} }

// platform is what only this system's collectors may look at.
type platform struct{}
