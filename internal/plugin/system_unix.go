//go:build unix

package plugin

// childEnvironment is what a plugin's process finds in its environment.
func childEnvironment() []string {
	return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "GOTRACEBACK=none"}
}
