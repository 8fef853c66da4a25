//go:build linux && bench

// Package exporter builds node_exporter for the programs that compare the agent with
// it.
package exporter

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Module is what is built: the version whose names and values the collectors follow.
const Module = "github.com/prometheus/node_exporter@v1.12.1"

// Install builds node_exporter into dir from the module cache, or the network, and
// returns its path. It takes up to some minutes.
func Install(ctx context.Context, dir string) (path string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "install", "-trimpath", "-ldflags", "-s -w", Module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+dir, "GOFLAGS=-mod=mod")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("go install %s: %w: %s", Module, err, lines[len(lines)-1])
	}
	return filepath.Join(dir, "node_exporter"), nil
}
