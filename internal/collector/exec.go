package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/exposition"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// command runs a program, whose output is metrics. Its output counts as a whole or
// not at all.
type command struct {
	argv      []string
	maxOutput int64
	feed      feed
}

const (
	// maxStderr is how much of what a command complains of is kept, for the log.
	maxStderr = 300
	// outputDelay is how long the output may stay open once the command has ended: what
	// it left behind may hold it.
	outputDelay = 100 * time.Millisecond
)

func newCommand(e ExecConfig, lim sentinel.Limits) *command {
	return &command{argv: e.Command, maxOutput: e.MaxOutput, feed: newFeed(lim, "job", e.Name)}
}

func (c *command) collect(ctx context.Context, p *page) error {
	c.feed.begin()
	c.feed.say(p)
	out, err := c.run(ctx)
	if err == nil {
		lim := exposition.DefaultLimits()
		lim.Bytes = c.maxOutput
		err = c.feed.read(p, exposition.NewParser(bytes.NewReader(out), false, lim))
	}
	if err != nil {
		p.discard()
		c.feed.begin()
	}
	c.feed.say(p)
	return err
}

// run returns what the command wrote to stdout. When it returns, the command and all
// that is left of its process group are killed.
func (c *command) run(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stdout, stderr := &capture{most: c.maxOutput, full: cancel}, &capture{most: maxStderr}
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Env, cmd.Dir = environment(), rootDir
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = outputDelay
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	err := cmd.Wait()
	// What the command left behind. While any of it lives its group's number is not
	// given to another.
	_ = killGroup(cmd)
	switch {
	case stdout.over:
		return nil, sentinel.Errorf(sentinel.Invalid, "the command wrote more than %d bytes", c.maxOutput)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the command did not end in time and was killed: %w", ctx.Err())
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // it ended well; something that it left behind held its output
	case err != nil && stderr.kept.Len() > 0:
		err = fmt.Errorf("the command failed: %w: %s", err, strings.ToValidUTF8(strings.TrimSpace(stderr.kept.String()), "?"))
	case err != nil:
		err = fmt.Errorf("the command failed: %w", err)
	}
	return stdout.kept.Bytes(), err
}

// capture keeps the first bytes that are written to it. The buffer is not embedded:
// its ReadFrom would take everything.
type capture struct {
	kept bytes.Buffer
	most int64
	full func() // called when there is more; nil where the rest is passed over
	over bool
}

func (c *capture) Write(b []byte) (int, error) {
	n := len(b)
	if left := c.most - int64(c.kept.Len()); int64(n) > left {
		b, c.over = b[:left], true
		if c.full != nil {
			c.full()
			return 0, errTooMuch
		}
	}
	c.kept.Write(b)
	return n, nil
}

var errTooMuch = errors.New("there is more than may be")
