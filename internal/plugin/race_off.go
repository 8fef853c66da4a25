//go:build !race

package plugin

const raceMiB = 0
