package wal

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// The names in a log folder; FORMAT.md has the table.
const (
	lockName    = "lock"
	genPrefix   = "gen-"
	lostPrefix  = "lost-"
	trashPrefix = "trash-"
	markName    = "mark"
	tempSuffix  = ".tmp"
)

// Generation describes one folder of records under one epoch.
type Generation struct {
	Ordinal  uint64 // gives the order of generations
	Epoch    sentinel.Epoch
	Sealed   bool          // nothing will be appended any more
	Appended uint64        // the last sequence number there is; 0 where it is not known before the records are read
	Bytes    int64         // on disk
	Modified time.Time     // when the last record was appended
	Settled  sentinel.Mark // what the service has settled, as far as is known
}

// generation is a generation folder. What is not fixed is guarded by Log.mu.
type generation struct {
	ordinal uint64
	epoch   sentinel.Epoch
	dir     string
	own     bool // written by this process: extents below are exact

	bytes    int64
	modified time.Time
	created  time.Duration // own: of the first write, by Log.up
	last     time.Duration // of the last append, by Log.up; below 0 where another process wrote
	sealed   bool
	acked    uint64 // own: the last acknowledged record; else at least that many were

	// Own generations: all that is acknowledged, file by file. Bytes behind it
	// belong to an append that is under way or has failed.
	extents []extent

	end      uint64 // the last record there is, where endKnown
	endKnown bool
	sealSave bool // end stands in the sidecar, durably

	settled ranges
	lost    ranges // declared by this process: not to be declared again
	seals   []seal // what this generation says about earlier ones; own only

	markDirty bool
	markSaved time.Time
	gone      bool
	readers   map[*Reader]struct{}
	damaged   map[place]struct{} // damage that is counted already
	oldest    time.Time          // time of the first record; zero while not known
}

// extent is one segment file and how far it may be read.
type extent struct {
	index uint64 // the file's name: the index of its first entry
	limit int64
}

// place is an offset in a segment file.
type place struct {
	segment uint64
	off     int64
}

func (g *generation) public() Generation {
	p := Generation{
		Ordinal: g.ordinal, Epoch: g.epoch, Sealed: g.sealed, Bytes: g.bytes, Modified: g.modified,
		Settled: sentinel.Mark{Epoch: g.epoch, Settled: slices.Clone(g.settled)},
	}
	switch {
	case g.endKnown:
		p.Appended = g.end
	case g.own:
		p.Appended = g.acked
	}
	return p
}

// isSettled reports whether nothing in a sealed generation is needed any more.
func (g *generation) isSettled() bool {
	return g.sealed && g.endKnown && g.end > 0 && g.settled.covers(g.end)
}

// unsettled returns what would be lost with a generation whose end is known.
func (g *generation) unsettled() ranges {
	var out ranges
	for _, r := range g.settled.missing(sentinel.SeqRange{First: 1, Last: g.end}) {
		out = append(out, g.lost.missing(r)...)
	}
	return out
}

func segmentName(index uint64) string { return fmt.Sprintf("%020d", index) }

func genName(ordinal uint64, epoch sentinel.Epoch) string {
	return fmt.Sprintf("%s%08d-%s", genPrefix, ordinal, epoch)
}

// parseGenName reads a name that genName wrote.
func parseGenName(name string) (ordinal uint64, epoch sentinel.Epoch, ok bool) {
	rest, ok := strings.CutPrefix(name, genPrefix)
	if !ok {
		return 0, 0, false
	}
	digits, hex, _ := strings.Cut(rest, "-")
	ordinal, err1 := strconv.ParseUint(digits, 10, 63)
	raw, err2 := strconv.ParseUint(hex, 16, 63)
	epoch = sentinel.Epoch(raw)
	return ordinal, epoch, err1 == nil && err2 == nil && raw != 0 && genName(ordinal, epoch) == name
}

// lostName names a generation that is being dropped. It says what is declared,
// so that a crash cannot make a drop silent.
func lostName(g *generation, reason sentinel.LossReason, span sentinel.SeqRange) string {
	return fmt.Sprintf("%s%08d-%s-%d-%d-%d", lostPrefix, g.ordinal, g.epoch, reason, span.First, span.Last)
}

