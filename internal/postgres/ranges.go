package postgres

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// maxSeq is the highest sequence number the ledger can hold: the exclusive upper
// bound of its range must fit a signed 64-bit number.
const maxSeq = math.MaxInt64 - 1

// ranges is a set of sequence numbers as ascending ranges that neither overlap
// nor touch.
type ranges []sentinel.SeqRange

// find returns the index of the first range that ends at or after seq.
func (rs ranges) find(seq uint64) int {
	i, _ := slices.BinarySearchFunc(rs, seq, func(r sentinel.SeqRange, seq uint64) int {
		if r.Last < seq {
			return -1
		}
		return 1
	})
	return i
}

func (rs ranges) contains(seq uint64) bool {
	i := rs.find(seq)
	return i < len(rs) && rs[i].First <= seq
}

// missing returns the parts of r that the set does not hold.
func (rs ranges) missing(r sentinel.SeqRange) []sentinel.SeqRange {
	var out []sentinel.SeqRange
	next := r.First
	for i := rs.find(r.First); i < len(rs) && rs[i].First <= r.Last; i++ {
		if rs[i].First > next {
			out = append(out, sentinel.SeqRange{First: next, Last: rs[i].First - 1})
		}
		if rs[i].Last >= r.Last {
			return out
		}
		next = rs[i].Last + 1
	}
	return append(out, sentinel.SeqRange{First: next, Last: r.Last})
}

// add puts r into the set, joining it with what it overlaps or touches.
func (rs *ranges) add(r sentinel.SeqRange) {
	s := *rs
	i := s.find(max(r.First, 1) - 1) // a range that ends right before r touches it
	j := i
	for j < len(s) && s[j].First <= r.Last+1 {
		r.First = min(r.First, s[j].First)
		r.Last = max(r.Last, s[j].Last)
		j++
	}
	*rs = slices.Replace(s, i, j, r)
}

// multirange writes the set as PostgreSQL's int8multirange.
func (rs ranges) multirange() string {
	b := make([]byte, 0, 2+24*len(rs))
	b = append(b, '{')
	for i, r := range rs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = strconv.AppendUint(b, r.First, 10)
		b = append(b, ',')
		b = strconv.AppendUint(b, r.Last+1, 10)
		b = append(b, ')')
	}
	return string(append(b, '}'))
}

// parseRanges reads the canonical text of an int8multirange, "{[1,6),[9,12)}".
func parseRanges(text string) (ranges, error) {
	body, ok := strings.CutPrefix(text, "{")
	body, ok2 := strings.CutSuffix(body, "}")
	if !ok || !ok2 {
		return nil, fmt.Errorf("multirange %.60q has no braces", text)
	}
	if body == "" {
		return nil, nil
	}
	if body, ok = strings.CutSuffix(body, ")"); !ok {
		return nil, fmt.Errorf("multirange %.60q cannot be read", text)
	}
	rs := make(ranges, 0, strings.Count(body, "["))
	for part := range strings.SplitSeq(body, "),") {
		part, ok := strings.CutPrefix(part, "[")
		lo, hi, _ := strings.Cut(part, ",")
		first, err1 := strconv.ParseUint(lo, 10, 64)
		end, err2 := strconv.ParseUint(hi, 10, 64)
		if !ok || err1 != nil || err2 != nil || end <= first {
			return nil, fmt.Errorf("multirange %.60q cannot be read", text)
		}
		rs = append(rs, sentinel.SeqRange{First: first, Last: end - 1})
	}
	return rs, nil
}
