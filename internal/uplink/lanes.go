package uplink

import (
	"bytes"
	"errors"
	"io"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wal"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const (
	groupCycles = 64       // of the backlog in one batch
	groupBytes  = 64 << 10 // of records in one batch of the backlog
)

// batch is a run of records on its way.
type batch struct {
	epoch   sentinel.Epoch
	seq     uint64
	count   int
	lane    sentinelpb.Lane
	codec   sentinelpb.Codec
	layout  sentinel.LayoutHash
	payload []byte
}

// lanes yields the log's unsettled records as batches. The live lane holds what
// is appended after the session began, the backlog what was there before.
type lanes struct {
	log    *wal.Log
	limits sentinel.Limits

	live    *cursor
	ordinal uint64 // of the generation that the live lane reads, or read last

	spans   []span // of the backlog, oldest first
	backlog *cursor
	held    *wal.Record // read from the backlog but not yet part of a batch
	ready   []*batch    // a run that could not be merged, record by record

	series map[sentinel.LayoutHash]int // of each layout that was looked up
}

// span is a part of one epoch that the backlog has to send.
type span struct {
	epoch    sentinel.Epoch
	from, to uint64
	settled  []sentinel.SeqRange
}

type cursor struct {
	span
	r     *wal.Reader
	tries int // to get r
}

const openTries = 5 // then a generation of the backlog is left to the next session

// newLanes splits the log at this moment into backlog and live.
func newLanes(log *wal.Log, limits sentinel.Limits) *lanes {
	l := &lanes{log: log, limits: limits, series: map[sentinel.LayoutHash]int{}}
	for _, g := range log.Generations() {
		s := span{epoch: g.Epoch, from: g.Settled.Through() + 1, to: g.Appended, settled: g.Settled.Settled}
		l.ordinal = g.Ordinal
		if g.Sealed {
			s.to = maxSeq // up to its end, wherever that is
		} else {
			l.live = &cursor{span: span{epoch: g.Epoch, from: g.Appended + 1, to: maxSeq}}
		}
		if s.to >= s.from {
			l.spans = append(l.spans, s)
		}
	}
	return l
}

const maxSeq = 1 << 62

func (l *lanes) close() {
	for _, c := range []*cursor{l.live, l.backlog} {
		c.close()
	}
}

func (c *cursor) close() {
	if c != nil && c.r != nil {
		c.r.Close()
		c.r = nil
	}
}

// next returns the cursor's next unsettled record, or io.EOF where there is none
// for now.
func (l *lanes) next(c *cursor) (wal.Record, error) {
	if c.r == nil {
		c.tries++
		r, err := l.log.Reader(c.epoch, c.from)
		if err != nil {
			return wal.Record{}, err
		}
		c.r = r
	}
	for {
		rec, err := c.r.Next()
		if err != nil {
			return wal.Record{}, err
		}
		if rec.Seq > c.to {
			return wal.Record{}, io.EOF
		}
		if !contains(c.settled, rec.Seq) {
			rec.Data = bytes.Clone(rec.Data) // it outlives the reader's next step
			return rec, nil
		}
	}
}

func contains(ranges []sentinel.SeqRange, seq uint64) bool {
	for _, r := range ranges {
		if r.Contains(seq) {
			return true
		}
	}
	return false
}

// nextLive returns the next fresh record as a batch, or nil where there is none.
func (l *lanes) nextLive() (*batch, error) {
	for {
		if l.live == nil {
			g := l.newer()
			if g == nil {
				return nil, nil
			}
			l.ordinal = g.Ordinal
			l.live = &cursor{span: span{epoch: g.Epoch, from: 1, to: maxSeq}}
		}
		rec, err := l.next(l.live)
		switch {
		case err == nil:
			return single(rec, sentinelpb.Lane_LANE_LIVE), nil
		case errors.Is(err, io.EOF) && !l.live.r.Done():
			return nil, nil
		case !errors.Is(err, io.EOF) && sentinel.CodeOf(err) != sentinel.NotFound:
			return nil, err
		}
		l.live.close() // read to its end, or freed: a newer one follows
		l.live = nil
	}
}

