//go:build !linux

package service

func monotonic() int64 { return 0 } // there is no systemd
