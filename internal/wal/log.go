// Package wal keeps the agent's records on disk until the service has stored
// them. A log folder holds generations, each a folder with a log of its own
// under a fresh random epoch; a generation is written by one process, sealed,
// read, and deleted whole. FORMAT.md describes what is on disk and how it is
// recovered.
package wal

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/filelock"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Entry is what a caller appends. Time is kept in milliseconds. Layout is zero
// where the data needs none.
type Entry struct {
	Kind   Kind
	Time   time.Time
	Layout sentinel.LayoutHash
	Data   []byte
}

// Position names a record for ever: no two contents ever share one.
type Position struct {
	Epoch sentinel.Epoch
	Seq   uint64
}

// Record is an entry that was read back.
type Record struct {
	Position
	Entry
}

// Log is a log that is open for writing. All methods may be called at any time
// by any goroutine.
type Log struct {
	dir  string
	cfg  Config
	log  *slog.Logger
	now  func() time.Time
	up   func() time.Duration // since Open, whatever happens to the host's clock
	disk disk
	lock *os.File

	queueMu sync.Mutex
	queue   []*request
	leading bool // somebody is committing, and will take what is queued
	crowd   bool // the last group had more than one request

	// commitMu is held by whoever changes what is on disk. It is taken before
	// mu, and never while a reader's own lock is held.
	commitMu     sync.Mutex
	active       *writer // nil before the first append and after a seal
	staging      []byte  // the last writer's buffer, for the next one
	ordinal      uint64  // the highest one in use
	pendingSeals []seal  // ends that no durable frame names yet
	brake        brake

	mu      sync.Mutex // guards what follows and what generation says
	gens    []*generation
	debts   []debt
	trash   []string // folders to remove
	changed chan struct{}
	closed  bool
	stats   Stats
}

// options are what tests replace.
type options struct {
	now  func() time.Time
	up   func() time.Duration // where missing, what now says
	hook func(op, path string, run func() error) error
}

// Open opens the log in dir for writing and makes the folder where it is
// missing. It takes the folder's lock, lists folders and reads no record, so it
// is quick at any size. It appends nothing: the first Append starts a fresh
// generation. Nothing that lies in the folder makes Open fail; what is not the
// log's own is left alone and counted in Stats.Foreign. log may be nil.
//
// The error has code Conflict where another process holds the lock and Invalid
// where cfg is not valid; others are those of the file system. The caller must
// call Close.
func Open(dir string, cfg Config, log *slog.Logger) (*Log, error) {
	return open(dir, cfg, log, options{now: time.Now})
}

func open(dir string, cfg Config, log *slog.Logger, opt options) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if start := opt.now(); opt.up == nil {
		opt.up = func() time.Duration { return opt.now().Sub(start) } // monotonic where now is
	}
	l := &Log{dir: dir, cfg: cfg, log: log, now: opt.now, up: opt.up, disk: disk{hook: opt.hook}, changed: make(chan struct{})}
	l.stats.Dropped = map[sentinel.LossReason]uint64{}
	l.stats.Refused = map[sentinel.LossReason]uint64{}
	if err := l.disk.mkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if l.lock, err = takeLock(filepath.Join(dir, lockName)); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := l.load(); err != nil {
		l.lock.Close()
		return nil, fmt.Errorf("open log: %w", err)
	}
	return l, nil
}

// takeLock opens and locks the lock file. Something else under its name is moved
// aside, so that it cannot keep the agent from starting.
func takeLock(path string) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		if err := os.Rename(path, path+"-"+sentinel.RandomName(5)); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := filelock.Lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// load takes over what earlier processes left.
func (l *Log) load() error {
	f, err := scanFolder(l.disk, l.dir)
	if err != nil {
		return err
	}
	l.ordinal = f.ordinal
	l.stats.Foreign = len(f.foreign)
	if len(f.foreign) > 0 {
		l.log.Warn("the log folder holds what is not the log's; it is left alone", "dir", l.dir, "names", f.foreign[:min(10, len(f.foreign))])
	}
	l.trash = f.trash
	defer l.emptyTrash()
	for _, path := range f.lost {
		l.debts = append(l.debts, l.lostFolder(path))
	}
	l.gens = f.gens
	setAges(l.gens, l.now(), l.cfg.MaxAge)
	for _, g := range slices.Clone(f.gens) {
		if g.bytes == 0 && g.acked == 0 || g.isSettled() { // nothing was ever in it, or is needed from it
			if err := l.free(g); err != nil {
				l.log.Warn("free a generation that nobody needs", "epoch", g.epoch, "error", err)
			}
		}
	}
	return nil
}

// Generations returns what the log holds, oldest first. A generation of which
// nothing is acknowledged yet is not among them.
func (l *Log) Generations() []Generation {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Generation, 0, len(l.gens))
	for _, g := range l.gens {
		if !g.own || g.acked > 0 {
			out = append(out, g.public())
		}
	}
	return out
}

// Changed returns a channel that is closed when something has been appended, a
// generation has been sealed or the log is closed. To miss nothing, get the
// channel first, then read up to io.EOF, then wait.
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// wake tells who waits on Changed. mu is held.
func (l *Log) wake() {
	if !l.closed {
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// Rotate seals the current generation; the next append starts another one under
// a new epoch. It is what a forked epoch asks for.
func (l *Log) Rotate() error {
	defer l.emptyTrash()
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	if l.isClosed() {
		return errClosed("rotate")
	}
	l.seal()
	return nil
}

// Close seals the current generation, ends all readers and gives the lock back.
// What was acknowledged is durable already, so its error, about the lock's file,
// loses nothing. Close may be called again.
func (l *Log) Close() error {
	defer l.emptyTrash()
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	if l.isClosed() {
		return nil
	}
	l.seal()
	l.mu.Lock()
	l.closed = true
	close(l.changed)
	gens := slices.Clone(l.gens)
	l.mu.Unlock()
	for _, g := range gens {
		l.closeReaders(g)
		if l.isDirty(g) {
			if err := l.saveMark(g, false); err != nil {
				l.log.Warn("save what is settled", "epoch", g.epoch, "error", err)
			}
		}
	}
	return l.lock.Close()
}

func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

func (l *Log) isDirty(g *generation) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return g.markDirty
}

func errClosed(what string) error {
	return sentinel.Errorf(sentinel.Unavailable, "%s: the log is closed", what)
}

// find returns the generation with that epoch, or nil. mu is held.
func (l *Log) find(epoch sentinel.Epoch) *generation {
	for _, g := range l.gens {
		if g.epoch == epoch {
			return g
		}
	}
	return nil
}
