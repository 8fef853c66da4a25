package wal

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Inspection is a look at a log folder that changes nothing in it: it takes no
// lock, makes no file and may be used beside a running writer. It shows the
// folder as it was when Inspect was called; what the writer frees meanwhile is
// missing from what is read later.
type Inspection struct {
	Generations []Generation    // oldest first; the newest may be one that is being written
	Unfinished  []sentinel.Loss // drops that were interrupted: the next Open declares them
	Foreign     []string        // names that are not the log's

	gens []*generation
	disk disk
}

// Inspect lists the log in dir. The error is that of the file system: a missing
// or unreadable folder.
func Inspect(dir string) (*Inspection, error) {
	return inspect(dir, disk{})
}

func inspect(dir string, d disk) (*Inspection, error) {
	f, err := scanFolder(d, dir)
	if err != nil {
		return nil, fmt.Errorf("inspect log: %w", err)
	}
	in := &Inspection{Foreign: f.foreign, gens: f.gens, disk: d}
	for i, g := range f.gens {
		g.sealed = g.endKnown || i < len(f.gens)-1
		in.Generations = append(in.Generations, g.public())
	}
	for _, path := range f.lost {
		if _, loss, ok := parseLostName(filepath.Base(path)); ok {
			in.Unfinished = append(in.Unfinished, loss)
		}
	}
	return in, nil
}

func (in *Inspection) find(epoch sentinel.Epoch) (int, *generation) {
	for i, g := range in.gens {
		if g.epoch == epoch {
			return i, g
		}
	}
	return -1, nil
}

// end returns where a generation ends, where something says so.
func (in *Inspection) end(i int) (uint64, bool) {
	g := in.gens[i]
	if g.endKnown {
		return g.end, true
	}
	return sealedBy(in.disk, in.gens[i+1:], g.epoch)
}

// Records returns the readable records of an epoch in ascending order, from the
// given one on. A record's Data holds until the next one. The error, which ends
// the sequence, has code NotFound for an epoch that is not there; damage is
// stepped over, Verify reports it.
func (in *Inspection) Records(epoch sentinel.Epoch, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		i, g := in.find(epoch)
		if g == nil {
			yield(Record{}, sentinel.Errorf(sentinel.NotFound, "inspect log: no generation has the epoch %s", epoch))
			return
		}
		w, err := walkFolder(in.disk, g.dir, epoch)
		if err != nil {
			yield(Record{}, fmt.Errorf("inspect log: %w", err))
			return
		}
		end, bound := in.end(i)
		next := max(1, from)
		err = w.hasty().each(func(f frame, _ place) bool {
			if f.seq < next {
				return true
			}
			if bound && f.seq > end {
				return false
			}
			next = f.seq + 1
			return yield(Record{Position{epoch, f.seq}, f.entry()}, nil)
		})
		if err != nil {
			yield(Record{}, fmt.Errorf("inspect log: %w", err))
		}
	}
}

// Layout returns the encoding of a layout that records of an epoch name, from
// that generation or, where its copy is damaged, from another one.
func (in *Inspection) Layout(epoch sentinel.Epoch, h sentinel.LayoutHash) ([]byte, bool) {
	own, _ := in.find(epoch)
	order := append([]*generation{}, in.gens...)
	if own > 0 {
		order[0], order[own] = order[own], order[0]
	}
	for _, g := range order {
		if w, err := walkFolder(in.disk, g.dir, g.epoch); err == nil {
			if b, ok := w.hasty().layout(h); ok {
				return b, true
			}
		}
	}
	return nil, false
}

// Check is what Verify found in one generation.
type Check struct {
	Generation
	Records        uint64
	Layouts        int
	First, Last    uint64    // of the readable records; 0 where there is none
	Oldest, Newest time.Time // of the readable records
	Missing        []sentinel.SeqRange
	Damage         []Damage
}

// Damage is a run of bytes that is no frame. At the end of the newest generation
// it may be a record that is just being written, at the end of any other the
// trace of a crash; neither was ever acknowledged.
type Damage struct {
	File   string
	Offset int64
	Bytes  int64
	What   string
}

// Verify reads every byte of the log and yields what it found, generation by
// generation, oldest first.
func (in *Inspection) Verify() iter.Seq[Check] {
	return func(yield func(Check) bool) {
		for i := range in.gens {
			if !yield(in.check(i)) {
				return
			}
		}
	}
}

func (in *Inspection) check(i int) Check {
	g := in.gens[i]
	c := Check{Generation: in.Generations[i]}
	end, bound := in.end(i)
	w, err := walkFolder(in.disk, g.dir, g.epoch)
	if err != nil {
		c.Damage = append(c.Damage, Damage{File: g.dir, What: err.Error()})
		return c
	}
	past := false // behind the end nothing counts
	w.damage = func(at place, length int64, what string) {
		if !past && (!bound || c.Last < end) {
			c.Damage = append(c.Damage, Damage{filepath.Join(g.dir, segmentName(at.segment)), at.off, length, what})
		}
	}
	next := uint64(1)
	w.hasty()
	defer w.close()
	for !past {
		f, _, err := w.next()
		if errors.Is(err, io.EOF) {
			break
		}
		switch {
		case err != nil:
			c.Damage = append(c.Damage, Damage{File: g.dir, What: err.Error()})
			return c
		case f.kind == kindDefinition:
			c.Layouts++
			continue
		case f.seq < next:
			continue
		case bound && f.seq > end:
			past = true
			continue
		}
		if f.seq > next {
			c.Missing = append(c.Missing, sentinel.SeqRange{First: next, Last: f.seq - 1})
		}
		next = f.seq + 1
		c.Records++
		if t := time.UnixMilli(f.millis); c.Records == 1 {
			c.First, c.Oldest = f.seq, t
			c.Newest = t
		} else if t.After(c.Newest) {
			c.Newest = t
		}
		c.Last = f.seq
	}
	if end = max(end, g.acked); next <= end {
		c.Missing = append(c.Missing, sentinel.SeqRange{First: next, Last: end})
	}
	return c
}
