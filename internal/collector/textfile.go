package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sentinelgo/sentinel/internal/exposition"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	maxTextfiles = 200     // files of a folder
	maxTextnames = 10_000  // names in it
	maxTextBytes = 1 << 20 // of one file
)

// textfile reads the files *.prom of a folder. A file counts as a whole or not at
// all, and one that does not count harms no other.
type textfile struct {
	dir  string
	feed feed
	key  []byte
}

func newTextfile(t TextfileConfig, lim sentinel.Limits) *textfile {
	return &textfile{dir: t.Directory, feed: newFeed(lim, "job", textfileJob)}
}

func (t *textfile) collect(ctx context.Context, p *page) error {
	t.feed.begin()
	t.feed.say(p)
	failed, known := p.row([]byte("\x00"))
	if !known {
		failed = p.define("\x00", []column{gauge("node_textfile_scrape_error", "")})
	}
	names, err := t.names()
	var all []error
	if err != nil {
		all = append(all, err)
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return fmt.Errorf("read %s: %w", t.dir, ctx.Err())
		}
		if err := t.file(p, filepath.Join(t.dir, name)); err != nil {
			all = append(all, fmt.Errorf("%.120q: %w", name, err))
		}
	}
	t.feed.say(p)
	p.set(failed[0], float64(min(len(all), 1)))
	if len(all) > maxTold {
		all = append(all[:maxTold], sentinel.Errorf(sentinel.Invalid, "and %d more", len(all)-maxTold))
	}
	return errors.Join(all...)
}

// maxTold is how many files an error names.
const maxTold = 3

// names returns the files to read, in order, so that of a series that two of them
// have always the same one counts.
func (t *textfile) names() ([]string, error) {
	dir, err := os.Open(t.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxTextnames + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(names) > maxTextnames {
		return nil, sentinel.Errorf(sentinel.Invalid, "the folder holds more than %d names", maxTextnames)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".prom") })
	slices.Sort(names)
	if len(names) > maxTextfiles {
		return names[:maxTextfiles], sentinel.Errorf(sentinel.Invalid, "there are %d files, %d are read", len(names), maxTextfiles)
	}
	return names, nil
}

func (t *textfile) file(p *page, path string) error {
	f, err := openRegular(path)
	if err != nil {
		return err
	}
	defer f.Close()
	about, err := f.Stat()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTextBytes+1))
	if err != nil {
		return err
	}
	lim := exposition.DefaultLimits()
	lim.Bytes = maxTextBytes
	check := exposition.NewParser(bytes.NewReader(text), false, lim)
	for err == nil {
		_, err = check.Next()
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	t.key = append(append(t.key[:0], 0), path...)
	row, known := p.row(t.key)
	if !known {
		row = p.define(string(t.key), []column{gauge("node_textfile_mtime_seconds", "seconds")}, "file", path)
	}
	p.set(row[0], float64(about.ModTime().UnixMilli())/1000)
	return t.feed.read(p, exposition.NewParser(bytes.NewReader(text), false, lim))
}

// openRegular opens a file for reading where it is a regular one, or leads to one. It
// never waits for what stands at the other end of a pipe or a line.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openAtOnce, 0)
	if err != nil {
		return nil, err
	}
	about, err := f.Stat()
	if err == nil && !about.Mode().IsRegular() {
		err = sentinel.Errorf(sentinel.Invalid, "%s: is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
