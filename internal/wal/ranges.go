package wal

import (
	"slices"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// ranges is a set of sequence numbers as ascending ranges that neither overlap
// nor touch. Numbers stay below 2^64-1, so Last+1 never wraps.
type ranges []sentinel.SeqRange

// with returns the set with r added; the receiver is not changed.
func (s ranges) with(r sentinel.SeqRange) ranges {
	if r.First > r.Last {
		return s
	}
	out := make(ranges, 0, len(s)+1)
	i := 0
	for ; i < len(s) && s[i].Last+1 < r.First; i++ {
		out = append(out, s[i])
	}
	for ; i < len(s) && s[i].First <= r.Last+1; i++ {
		r.First, r.Last = min(r.First, s[i].First), max(r.Last, s[i].Last)
	}
	return append(append(out, r), s[i:]...)
}

// missing returns the parts of r that are not in the set.
func (s ranges) missing(r sentinel.SeqRange) ranges {
	var out ranges
	for _, have := range s {
		if have.Last < r.First {
			continue
		}
		if have.First > r.Last || r.First > r.Last {
			break
		}
		if have.First > r.First {
			out = append(out, sentinel.SeqRange{First: r.First, Last: have.First - 1})
		}
		r.First = have.Last + 1
	}
	if r.First <= r.Last {
		out = append(out, r)
	}
	return out
}

// covers reports whether the set holds all of 1 … last.
func (s ranges) covers(last uint64) bool {
	return last == 0 || len(s) > 0 && s[0].First <= 1 && s[0].Last >= last
}

func (s ranges) contains(seq uint64) bool {
	return slices.ContainsFunc(s, func(r sentinel.SeqRange) bool { return r.Contains(seq) })
}

func (s ranges) count() uint64 {
	var n uint64
	for _, r := range s {
		n += r.Count()
	}
	return n
}
