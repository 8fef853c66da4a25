package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	win "golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"
)

// Managed reports whether the Windows service manager has started this process.
func Managed() bool {
	is, err := svc.IsWindowsService()
	return err == nil && is
}

// Run is the service until the manager asks it to stop, or start ends by itself. An
// error of start is said in the event log and makes the exit code, which is the
// service's own for the manager, 1. Only a Managed process may call it.
func Run(ctx context.Context, start func(ctx context.Context, reload <-chan os.Signal, events Events) error) int {
	h := &handler{ctx: ctx, start: start}
	if err := svc.Run(WindowsName, h); err != nil || h.failed {
		return 1
	}
	return 0
}

type handler struct {
	ctx    context.Context // svc.Run takes none
	start  func(context.Context, <-chan os.Signal, Events) error
	failed bool
}

// stopHint is how long the manager may wait for the end.
const stopHint = 30 * time.Second

// Execute implements svc.Handler.
func (h *handler) Execute(_ []string, changes <-chan svc.ChangeRequest, status chan<- svc.Status) (ownCode bool, code uint32) {
	requests := make(chan Request)
	over := make(chan struct{})
	defer close(over)
	go func() { // ends with Execute
		for {
			select {
			case c := <-changes:
				r := Interrogate
				switch c.Cmd {
				case svc.Stop, svc.Shutdown:
					r = Stop
				case svc.ParamChange:
					r = Reload
				}
				select {
				case requests <- r:
				case <-over:
					return
				}
			case <-over:
				return
			}
		}
	}()
	tell := func(s State) {
		switch s {
		case Starting:
			status <- svc.Status{State: svc.StartPending}
		case Running:
			status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown | svc.AcceptParamChange}
		case Ending:
			status <- svc.Status{State: svc.StopPending, WaitHint: uint32(stopHint.Milliseconds())}
		}
	}
	err := Serve(h.ctx, requests, tell, func(ctx context.Context, reload <-chan os.Signal) error {
		events, err := eventlog.Open(WindowsName)
		if err != nil {
			return err // nobody can be told
		}
		defer events.Close()
		err = h.start(ctx, reload, events)
		if err != nil {
			err = errors.Join(err, events.Error(eventID, "The agent has ended: "+err.Error()))
		}
		return err
	})
	if h.failed = err != nil; h.failed {
		return true, 1
	}
	return false, 0
}

func manageService(ctx context.Context, verb string, in Install) error {
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("connect to the service manager: %w", err)
	}
	defer func() { _ = m.Disconnect() }() // nothing depends on it
	if verb == "register" {
		return register(m, in)
	}
	s, err := m.OpenService(WindowsName)
	if errors.Is(err, win.ERROR_SERVICE_DOES_NOT_EXIST) && verb != "start" {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	switch verb {
	case "start":
		if err := s.Start(); !errors.Is(err, win.ERROR_SERVICE_ALREADY_RUNNING) {
			return err
		}
		return nil
	case "stop":
		return stopService(ctx, s)
	case "unregister":
		if err := eventlog.Remove(WindowsName); err != nil && !errors.Is(err, win.ERROR_FILE_NOT_FOUND) {
			return err
		}
		return s.Delete()
	}
	return fmt.Errorf("%s is not known", verb)
}

// register makes the service, or gives the one that is there these settings.
func register(m *mgr.Mgr, in Install) error {
	cfg := mgr.Config{
		ServiceType: win.SERVICE_WIN32_OWN_PROCESS, StartType: mgr.StartAutomatic, ErrorControl: mgr.ErrorNormal, DelayedAutoStart: true,
		DisplayName: "Sentinel agent", Description: "Collects this host's metrics and sends them to a Sentinel server.",
		BinaryPathName: syscall.EscapeArg(in.Program) + " --config " + syscall.EscapeArg(in.Config),
	}
	s, err := m.OpenService(WindowsName)
	if err == nil {
		err = s.UpdateConfig(cfg)
	} else if errors.Is(err, win.ERROR_SERVICE_DOES_NOT_EXIST) {
		s, err = m.CreateService(WindowsName, in.Program, cfg, "--config", in.Config)
	}
	if s != nil {
		defer s.Close()
	}
	if err != nil {
		return err
	}
	restart := func(d time.Duration) mgr.RecoveryAction {
		return mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: d}
	}
	actions := []mgr.RecoveryAction{restart(5 * time.Second), restart(30 * time.Second), restart(time.Minute)}
	if err := s.SetRecoveryActions(actions, 24*60*60); err != nil {
		return err
	}
	// An agent that ends with an error says so and does not crash.
	if err := s.SetRecoveryActionsOnNonCrashFailures(true); err != nil {
		return err
	}
	_ = eventlog.Remove(WindowsName) // making it twice is an error
	return eventlog.InstallAsEventCreate(WindowsName, eventlog.Error|eventlog.Warning|eventlog.Info)
}

// stopService stops the service and waits until it has stopped.
func stopService(ctx context.Context, s *mgr.Service) error {
	state, err := s.Control(svc.Stop)
	if errors.Is(err, win.ERROR_SERVICE_NOT_ACTIVE) {
		return nil
	}
	if err != nil {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(ctx, stopHint)
	defer cancel()
	for state.State != svc.Stopped {
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not stop: %w", ctx.Err())
		case <-tick.C:
		}
		if state, err = s.Query(); err != nil {
			return err
		}
	}
	return nil
}

// Privileged reports whether this process may install services.
func Privileged() bool { return win.GetCurrentProcessToken().IsElevated() }
