package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// tcpstat counts the TCP sockets by state, from /proc/net/tcp and tcp6. The kernel
// goes through its whole table of sockets for that, 3 ms on a host with 24 GB even
// where it is empty, which is why the collector is off unless it is switched on
// (sockstat says how many there are for a hundredth of it). Where there are more
// than maxSockets it does not count at all: that would take a second of CPU time
// for every million.
type tcpstat struct {
	proc string
	buf  []byte
	file
}

const maxSockets = 50_000

// tcpStates are the states by number, from the kernel's include/net/tcp_states.h,
// under node_exporter's names. Those that wait for their handshake (12) are counted
// as syn_recv, as ss(8) does.
var tcpStates = [...]string{"", "established", "syn_sent", "syn_recv", "fin_wait1", "fin_wait2",
	"time_wait", "close", "close_wait", "last_ack", "listen", "closing"}

const tcpNewSynRecv = 12

func newTCPStat(h host) (collector, error) { return &tcpstat{proc: h.proc}, nil }

func (c *tcpstat) collect(ctx context.Context, p *page) error {
	sockets, err := c.sockets()
	if err != nil {
		return err
	}
	if sockets > maxSockets {
		return fmt.Errorf("%d sockets are more than are counted one by one (%d)", sockets, maxSockets)
	}
	var counts [len(tcpStates)]int
	if err := c.count(ctx, c.proc+"/net/tcp", &counts); err != nil {
		return err
	}
	if err := c.count(ctx, c.proc+"/net/tcp6", &counts); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for i, name := range tcpStates[1:] {
		row, known := p.row([]byte(name))
		if !known {
			row = p.define(name, []column{gauge("node_tcp_connection_states", "")}, "state", name)
		}
		p.set(row[0], float64(counts[1+i]))
	}
	return nil
}

// sockets returns how many TCP sockets there are in all, which is cheap to ask.
func (c *tcpstat) sockets() (n uint64, err error) {
	data, err := c.read(c.proc + "/net/sockstat")
	if err != nil {
		return 0, err
	}
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		rest, is := bytes.CutPrefix(line, []byte("TCP:"))
		for is {
			var word []byte
			if word, rest = cutField(rest); len(word) == 0 {
				break
			}
			v, ok, more := cutUint(rest)
			if rest = more; ok && (string(word) == "alloc" || string(word) == "tw") {
				n += v
			}
		}
	}
	return n, nil
}

// count adds the sockets of one file, which it reads in parts: a line has 150 bytes.
func (c *tcpstat) count(ctx context.Context, path string, counts *[len(tcpStates)]int) error {
	fd, err := retry(func() (int, error) { return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) })
	if err != nil {
		return readError(path, err)
	}
	defer syscall.Close(fd)
	if c.buf == nil {
		c.buf = make([]byte, 16<<10)
	}
	for n := 0; ctx.Err() == nil; {
		got, err := retry(func() (int, error) { return syscall.Read(fd, c.buf[n:]) })
		if err != nil {
			return readError(path, err)
		}
		if got == 0 {
			return nil
		}
		rest := countTCP(c.buf[:n+got], counts)
		if n = copy(c.buf, rest); n == len(c.buf) {
			return fmt.Errorf("read %s: a line is longer than %d bytes", path, n)
		}
	}
	return fmt.Errorf("read %s: %w", path, ctx.Err())
}

// countTCP counts the whole lines in b and returns what follows the last.
func countTCP(b []byte, counts *[len(tcpStates)]int) (rest []byte) {
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return b
		}
		line := b[:end]
		b = b[end+1:]
		for range 3 { // number, local and remote address
			_, line = cutField(line)
		}
		word, _ := cutField(line)
		if len(word) != 2 {
			continue
		}
		state, ok := hexByte(word)
		if state == tcpNewSynRecv {
			state = 3
		}
		if ok && state > 0 && int(state) < len(counts) {
			counts[state]++
		}
	}
}

// hexByte reads two hexadecimal digits.
func hexByte(b []byte) (v byte, ok bool) {
	for _, c := range b[:2] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v<<4 | c
	}
	return v, true
}