// parseLostName reads a name that lostName wrote.
func parseLostName(name string) (ordinal uint64, loss sentinel.Loss, ok bool) {
	rest, ok := strings.CutPrefix(name, lostPrefix)
	part := strings.Split(rest, "-")
	if !ok || len(part) != 5 {
		return 0, loss, false
	}
	ordinal, loss.Epoch, ok = parseGenName(genPrefix + part[0] + "-" + part[1])
	reason, err1 := strconv.ParseUint(part[2], 10, 8)
	first, err2 := strconv.ParseUint(part[3], 10, 63)
	last, err3 := strconv.ParseUint(part[4], 10, 63)
	loss.Reason = sentinel.LossReason(reason)
	loss.Range = sentinel.SeqRange{First: first, Last: last}
	ok = ok && err1 == nil && err2 == nil && err3 == nil && loss.Reason.Valid() && first > 0 && first <= last && last <= maxSeq
	return ordinal, loss, ok
}

// segmentFile is one segment file as it stands in the folder.
type segmentFile struct {
	extent
	modified time.Time
}

// listSegments returns the segment files of a generation folder in order and
// the names that do not belong there.
func listSegments(d disk, dir string) (files []segmentFile, foreign []string, err error) {
	entries, err := d.readDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name := e.Name()
		index, err := strconv.ParseUint(name, 10, 63)
		if err != nil || index == 0 || segmentName(index) != name || !e.Type().IsRegular() {
			if name != markName && name != markName+tempSuffix {
				foreign = append(foreign, filepath.Join(filepath.Base(dir), name))
			}
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // removed since it was listed
		}
		files = append(files, segmentFile{extent{index, info.Size()}, info.ModTime()})
	}
	return files, foreign, nil
}

// folder is what a log folder holds, without a look into any record.
type folder struct {
	gens    []*generation // oldest first
	lost    []string      // drops that were not finished
	trash   []string      // generations that were not removed to the end
	foreign []string      // what does not belong here, left alone
	ordinal uint64        // the highest one in use
}

// scanFolder lists a log folder. Only an unreadable log folder is an error.
func scanFolder(d disk, dir string) (*folder, error) {
	entries, err := d.readDir(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{}
	epochs := map[sentinel.Epoch]bool{}
	for _, e := range entries {
		f.add(d, dir, e, epochs)
	}
	slices.SortFunc(f.gens, func(a, b *generation) int {
		if a.ordinal != b.ordinal {
			return int(min(1, max(-1, int64(a.ordinal)-int64(b.ordinal))))
		}
		return strings.Compare(a.dir, b.dir)
	})
	return f, nil
}

func (f *folder) add(d disk, dir string, e fs.DirEntry, epochs map[sentinel.Epoch]bool) {
	name := e.Name()
	path := filepath.Join(dir, name)
	if name == lockName && e.Type().IsRegular() {
		return
	}
	if ordinal, epoch, ok := parseGenName(name); ok && e.IsDir() && !epochs[epoch] {
		g := &generation{ordinal: ordinal, epoch: epoch, dir: path, sealed: true}
		files, foreign, err := listSegments(d, path)
		f.ordinal = max(f.ordinal, ordinal)
		f.foreign = append(f.foreign, foreign...)
		if err != nil && !os.IsNotExist(err) {
			f.foreign = append(f.foreign, name) // not readable by us: left alone
			return
		}
		if info, err := e.Info(); err == nil && len(files) == 0 {
			g.modified = info.ModTime()
		}
		for _, file := range files {
			g.bytes += file.limit
			if file.modified.After(g.modified) {
				g.modified = file.modified
			}
		}
		if m, ok := loadMark(d, g); ok {
			m.apply(g)
		}
		epochs[epoch] = true
		f.gens = append(f.gens, g)
		return
	}
	if ordinal, _, ok := parseLostName(name); ok && e.IsDir() {
		f.ordinal = max(f.ordinal, ordinal)
		f.lost = append(f.lost, path)
		return
	}
	if ordinal, _, ok := parseGenName(strings.TrimPrefix(name, trashPrefix)); ok && e.IsDir() && strings.HasPrefix(name, trashPrefix) {
		f.ordinal = max(f.ordinal, ordinal)
		f.trash = append(f.trash, path)
		return
	}
	f.foreign = append(f.foreign, name)
}
