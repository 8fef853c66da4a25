package collector

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// manager answers as the bus and systemd behind it do, in the byte order given.
type manager struct {
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
	units   [][4]string // name, description, load and active state
	refusal string
	asked   []string
}

// serve speaks to one client after the other, until the listener is closed.
func (m *manager) serve(lis net.Listener) {
	for {
		conn, err := lis.Accept()
		if err != nil {
			return
		}
		m.talk(conn)
		conn.Close()
	}
}

func (m *manager) talk(conn net.Conn) {
	in := bufio.NewReader(conn)
	for _, answer := range []string{"OK 1234deadbeef\r\n", ""} {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
	b := bus{conn: conn, in: in}
	for {
		var head [16]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		size := (binary.LittleEndian.Uint32(head[12:])+7)&^7 + binary.LittleEndian.Uint32(head[4:])
		rest := make([]byte, size)
		if _, err := io.ReadFull(in, rest); err != nil {
			return
		}
		serial := binary.LittleEndian.Uint32(head[8:])
		// A signal stands before every answer, as the bus sends them at any time, and the
		// answer to something else.
		out := append(m.message(4, 0, "", nil), m.message(messageReturn, serial+1000, "", nil)...)
		switch {
		case bytes.Contains(rest, []byte("Hello")):
			out = append(out, m.message(messageReturn, serial, "", m.text(nil, ":1.7"))...)
		case m.refusal != "":
			out = append(out, m.message(messageError, serial, m.refusal, m.text(nil, "no"))...)
		default:
			m.asked = append(m.asked, string(rest))
			out = append(out, m.message(messageReturn, serial, "", m.list(bytes.Contains(rest, []byte("failed"))))...)
		}
		if _, err := b.conn.Write(out); err != nil {
			return
		}
	}
}

func (m *manager) text(b []byte, s string) []byte {
	return append(append(m.order.AppendUint32(pad(b, 4), uint32(len(s))), s...), 0)
}

func (m *manager) list(failed bool) []byte {
	out := make([]byte, 8)
	for _, u := range m.units {
		if failed && u[3] != "failed" {
			continue
		}
		out = pad(out, 8)
		for _, s := range []string{u[0], u[1], u[2], u[3], "sub", "", "/unit"} {
			out = m.text(out, s)
		}
		out = m.text(m.text(m.order.AppendUint32(pad(out, 4), 0), ""), "/")
	}
	m.order.PutUint32(out, uint32(len(out)-8))
	return out
}

func (m *manager) message(kind byte, serial uint32, refusal string, body []byte) []byte {
	mark := byte('l')
	if m.order.String() == binary.BigEndian.String() {
		mark = 'B'
	}
	out := m.order.AppendUint32([]byte{mark, kind, 0, 1}, uint32(len(body)))
	out = append(m.order.AppendUint32(out, 99), 0, 0, 0, 0)
	out = append(out, fieldSignature, 1, 'g', 0, 1, 's', 0)
	if refusal != "" {
		out = m.text(append(pad(out, 8), fieldError, 1, 's', 0), refusal)
	}
	if serial > 0 {
		out = m.order.AppendUint32(append(pad(out, 8), fieldReply, 1, 'u', 0), serial)
	}
	m.order.PutUint32(out[12:], uint32(len(out)-16))
	return append(pad(out, 8), body...)
}

func (m *manager) set(t *testing.T, include string) *Set {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); m.serve(lis) }()
	cfg := only("systemd")
	cfg.Systemd.Include = include
	var made *systemd
	s := newSet(t, cfg, func(st *settings) {
		st.host.bus = path
		st.list = []definition{{"systemd", func(h host) (collector, error) {
			c, err := newSystemd(h)
			made = c.(*systemd)
			return c, err
		}}}
	})
	t.Cleanup(func() {
		lis.Close()
		if made.bus != nil {
			made.bus.conn.Close()
		}
		<-done
	})
	return s
}

func units() [][4]string {
	return [][4]string{
		{"ssh.service", "OpenBSD Secure Shell server", "loaded", "active"},
		{"broken.service", "Broken", "loaded", "failed"},
		{"gone.service", "gone.service", "not-found", "inactive"},
		{"nginx.service", "", "loaded", "reloading"},
		{"late.timer", "Late", "loaded", "inactive"},
	}
}

func TestUnitsThatFailedAreNamed(t *testing.T) {
	m := &manager{order: binary.LittleEndian, units: units()}
	s := m.set(t, "")
	for range 2 {
		wantValues(t, byName(t, collect(t, s)), map[string]float64{
			`node_systemd_units{state="failed"}`:                            1,
			`node_systemd_unit_state{name="broken.service",state="failed"}`: 1,
			`node_systemd_unit_state{name="broken.service",state="active"}`: sentinel.Absent(),
			`node_systemd_unit_state{name="ssh.service",state="active"}`:    sentinel.Absent(),
			`node_scrape_collector_success{collector="systemd"}`:            1,
			`node_systemd_units{state="active"}`:                            sentinel.Absent(),
		})
	}
	if len(m.asked) != 2 || !strings.Contains(m.asked[0], "ListUnitsFiltered") {
		t.Errorf("asked %q", m.asked)
	}
}

