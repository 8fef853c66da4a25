package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Listen opens the socket at path, for the owner alone. A socket that an earlier
// process left there is replaced: the caller must hold the state folder's lock, so
// that no live agent's is. What is no socket is left alone, and is an error of code
// Conflict. Closing the listener removes the socket.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open socket: %w", err)
	case !isSocket(info):
		return nil, sentinel.Errorf(sentinel.Conflict, "open socket: %s is there and is not a socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("open socket: %w", err)
		}
	}
	lis, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		lis.Close()
		return nil, fmt.Errorf("open socket: %w", err)
	}
	return lis, nil
}

// isSocket also takes what Windows shows of one: a reparse point that Go calls
// irregular.
func isSocket(info fs.FileInfo) bool {
	return info.Mode()&(fs.ModeSocket|fs.ModeIrregular) != 0
}
