package collector

import (
	"context"
	"errors"
	"strings"
)

// Self sets the values of what a process says about itself. A name that ends in
// _total is a counter; labels are pairs of name and value. The names begin with
// sentinel_agent_.
type Self func(set func(name string, v float64, labels ...string))

// WithSelf adds what the process says about itself to the samples. It is asked once
// per cycle, by one goroutine at a time, and should answer at once.
func WithSelf(ask Self) Option {
	return func(s *settings) { s.host.self = ask }
}

// self says what the agent takes of its host, and what the process itself adds.
type self struct {
	usage collector // what this system knows of a process
	ask   Self
	key   []byte
}

func newSelf(h host) (collector, error) { return &self{usage: newUsage(h), ask: h.self}, nil }

func (c *self) collect(ctx context.Context, p *page) error {
	err := c.usage.collect(ctx, p)
	if c.ask != nil {
		c.ask(func(name string, v float64, labels ...string) { c.set(p, name, v, labels) })
		if errors.Is(err, errNothing) {
			err = nil
		}
	}
	return err
}

func (c *self) set(p *page, name string, v float64, labels []string) {
	c.key = append(c.key[:0], name...)
	for _, l := range labels {
		c.key = append(append(c.key, 0), l...)
	}
	row, known := p.row(c.key)
	if !known {
		col := gauge(name, "")
		if strings.HasSuffix(name, "_total") {
			col = counter(name, "")
		}
		col.unit = unitOf(name)
		row = p.define(string(c.key), []column{col}, append([]string(nil), labels...)...)
	}
	p.set(row[0], v)
}
