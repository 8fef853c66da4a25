//go:build unix

package wal

import "syscall"

// errFull is what the system says where the disk is full.
const errFull = syscall.ENOSPC
