package service_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sentinelgo/sentinel/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scm is a service manager: it hears states and sends requests.
type scm struct {
	requests chan service.Request
	told     chan service.State
}

func newSCM() scm { return scm{make(chan service.Request), make(chan service.State, 10)} }

func (m scm) heard() (list []service.State) {
	for len(m.told) > 0 {
		list = append(list, <-m.told)
	}
	return list
}

// The manager is answered before anything of the service runs, whatever that does
// then; every request is answered while it runs, and while it ends.
func TestServeAnswersFirst(t *testing.T) {
	m := newSCM()
	reloads, stopping, finish := make(chan bool), make(chan bool), make(chan bool)
	ended := make(chan error, 1)
	var before []service.State
	go func() {
		ended <- service.Serve(t.Context(), m.requests, func(s service.State) { m.told <- s }, func(ctx context.Context, reload <-chan os.Signal) error {
			before = m.heard()
			for {
				select {
				case <-reload:
					reloads <- true
				case <-ctx.Done():
					stopping <- true
					<-finish
					return nil
				}
			}
		})
	}()
	m.requests <- service.Reload
	<-reloads
	if want := []service.State{service.Starting, service.Running}; !slices.Equal(before, want) {
		t.Errorf("before its start the manager had heard %v, want %v", before, want)
	}
	m.requests <- service.Interrogate
	m.requests <- service.Stop
	<-stopping
	m.requests <- service.Interrogate
	m.requests <- service.Stop
	m.requests <- service.Reload
	m.requests <- service.Reload // nobody takes it any more
	finish <- true
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got, want := m.heard(), []service.State{service.Running, service.Ending, service.Ending, service.Ending}; !slices.Equal(got, want) {
		t.Errorf("the manager heard %v, want %v", got, want)
	}
}

// A service that cannot start ends with its error, after the manager was answered.
func TestServeThatFails(t *testing.T) {
	m := newSCM()
	want := errors.New("no credential")
	err := service.Serve(t.Context(), m.requests, func(s service.State) { m.told <- s }, func(context.Context, <-chan os.Signal) error { return want })
	if !errors.Is(err, want) {
		t.Errorf("the error is %v", err)
	}
	if got := m.heard(); !slices.Equal(got, []service.State{service.Starting, service.Running}) {
		t.Errorf("the manager heard %v", got)
	}
}

type events struct{ lines []string }

func (e *events) Warning(_ uint32, text string) error {
	e.lines = append(e.lines, "W "+text)
	return nil
}

func (e *events) Error(_ uint32, text string) error {
	e.lines = append(e.lines, "E "+text)
	return nil
}

func TestEventHandler(t *testing.T) {
	var e events
	level := new(slog.LevelVar)
	log := slog.New(service.NewEventHandler(&e, level)).With("part", "wal").WithGroup("g")
	log.Info("nobody is told")
	log.Warn("careful", "n", 1)
	level.Set(slog.LevelError)
	log.Warn("not any more")
	log.Error("broken\nline")
	if len(e.lines) != 2 || !strings.HasPrefix(e.lines[0], "W ") || !strings.HasSuffix(e.lines[0], "level=WARN msg=careful part=wal g.n=1") ||
		!strings.HasPrefix(e.lines[1], "E ") || !strings.HasSuffix(e.lines[1], `level=ERROR msg="broken\nline" part=wal`) {
		t.Errorf("the events are %q", e.lines)
	}
}

func TestNotifier(t *testing.T) {
	var nobody *service.Notifier
	if err := nobody.Tell(t.Context(), service.Ready); err != nil || nobody.Watchdog() != 0 {
		t.Errorf("nobody wants to know: %v", err)
	}
	env := func(pairs ...string) func(string) string {
		return func(key string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == key {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	if service.NewNotifier(env()) != nil {
		t.Error("there is a notifier without a socket")
	}
	for _, tt := range []struct {
		usec, pid string
		want      int64
	}{{"", "", 0}, {"2000000", "", 2}, {"2000000", "1", 0}, {"x", "", 0}, {"-1", "", 0}, {"99999999999999999999", "", 0}} {
		n := service.NewNotifier(env("NOTIFY_SOCKET", "/nowhere", "WATCHDOG_USEC", tt.usec, "WATCHDOG_PID", tt.pid))
		if got := n.Watchdog().Seconds(); got != float64(tt.want) {
			t.Errorf("%+v: the watchdog waits for %v s", tt, got)
		}
		if err := n.Tell(t.Context(), service.Ready); err == nil {
			t.Error("nobody listens, and that is no error")
		}
	}
	if s := service.Status("a\nREADY=1"); strings.Contains(s, "\n") {
		t.Errorf("a status of two lines: %q", s)
	}
	if !bytes.HasPrefix([]byte(service.Reloading()), []byte("RELOADING=1\nMONOTONIC_USEC=")) {
		t.Error(service.Reloading())
	}
}
