// Package filelock takes a file for one process at a time.
package filelock

import (
	"fmt"
	"os"
)

// Take opens the file at path, makes it where it is missing, and locks it for
// this process until the file is closed or the process ends, however it ends. It
// does not wait: where another process holds the lock the error has code Conflict
// and names the file. The content of the file does not matter.
func Take(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take lock: %w", err)
	}
	if err := Lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
