//go:build !race

package compat

const sparse = 1
