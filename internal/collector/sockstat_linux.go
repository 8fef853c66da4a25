package collector

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
)

// sockstat reads how many sockets there are, from /proc/net/sockstat and, where the
// host speaks IPv6, sockstat6.
type sockstat struct {
	file
	paths [2]string
	page  float64 // bytes of a page of memory
	key   []byte
}

func newSockStat(h host) (collector, error) {
	return &sockstat{paths: [2]string{h.proc + "/net/sockstat", h.proc + "/net/sockstat6"}, page: float64(h.pageSize)}, nil
}

func (c *sockstat) collect(_ context.Context, p *page) error {
	if err := c.one(p, c.paths[0]); err != nil {
		return err
	}
	if err := c.one(p, c.paths[1]); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// one reads lines such as "TCP: inuse 4 mem 1": pairs of word and number.
func (c *sockstat) one(p *page, path string) error {
	data, err := c.read(path)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		proto, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		for {
			var word []byte
			if word, rest = cutField(rest); len(word) == 0 {
				break
			}
			v, ok, more := cutUint(rest)
			rest = more
			if ok {
				c.pair(p, proto, word, float64(v))
			}
		}
	}
	return nil
}

func (c *sockstat) pair(p *page, proto, word []byte, v float64) {
	c.key = append(append(append(c.key[:0], proto...), '_'), word...)
	row, known := p.row(c.key)
	if !known {
		name := "node_sockstat_" + string(c.key)
		cols := []column{gauge(name, "")}
		if string(word) == "mem" {
			cols = append(cols, gauge(name+"_bytes", "bytes"))
		}
		row = p.define(string(c.key), cols)
	}
	p.set(row[0], v)
	if len(row) > 1 {
		p.set(row[1], v*c.page)
	}
}
