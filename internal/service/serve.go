package service

import (
	"context"
	"os"
	"syscall"
)

// Request is what a service manager asks of a running service.
type Request int

const (
	Interrogate Request = iota // how it stands
	Stop                       // to stop, also because the host shuts down
	Reload                     // to read its configuration again
)

// State is how a service answers.
type State int

const (
	Starting State = iota
	Running
	Ending
)

// Serve runs start and answers the manager meanwhile. The manager is answered
// Starting and Running before start is called: it gives a service that is busy with
// files or the network up, and counts it as broken. Stop ends start's context,
// Reload sends on its channel. Serve returns when start does, with its error.
func Serve(ctx context.Context, requests <-chan Request, tell func(State), start func(ctx context.Context, reload <-chan os.Signal) error) error {
	tell(Starting)
	state := Running
	tell(state)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	reload := make(chan os.Signal, 1)
	ended := make(chan error, 1)
	go func() { ended <- start(ctx, reload) }()
	for {
		select {
		case err := <-ended:
			return err
		case r := <-requests:
			switch r {
			case Interrogate:
				tell(state)
			case Stop:
				state = Ending
				tell(state)
				stop()
			case Reload:
				select {
				case reload <- syscall.SIGHUP:
				default: // one waits already, and will see the newest file
				}
			}
		}
	}
}
