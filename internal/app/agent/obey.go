package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/sentinelgo/sentinel/internal/service"
)

const (
	// statusEvery is how often the service manager hears how the agent stands where it
	// has no watchdog.
	statusEvery = time.Minute
	// aliveSlack is how much longer than three intervals a cycle may be due before the
	// collectors count as stuck.
	aliveSlack = 10 * time.Second
)

// obey serves the service manager until ctx ends: it reloads when it is asked to,
// and tells that the agent is alive for as long as its collectors are.
func (l *life) obey(ctx context.Context) error {
	every := statusEvery
	if d := l.o.Manager.Watchdog(); d > 0 {
		every = d / 3
	}
	var tick <-chan time.Time // never, where nobody wants to know
	if l.o.Manager != nil {
		t := time.NewTicker(every)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-ctx.Done():
			l.tell(service.Stopping)
			return nil
		case <-l.o.Reload: // never, where it is nil
			l.Reload()
		case <-tick:
			if l.alive() {
				l.tell(service.Alive, service.Status(l.summary()))
			}
		}
	}
}

// alive reports whether cycles come out of the collectors and the log has answered
// for each of them, be it with an error: an agent of which that is not so is of no
// use, and should be started again.
func (l *life) alive() bool {
	since := l.keep.elapsed() - time.Duration(l.keep.beat.Load())
	return since < 3*l.config().Agent.Collect.Interval+aliveSlack
}

// summary is one line for people.
func (l *life) summary() string {
	up, cfg := l.up.Load().Status(), l.config()
	line := "connected to " + cfg.Agent.Server.Address
	if !up.Connected {
		line = "not connected to " + cfg.Agent.Server.Address
	}
	if t := oldestUnsettled(l.log); !t.IsZero() {
		line += fmt.Sprintf(", oldest sample that is not stored: %s", time.Since(t).Round(time.Second))
	}
	if l.configReady() != nil {
		line += "; the configuration is not good"
	}
	return line
}

func (l *life) tell(states ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // to the end, when every other has ended
	defer cancel()
	if err := l.o.Manager.Tell(ctx, states...); err != nil {
		l.logger.Debug("the service manager was not told", "error", err)
	}
}
