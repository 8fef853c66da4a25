//go:build race

package plugin

// raceMiB is what the race detector takes for itself, in tests.
const raceMiB = 64 << 10
