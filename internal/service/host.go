package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sentinelgo/sentinel/internal/atomicfile"
)

// Host is the Machine that the process runs on.
type Host struct{}

// Write implements Machine. The file is replaced as a whole.
func (Host) Write(path, content string, mode fs.FileMode, keep bool) error {
	if _, err := os.Lstat(path); err == nil && keep {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.Replace(path, []byte(content), mode)
}

// Remove implements Machine.
func (Host) Remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Run implements Machine. What the command says is part of its error.
func (Host) Run(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if said := strings.TrimSpace(string(out)); err != nil && said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// Manage implements Machine.
func (Host) Manage(ctx context.Context, verb string, in Install) error {
	return manageService(ctx, verb, in)
}
