//go:build !windows

package service

import (
	"context"
	"os"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Managed reports whether the Windows service manager has started this process.
func Managed() bool { return false }

// Run is for processes that are Managed alone.
func Run(context.Context, func(ctx context.Context, reload <-chan os.Signal, events Events) error) int {
	return 1
}

func manageService(context.Context, string, Install) error {
	return sentinel.Errorf(sentinel.Invalid, "this system has no Windows service manager")
}

// Privileged reports whether this process may install services.
func Privileged() bool { return os.Geteuid() == 0 }
