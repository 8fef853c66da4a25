package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	windowBytes = 32 << 10 // what a scanner reads at once
	blockBytes  = 4 << 10  // what is given up where the disk cannot read
	patience    = 5        // failed reads in a row at one place before it is given up
)

// scanner reads the frames of one segment file in order and steps over damage.
// An entry is a uvarint, its length, and one or more frames; the length is only
// compared, since a frame says itself where it ends.
type scanner struct {
	read   func(b []byte, off int64) (int, error)
	epoch  sentinel.Epoch
	off    int64 // where the next entry starts
	limit  int64 // what lies behind it is not looked at
	cur    span  // the entry that off lies in or behind
	damage func(off, length int64, what string)
	// An unreadable block is given up after patience tries. next returns the error
	// of each, so that the caller can wait for a fault to pass; hasty tries again
	// at once.
	hasty   bool
	strikes int
	givenUp map[int64]bool // blocks of the file

	buf   []byte // bytes bufAt … bufAt+len(buf) of the file
	bufAt int64
}

// span is an entry: where its length stands, where its frames start and end.
type span struct{ start, frames, end int64 }

// next returns the next valid frame and its offset, or io.EOF at the limit;
// after the limit has grown it goes on. The payload holds until the next call.
func (s *scanner) next() (frame, int64, error) {
	if s.off >= s.limit {
		if s.cur.end > s.limit {
			s.wrongLength()
			s.cur.end = s.off
		}
		return frame{}, 0, io.EOF
	}
	// Inside an entry, or behind one whose length is damaged, frame follows frame.
	f, n, wrong, err := s.frameAt(s.off)
	if err == nil && wrong == "" {
		if at := s.off; s.cur.end > at && s.cur.end < at+int64(n) {
			s.wrongLength()
		}
		s.cur.end = max(s.cur.end, s.off+int64(n))
		return s.found(f, s.off, n)
	}
	if err != nil {
		return frame{}, 0, err
	}
	inside := wrong
	entry, err := s.entryAt(s.off)
	if err != nil {
		return frame{}, 0, err
	}
	if entry.frames > 0 {
		if f, n, wrong, err = s.frameAt(entry.frames); err != nil {
			return frame{}, 0, err
		}
		if wrong == "" {
			if s.cur.end > s.off {
				s.wrongLength()
			}
			s.cur = entry
			if s.cur.end < entry.frames+int64(n) {
				s.wrongLength()
				s.cur.end = entry.frames + int64(n)
			}
			return s.found(f, entry.frames, n)
		}
	}
	if s.cur.end > s.off {
		wrong = inside // the damaged frame is one inside the entry
	} else if entry.frames > 0 {
		s.cur = entry
	}
	return s.resume(wrong)
}

// found moves behind a frame.
func (s *scanner) found(f frame, at int64, n int) (frame, int64, error) {
	s.off = at + int64(n)
	return f, at, nil
}

// resume goes on behind damage that starts at off, with the next frame.
func (s *scanner) resume(wrong string) (frame, int64, error) {
	start := s.off
	_, at, n, err := s.search(start)
	if errors.Is(err, io.EOF) {
		s.off, s.cur.end = s.limit, 0
		if start < s.limit {
			s.report(start, s.limit-start, wrong+", and no whole frame behind it")
		}
		return frame{}, 0, io.EOF
	}
	if err != nil {
		return frame{}, 0, err
	}
	sound := at
	if at >= s.cur.end || at+int64(n) > s.cur.end {
		entry, err := s.entryAround(at, n, start)
		if err != nil {
			return frame{}, 0, err
		}
		sound, s.cur = entry.start, entry
	}
	// Looking around may have moved the window away from the payload.
	f, n, changed, err := s.frameAt(at)
	if err != nil || changed != "" {
		return frame{}, 0, errors.Join(err, errors.New("frame changed while it was read"))
	}
	if sound > start {
		s.report(start, sound-start, wrong)
	}
	return s.found(f, at, n)
}

// entryAround returns the entry whose first frame, of n bytes, is at offset at:
// its length is damage only where it is wrong. Nothing before start counts.
func (s *scanner) entryAround(at int64, n int, start int64) (span, error) {
	// The entry before says where this one starts; without it, the longest length.
	for _, from := range append([]int64{s.cur.end}, at-4, at-3, at-2, at-1) {
		if from < start || from >= at {
			continue
		}
		entry, err := s.entryAt(from)
		if err != nil {
			return span{}, err
		}
		if entry.frames == at && entry.end >= at+int64(n) && entry.end <= s.limit {
			return entry, nil
		}
	}
	return span{at, at, at + int64(n)}, nil
}