func TestSelectedUnits(t *testing.T) {
	m := &manager{order: binary.BigEndian, units: units()}
	s := m.set(t, `^(ssh|gone|nginx)\.service$`)
	wantValues(t, byName(t, collect(t, s)), map[string]float64{
		`node_systemd_units{state="failed"}`:                            1,
		`node_systemd_units{state="active"}`:                            2,
		`node_systemd_units{state="inactive"}`:                          2,
		`node_systemd_unit_state{name="ssh.service",state="active"}`:    1,
		`node_systemd_unit_state{name="ssh.service",state="failed"}`:    0,
		`node_systemd_unit_state{name="nginx.service",state="active"}`:  1,
		`node_systemd_unit_state{name="gone.service",state="inactive"}`: sentinel.Absent(),
		`node_systemd_unit_state{name="broken.service",state="failed"}`: sentinel.Absent(),
	})
	m.units[0][3] = "failed"
	wantValues(t, byName(t, collect(t, s)), map[string]float64{
		`node_systemd_unit_state{name="ssh.service",state="active"}`: 0,
		`node_systemd_unit_state{name="ssh.service",state="failed"}`: 1,
	})
}

func TestABusWithoutSystemdIsNoFailure(t *testing.T) {
	m := &manager{order: binary.LittleEndian, refusal: "org.freedesktop.DBus.Error.ServiceUnknown"}
	wantValues(t, byName(t, collect(t, m.set(t, ""))), map[string]float64{`node_scrape_collector_success{collector="systemd"}`: 1})
	m = &manager{order: binary.LittleEndian, refusal: "org.freedesktop.DBus.Error.AccessDenied"}
	wantValues(t, byName(t, collect(t, m.set(t, ""))), map[string]float64{`node_scrape_collector_success{collector="systemd"}`: 0})
}

// TestARealBus speaks to dbus-daemon, which knows who is there and who is not.
func TestARealBus(t *testing.T) {
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "bus")
	cmd := exec.CommandContext(t.Context(), daemon, "--session", "--nofork", "--print-address", "--address=unix:path="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Skipf("dbus-daemon does not run here: %v", err)
	}
	b, err := dialBus(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.conn.Close()
	answer, err := b.call(t.Context(), busName, busPath, busName, "ListNames")
	if err != nil {
		t.Fatal(err)
	}
	answer.uint32()
	if got := string(answer.text()); got != busName {
		t.Errorf("the first name is %q", got)
	}
	_, err = b.call(t.Context(), "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "ListUnitsFiltered", []string{"failed"})
	var refused busError
	if !errors.As(err, &refused) || !strings.HasSuffix(string(refused), "NameHasNoOwner") && !strings.HasSuffix(string(refused), "ServiceUnknown") {
		t.Errorf("a bus without systemd says %v", err)
	}
	// The connection goes on after a refusal.
	if _, err := b.call(t.Context(), busName, busPath, busName, "GetId"); err != nil {
		t.Error(err)
	}
}

// TestABusThatVanishes is tried anew.
func TestABusThatVanishes(t *testing.T) {
	m := &manager{order: binary.LittleEndian, units: units()}
	s := m.set(t, "")
	collect(t, s)
	c := s.groups[0].slots[0].col.(*systemd)
	c.bus.conn.Close()
	wantValues(t, byName(t, collect(t, s)), map[string]float64{`node_scrape_collector_success{collector="systemd"}`: 0})
	wantValues(t, byName(t, collect(t, s)), map[string]float64{
		`node_scrape_collector_success{collector="systemd"}`: 1, `node_systemd_units{state="failed"}`: 1})
}

// A message that says it is huge is refused before there is room for it.
func TestAHugeMessageIsRefused(t *testing.T) {
	for _, head := range [][]byte{
		{'l', 2, 0, 1, 0, 0, 0, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0},
		{'l', 2, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0xf9, 0xff, 0xff, 0xff},
	} {
		b := bus{in: bufio.NewReader(bytes.NewReader(head))}
		if _, _, _, _, err := b.receive(); err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || cap(b.msg) > 0 {
			t.Errorf("% x: %v, with room for %d bytes", head, err, cap(b.msg))
		}
	}
}

// FuzzBus feeds any bytes as what the bus sends.
func FuzzBus(f *testing.F) {
	for _, m := range []*manager{{order: binary.LittleEndian, units: units()}, {order: binary.BigEndian, units: units()}} {
		f.Add(m.message(messageReturn, 1, "", m.list(false)))
		f.Add(m.message(messageError, 1, "org.example.No", m.text(nil, "no")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := bus{in: bufio.NewReader(bytes.NewReader(data))}
		for {
			_, _, _, answer, err := b.receive()
			if err != nil {
				return
			}
			_ = eachUnit(answer, func(name, load, active []byte) {
				if len(name)+len(load)+len(active) > len(data) {
					t.Errorf("%d bytes of a unit in a message of %d", len(name)+len(load)+len(active), len(data))
				}
			})
		}
	})
}

// A sensor that is missing is said once, and once again when it is back.
func TestWhatIsMissingIsLoggedOnce(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	cfg := DefaultConfig()
	s, err := New(cfg, slog.New(slog.NewTextHandler(&out, nil)), WithRoots(dir+"/proc", dir+"/sys"), func(st *settings) { st.host.bus = dir + "/none" })
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for range 3 {
		if _, err := s.Collect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	first := out.String()
	for _, quiet := range []string{"hwmon", "thermal", "cpufreq", "conntrack", "pressure", "cgroup", "containers", "systemd", "agent"} {
		if strings.Contains(first, "collector="+quiet+" ") {
			t.Errorf("a host without %s is said to fail:\n%s", quiet, first)
		}
	}
	if n := strings.Count(first, "collector=memory "); n != 1 {
		t.Errorf("%d lines about one missing file in three cycles", n)
	}
	write(t, dir, "proc/meminfo", "MemTotal: 100 kB\nMemFree: 50 kB\n")
	for range 3 {
		if _, err := s.Collect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if more := strings.TrimPrefix(out.String(), first); strings.Count(more, "\n") != 1 || !strings.Contains(more, "works again") {
		t.Errorf("after one file is back the log says\n%s", more)
	}
}
