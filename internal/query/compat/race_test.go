//go:build race

package compat

// sparse takes every third evaluation: the race detector makes each several times as
// long, and finds in a third of them what it would find in all.
const sparse = 3