// entryAt reads the length of the entry at off; without one, frames is 0.
func (s *scanner) entryAt(off int64) (span, error) {
	b, err := s.peek(off, binary.MaxVarintLen64)
	if err != nil {
		return span{}, err
	}
	length, k := binary.Uvarint(b)
	if k <= 0 || length > 1<<40 {
		return span{}, nil
	}
	return span{off, off + int64(k), off + int64(k) + int64(length)}, nil
}

// wrongLength reports the length of the current entry as damage.
func (s *scanner) wrongLength() {
	if n := s.cur.frames - s.cur.start; n > 0 {
		s.report(s.cur.start, n, "entry length differs")
	}
	s.cur.start = s.cur.frames // once
}

func (s *scanner) report(off, length int64, what string) {
	if s.damage != nil {
		s.damage(off, length, what)
	}
}

// frameAt reads the frame that starts at offset at.
func (s *scanner) frameAt(at int64) (f frame, n int, wrong string, err error) {
	b, err := s.peek(at, headerBytes)
	if err != nil {
		return f, 0, "", err
	}
	_, length, wrong := decodeHeader(b, s.epoch)
	if wrong != "" {
		return f, 0, wrong, nil
	}
	if b, err = s.peek(at, headerBytes+length); err != nil {
		return f, 0, "", err
	}
	f, n, wrong = decodeFrame(b, s.epoch)
	return f, n, wrong, nil
}

// search returns the first whole frame that starts at or behind off, or io.EOF.
func (s *scanner) search(off int64) (f frame, at int64, n int, err error) {
	for off < s.limit {
		b, err := s.peek(off, windowBytes/2)
		if err != nil {
			return f, 0, 0, err
		}
		i := bytes.Index(b, []byte(frameMagic))
		if i < 0 {
			if off+int64(len(b)) >= s.limit {
				break
			}
			off += int64(len(b) - (len(frameMagic) - 1))
			continue
		}
		at = off + int64(i)
		f, n, wrong, err := s.frameAt(at)
		if err != nil || wrong == "" {
			return f, at, n, err
		}
		off = at + 1
	}
	return f, 0, 0, io.EOF
}

// peek returns the n bytes at off, fewer at the limit. They hold until the next
// call.
func (s *scanner) peek(off int64, n int) ([]byte, error) {
	n = int(max(0, min(int64(n), s.limit-off)))
	if from := off - s.bufAt; from >= 0 && from+int64(n) <= int64(len(s.buf)) {
		return s.buf[from : from+int64(n)], nil
	}
	want := int(min(int64(max(n, windowBytes)), s.limit-off))
	if cap(s.buf) < want || cap(s.buf) > 2*windowBytes && want <= windowBytes {
		s.buf = make([]byte, 0, max(want, min(windowBytes, 2*want)))
	}
	s.buf, s.bufAt = s.buf[:0], off
	for len(s.buf) < want {
		at := off + int64(len(s.buf))
		k, err := s.read(s.buf[len(s.buf):want], at)
		s.buf = s.buf[:len(s.buf)+k]
		at += int64(k)
		switch {
		case err == nil && k > 0:
		case err == nil || errors.Is(err, io.EOF):
			s.limit = at // the file is shorter than it was said to be
			return s.buf[:min(n, len(s.buf))], nil
		case len(s.buf) >= n:
			return s.buf[:n], nil // what is asked for is there; the fault can wait
		case !s.giveUp(at / blockBytes):
			if s.hasty {
				continue
			}
			s.buf = s.buf[:0]
			return nil, err
		default:
			// Unreadable for good: zeros stand in, and no checksum lets them pass.
			gap := min(blockBytes-at%blockBytes, int64(want-len(s.buf)))
			s.buf = append(s.buf, make([]byte, gap)...)
		}
	}
	return s.buf[:n], nil
}

// giveUp counts a failed read and reports whether the block is to be left out.
func (s *scanner) giveUp(block int64) bool {
	if s.givenUp[block] {
		return true
	}
	if s.strikes++; s.strikes < patience {
		return false
	}
	if s.givenUp == nil {
		s.givenUp = map[int64]bool{}
	}
	s.strikes, s.givenUp[block] = 0, true
	return true
}
