package collector

import (
	"context"
	"fmt"
)

// filefd reads how many files are open, from /proc/sys/fs/file-nr.
type filefd struct {
	file
	path string
}

func newFileFD(h host) (collector, error) { return &filefd{path: h.proc + "/sys/fs/file-nr"}, nil }

func filefdColumns() []column {
	return []column{gauge("node_filefd_allocated", ""), gauge("node_filefd_maximum", "")}
}

func (c *filefd) collect(_ context.Context, p *page) error {
	row := p.fixed(filefdColumns)
	data, err := c.read(c.path)
	if err != nil {
		return err
	}
	allocated, ok1, rest := cutUint(data)
	_, _, rest = cutUint(rest) // free, always 0
	maximum, ok2, _ := cutUint(rest)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s does not hold three numbers", c.path)
	}
	p.set(row[0], float64(allocated))
	p.set(row[1], float64(maximum))
	return nil
}
