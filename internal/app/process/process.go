// Package process holds what every process needs and no database: listening with
// an error that names the key.
package process

import (
	"context"
	"fmt"
	"net"
)

// Listen opens the TCP address that the configuration key holds, or none where
// the address is empty. The error names the key.
func Listen(ctx context.Context, key, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return lis, nil
}
