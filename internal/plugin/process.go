package plugin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Command is the hidden command of the agent's program that makes it the process of a
// plugin.
const Command = "plugin-host"

const (
	// killAfter is how long after its deadline a process is killed, which the system
	// has carried out by 100 ms after the deadline.
	killAfter = 10 * time.Millisecond
	// endPatience is how long a process has to end by itself where it has been told to.
	endPatience = 100 * time.Millisecond
	maxLastWord = 2 << 10 // bytes of what a process says in its misery
)

// selfPath is this program on Linux, whatever an update has put in its place.
const selfPath = "/proc/self/exe"

// process is a running plugin, or one that is looked at. It is for one goroutine,
// except close.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *os.File
	errs    *lastWords
	ended   chan struct{} // closed once it has, and is waited for
	confine io.Closer     // what the system bounds it with, where that is something open
	buf     []byte
	killed  atomic.Pointer[error] // why it was
}

// start starts program as the process of a plugin. It has done nothing yet: it waits
// for its order.
func start(program []string, memoryMiB uint64) (*process, error) {
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start plugin: %w", err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		inR.Close()
		inW.Close()
		return nil, fmt.Errorf("start plugin: %w", err)
	}
	p := &process{in: inW, out: outR, errs: &lastWords{}, ended: make(chan struct{})}
	p.cmd = exec.Command(program[0], program[1:]...) //nolint:noctx // it outlives whoever starts it, until close
	if program[0] == selfPath {
		p.cmd.Args[0] = os.Args[0] // what people see in lists of processes
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inR, outW, p.errs
	p.cmd.Env, p.cmd.Dir = childEnvironment(), os.TempDir()
	p.cmd.WaitDelay = endPatience
	detach(p.cmd)
	err = p.cmd.Start()
	inR.Close()
	outW.Close()
	if err == nil {
		if p.confine, err = confine(p.cmd.Process, memoryMiB); err != nil {
			_ = p.cmd.Process.Kill() // it has ended, or will
			_ = p.cmd.Wait()         // of which all is known
		}
	}
	if err != nil {
		inW.Close()
		outR.Close()
		return nil, fmt.Errorf("start plugin: %w", err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		if p.confine != nil {
			p.confine.Close()
		}
		close(p.ended)
	}()
	return p, nil
}

// ask writes a frame and reads the answer, for at most timeout and killAfter: then the
// process is killed. Where ctx ends it is killed at once.
func (p *process) ask(ctx context.Context, timeout time.Duration, kind byte, content []byte) (byte, []byte, error) {
	late := time.AfterFunc(timeout+killAfter, func() {
		p.kill(sentinel.Errorf(sentinel.Unavailable, "it did not answer within %s and was killed", timeout))
	})
	defer late.Stop()
	defer context.AfterFunc(ctx, func() { p.kill(ctx.Err()) })()
	err := WriteFrame(p.in, kind, content)
	var got byte
	if err == nil {
		got, p.buf, err = ReadFrame(p.out, p.buf)
	}
	if err == nil {
		return got, p.buf, nil
	}
	p.close()
	return 0, nil, p.fate(err)
}

// fate says why a process that does not answer any more has ended.
func (p *process) fate(err error) error {
	if why := p.killed.Load(); why != nil {
		return *why
	}
	word, _, _ := strings.Cut(p.errs.String(), "\n")
	if state := p.cmd.ProcessState; state != nil && !state.Success() {
		if word == "" && strings.Contains(state.String(), "killed") {
			word = "the system killed it for what it used"
		}
		return sentinel.Errorf(sentinel.Unavailable, "its process ended: %s: %.300s", state, cmp.Or(strings.ToValidUTF8(word, "?"), "without a word"))
	}
	return sentinel.Errorf(sentinel.Unavailable, "its process ended: %w", err)
}

// order has the process carry out an order.
func (p *process) order(ctx context.Context, timeout time.Duration, o Order) (r Ready, err error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return r, err
	}
	kind, answer, err := p.ask(ctx, timeout, frameOrder, raw)
	switch {
	case err != nil:
		return r, err
	case kind == frameFailed:
		var f failure
		if err = json.Unmarshal(answer, &f); err == nil {
			err = sentinel.Errorf(f.Code, "%.2000s", strings.ToValidUTF8(f.Text, "?"))
		}
	case kind == frameReady:
		if err = json.Unmarshal(answer, &r); err == nil {
			err = r.Manifest.Validate()
		}
	default:
		err = sentinel.Errorf(sentinel.Internal, "a plugin's process answers its order with %q", kind)
	}
	return r, err
}

// collect has the plugin collect once. The emission is the caller's until the next
// call. An error means that the process has ended, or has to: close it.
func (p *process) collect(ctx context.Context, timeout time.Duration) (a Answer, emission []byte, err error) {
	kind, raw, err := p.ask(ctx, timeout, frameCollect, nil)
	if err != nil {
		return a, nil, err
	}
	if kind != frameAnswer {
		return a, nil, sentinel.Errorf(sentinel.Internal, "a plugin's process answers %q", kind)
	}
	return DecodeAnswer(raw)
}

// alive reports whether the process runs.
func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) kill(why error) {
	p.killed.CompareAndSwap(nil, &why)
	p.end()
}

// end has the system end the process now: one that gives way to all others takes long to
// die where they keep the host busy.
func (p *process) end() {
	if p.alive() { // else its number may be another's by now
		hurry(p.cmd.Process.Pid)
	}
	_ = p.cmd.Process.Kill() // where it has ended already that is as well
}

// close ends the process and returns when it has ended. It may be called again.
func (p *process) close() {
	p.in.Close() // which a process that waits takes for the end
	select {
	case <-p.ended:
	case <-time.After(endPatience):
		p.end()
		<-p.ended
	}
	p.out.Close()
}

// lastWords keeps the beginning of what a process writes to stderr. Safe for
// concurrent use.
type lastWords struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.Write(b[:min(len(b), maxLastWord-l.kept.Len())])
	return len(b), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.String()
}

// wasKilled reports whether the process was killed for not answering.
func (p *process) wasKilled() bool {
	why := p.killed.Load()
	return why != nil && !errors.Is(*why, context.Canceled)
}
