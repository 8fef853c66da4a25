package wal

import "golang.org/x/sys/windows"

// errFull is what the system says where the disk is full.
const errFull = windows.ERROR_DISK_FULL
