//go:build !unix

package wal

func writerChild(string) int { return 0 }
