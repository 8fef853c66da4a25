// Package service is the agent's side of what starts and watches it: systemd,
// launchd and the Windows service manager. It tells them how the agent stands, and
// installs and removes it there.
package service

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// States that a Notifier tells, see sd_notify(3).
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
)

// Reloading says that the configuration is being read again; Ready ends it.
func Reloading() string { return "RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(monotonic(), 10) }

// Status is one line for people, shown by systemctl status.
func Status(line string) string { return "STATUS=" + strings.ReplaceAll(line, "\n", " ") }

// Notifier tells systemd how this process stands. A nil one tells nobody.
type Notifier struct {
	address  string
	watchdog time.Duration
}

// NewNotifier returns the notifier that the environment asks for, nil where it asks
// for none.
func NewNotifier(getenv func(string) string) *Notifier {
	address := getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	n := &Notifier{address: address}
	// WATCHDOG_PID is another process's where a wrapper passes its environment on.
	if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 && usec < 1<<50 {
			n.watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return n
}

// Watchdog returns within which time Alive has to be told again and again; 0 means
// that nobody waits for it.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Tell sends states in one message.
func (n *Notifier) Tell(ctx context.Context, states ...string) error {
	if n == nil {
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", n.address) // a leading @ is an abstract name, to net as well
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(strings.Join(states, "\n"))); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}
