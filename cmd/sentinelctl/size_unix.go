//go:build linux || darwin

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminalSize returns the rows and columns of a terminal, or usual ones.
func terminalSize(f *os.File) (rows, columns int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Row < 5 || size.Col < 20 {
		return 24, 80
	}
	return int(size.Row), int(size.Col)
}
