package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/service"
)

// daemon is the agent with the configuration file that the command line names.
type daemon struct {
	version string
	path    *string

	// Where the Windows service manager has started it: what asks for a reload, and
	// where errors go.
	reload <-chan os.Signal
	events service.Events
}

// load reads the configuration: defaults, then the file, then the environment.
func (d *daemon) load() (agent.Config, error) {
	cfg := agent.DefaultConfig()
	err := config.Load(*d.path, os.Environ(), &cfg)
	cfg.Agent.HandedCredential = handedCredential(os.Getenv("CREDENTIALS_DIRECTORY"))
	return cfg, err
}

func (d *daemon) check(out io.Writer) error {
	if _, err := d.load(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "the configuration is good")
	return err
}

func (d *daemon) once(ctx context.Context, format string, out io.Writer) error {
	cfg, err := d.load()
	if err != nil {
		return err
	}
	logger, err := cfg.Log.Logger(os.Stderr)
	if err != nil {
		return err
	}
	return agent.Once(ctx, cfg.Agent.Collect, format, out, logger)
}

// run is the agent until ctx ends. SIGHUP makes it read its configuration again.
func (d *daemon) run(ctx context.Context) error {
	reload := d.reload
	if reload == nil {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		reload = hangup
	}
	cfg, trouble, err := agent.Choose(*d.path, os.Environ(), d.load)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	logger, err := cfg.Log.LoggerAt(os.Stderr, level)
	if err != nil {
		return err
	}
	if d.events != nil { // nobody sees what a Windows service prints
		logger = slog.New(service.NewEventHandler(d.events, level))
	}
	o := agent.Options{File: *d.path, Load: d.load, Trouble: trouble, Level: level, Reload: reload, Manager: service.NewNotifier(os.Getenv)}
	return o.Run(ctx, cfg, d.version, logger)
}

// handedCredential is the credential that systemd hands over in a folder of its own
// (LoadCredential=credential.json:…), empty where it hands none over.
func handedCredential(dir string) string {
	path := filepath.Join(dir, "credential.json")
	if _, err := os.Stat(path); dir == "" || err != nil {
		return ""
	}
	return path
}
