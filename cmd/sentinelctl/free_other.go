//go:build !linux && !darwin

package main

func freeBytes(string) (uint64, bool) { return 0, false }