// newer returns the generation after the one that the live lane read last.
func (l *lanes) newer() *wal.Generation {
	for _, g := range l.log.Generations() {
		if g.Ordinal > l.ordinal {
			return &g
		}
	}
	return nil
}

// nextBacklog returns the next run of older records of one layout as a batch, or
// nil where the backlog is done.
func (l *lanes) nextBacklog() (*batch, error) {
	if len(l.ready) > 0 {
		b := l.ready[0]
		l.ready = l.ready[1:]
		return b, nil
	}
	var run []wal.Record
	size := 0
	for {
		rec, err := l.nextOld()
		if err != nil {
			return nil, err
		}
		if rec == nil {
			break
		}
		if len(run) > 0 && !joins(run, rec, size) {
			l.held = rec
			break
		}
		run = append(run, *rec)
		size += len(rec.Data)
	}
	if len(run) == 0 {
		return nil, nil
	}
	b := l.merge(run)
	if b.count < len(run) {
		for _, rec := range run[1:] {
			l.ready = append(l.ready, single(rec, sentinelpb.Lane_LANE_BACKLOG))
		}
	}
	return b, nil
}

// joins reports whether rec goes into the same batch as the run before it.
func joins(run []wal.Record, rec *wal.Record, size int) bool {
	last := run[len(run)-1]
	return last.Kind == wal.KindCycle && rec.Kind == wal.KindCycle && rec.Epoch == last.Epoch && rec.Seq == last.Seq+1 &&
		rec.Layout == last.Layout && len(run) < groupCycles && size+len(rec.Data) <= groupBytes
}

// nextOld returns the next record of the backlog, or nil where it is done.
func (l *lanes) nextOld() (*wal.Record, error) {
	if rec := l.held; rec != nil {
		l.held = nil
		return rec, nil
	}
	for {
		if l.backlog == nil {
			if len(l.spans) == 0 {
				return nil, nil
			}
			l.backlog = &cursor{span: l.spans[0]}
			l.spans = l.spans[1:]
		}
		rec, err := l.next(l.backlog)
		if err == nil {
			return &rec, nil
		}
		given := l.backlog.r == nil && l.backlog.tries >= openTries
		if !errors.Is(err, io.EOF) && sentinel.CodeOf(err) != sentinel.NotFound && !given {
			return nil, err
		}
		l.backlog.close()
		l.backlog = nil
	}
}

func single(rec wal.Record, lane sentinelpb.Lane) *batch {
	b := &batch{epoch: rec.Epoch, seq: rec.Seq, count: 1, lane: lane, codec: sentinelpb.Codec_CODEC_CYCLES_V1, layout: rec.Layout, payload: rec.Data}
	if rec.Kind == wal.KindLosses {
		b.codec = sentinelpb.Codec_CODEC_LOSSES_V1
	}
	return b
}

// merge encodes a run of single cycles as one payload, which is smaller than
// their sum. A run that does not decode goes out record by record, so that the
// service judges each.
func (l *lanes) merge(run []wal.Record) *batch {
	first := single(run[0], sentinelpb.Lane_LANE_BACKLOG)
	if len(run) == 1 {
		return first
	}
	var cycles []sentinel.Cycle
	series := l.seriesOf(run[0])
	for _, rec := range run {
		c, err := wire.DecodeCycles(rec.Data, l.limits, series)
		if err != nil {
			return first
		}
		cycles = append(cycles, c...)
	}
	payload, err := wire.EncodeCycles(cycles)
	if err != nil {
		return first
	}
	first.payload, first.count = payload, len(run)
	return first
}

// seriesOf returns how many series the record's layout has, or 0.
func (l *lanes) seriesOf(rec wal.Record) int {
	if n, ok := l.series[rec.Layout]; ok {
		return n
	}
	definition, ok := l.log.Layout(rec.Epoch, rec.Layout)
	if !ok {
		return 0
	}
	layout, err := wire.DecodeLayout(definition, l.limits)
	if err != nil {
		return 0
	}
	l.series[rec.Layout] = len(layout)
	return len(layout)
}
