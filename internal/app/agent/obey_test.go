//go:build unix

package agent

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/service"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// manager listens as systemd does and returns what it is told, message by message.
func manager(t *testing.T, path string) <-chan string {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			told <- string(buf[:n])
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return told
}

// heard waits for a message that starts with want and returns it.
func heard(t *testing.T, told <-chan string, want string) string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case m := <-told:
			if strings.HasPrefix(m, want) {
				return m
			}
		case <-deadline:
			t.Fatalf("the manager never heard %q", want)
		}
	}
}

func TestTheServiceManagerIsTold(t *testing.T) {
	r := newRunning(t)
	socket := filepath.Join(r.dir, "notify")
	told := manager(t, socket)
	r.manager = service.NewNotifier(func(key string) string {
		return map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "60000"}[key]
	})
	hangup := make(chan os.Signal, 1)
	r.hangup = hangup
	r.start()
	heard(t, told, "READY=1")
	if m := heard(t, told, "WATCHDOG=1\nSTATUS="); !strings.Contains(m, "not connected to ") {
		t.Errorf("it was told %q", m)
	}
	hangup <- os.Interrupt // any signal will do
	heard(t, told, "RELOADING=1\nMONOTONIC_USEC=")
	heard(t, told, "READY=1")
	r.stop()
	heard(t, told, "STOPPING=1")
}

// The watchdog is told nothing once no cycle comes out of the collectors.
func TestTheWatchdogIsTiedToTheCollectors(t *testing.T) {
	var now atomic.Int64
	l := &life{cfg: DefaultConfig(), keep: &keeper{elapsed: func() time.Duration { return time.Duration(now.Load()) }}}
	for _, tt := range []struct {
		after time.Duration
		alive bool
	}{{0, true}, {39 * time.Second, true}, {41 * time.Second, false}, {time.Hour, false}} {
		now.Store(int64(time.Minute + tt.after))
		l.keep.beat.Store(int64(time.Minute))
		if l.alive() != tt.alive {
			t.Errorf("%s after the last cycle alive is %v", tt.after, !tt.alive)
		}
	}
	h := newHost(t)
	h.collect(3)
	if beat := time.Duration(h.beat.Load()); beat != 20*time.Second {
		t.Errorf("the last cycle was at %s, want 20s", beat)
	}
	definition := wire.EncodeLayout(sentinel.Layout{sentinel.NewSeries("x", sentinel.Gauge, "")})
	other := collector.Snapshot{Source: true, Layout: definition, Cycle: sentinel.Cycle{Layout: wire.HashLayout(definition), Time: h.now(), Values: []float64{1}}}
	if err := h.Append(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if beat := time.Duration(h.beat.Load()); beat != 20*time.Second {
		t.Errorf("what a source says counts as a cycle of the collectors, at %s", beat)
	}
}
