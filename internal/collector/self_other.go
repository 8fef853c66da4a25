//go:build !linux

package collector

import "context"

// usage knows nothing of a process on this system.
type usage struct{}

func newUsage(host) collector { return usage{} }

func (usage) collect(context.Context, *page) error { return errNothing }
