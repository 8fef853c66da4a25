package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// begin runs the agent and returns it.
func (r *running) begin() *life {
	r.t.Helper()
	r.start()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.life
}

// TestToldByTheService: what the service says is applied, kept over a reload and a
// restart, and taken back; what the host does not allow is refused, and what it had
// goes on.
func TestToldByTheService(t *testing.T) {
	r := newRunning(t)
	l := r.begin()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	interval := func() time.Duration { return l.config().Agent.Collect.Interval }
	must(l.configure(3, []byte("interval: 30s")))
	if interval() != 30*time.Second || l.configVersion() != 3 {
		t.Errorf("interval %s, version %d", interval(), l.configVersion())
	}
	r.write("  buffer_limit: 2h\n")
	if got := r.reload(); !got.OK {
		t.Fatalf("%+v", got)
	}
	if interval() != 30*time.Second || l.config().Agent.BufferLimit != 2*time.Hour {
		t.Errorf("after a reload: interval %s", interval())
	}
	for _, bad := range []string{"interval: 1ms", "exec: [{name: x}]", "interval: [", "collectors: {nonsense: true}"} {
		if err := l.configure(4, []byte(bad)); sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if interval() != 30*time.Second || l.configVersion() != 3 {
		t.Errorf("after what was refused: interval %s, version %d", interval(), l.configVersion())
	}
	r.stop()

	l = r.begin()
	if interval() != 30*time.Second || l.configVersion() != 3 {
		t.Errorf("after a restart: interval %s, version %d", interval(), l.configVersion())
	}
	r.write("  remote: {enabled: false}\n")
	r.reload()
	if interval() != time.Second || l.configVersion() != 0 {
		t.Errorf("where the host forbids it: interval %s, version %d", interval(), l.configVersion())
	}
	if err := l.configure(5, []byte("interval: 30s")); sentinel.CodeOf(err) != sentinel.Forbidden {
		t.Errorf("where the host forbids it: %v", err)
	}
	r.write("")
	r.reload()
	must(l.configure(0, nil))
	if interval() != time.Second || l.configVersion() != 0 {
		t.Errorf("taken back: interval %s, version %d", interval(), l.configVersion())
	}
	r.stop()

	// What was kept and is not readable any more is nothing.
	must(os.WriteFile(filepath.Join(r.dir, "state", remoteName), []byte(`{"version": 9, "content": "interval: ["}`), 0o600))
	l = r.begin()
	if interval() != time.Second || l.configVersion() != 0 {
		t.Errorf("damaged: interval %s, version %d", interval(), l.configVersion())
	}
}
