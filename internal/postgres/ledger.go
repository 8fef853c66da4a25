package postgres

import (
	"cmp"
	"slices"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	// digestWindow is how many digests a ledger row keeps: those of the highest
	// settled records, where two histories of one epoch would part.
	digestWindow = 64
	// maxRanges bounds one ledger row. An agent sends in order but for a bounded
	// number of batches in flight, so a row this scattered is an attack or a bug.
	maxRanges = 4096
	// maxMarkRanges bounds what is told to the agent at one time.
	maxMarkRanges = 256
)

// epochKey names one row of the ledger.
type epochKey struct {
	agent int64
	epoch sentinel.Epoch
}

func compareKeys(a, b epochKey) int {
	return cmp.Or(cmp.Compare(a.agent, b.agent), cmp.Compare(a.epoch, b.epoch))
}

// account is one row of the ledger while a commit holds its lock.
type account struct {
	received    ranges
	appended    uint64
	cycles      int64
	reports     int64
	quarantined int64
	lost        [int(sentinel.LossRejected) + 1]int64 // by reason
	samples     int64
	digests     []digest // ascending by seq, at most digestWindow
	forked      bool     // in this commit

	changed bool
	outcome Outcome
}

type digest struct {
	seq uint64
	sum uint64
}

// forks reports whether the batch has another content for a number whose digest
// the account still knows.
func (a *account) forks(b *Batch) bool {
	for i, sum := range b.Digests {
		seq := b.First + uint64(i)
		at, found := slices.BinarySearchFunc(a.digests, seq, func(d digest, seq uint64) int { return cmp.Compare(d.seq, seq) })
		if found && a.digests[at].sum != sum {
			return true
		}
	}
	return false
}

// remember keeps the digests of the numbers in r.
func (a *account) remember(b *Batch, r sentinel.SeqRange) {
	if len(b.Digests) == 0 {
		return
	}
	for seq := r.First; seq <= r.Last; seq++ {
		at, found := slices.BinarySearchFunc(a.digests, seq, func(d digest, seq uint64) int { return cmp.Compare(d.seq, seq) })
		if !found {
			a.digests = slices.Insert(a.digests, at, digest{seq, b.Digests[seq-b.First]})
		}
	}
	if over := len(a.digests) - digestWindow; over > 0 {
		a.digests = slices.Delete(a.digests, 0, over)
	}
}

// settle marks the numbers of r that are not settled yet as settled, and returns
// them.
func (a *account) settle(r sentinel.SeqRange) []sentinel.SeqRange {
	fresh := a.received.missing(r)
	for _, f := range fresh {
		a.received.add(f)
	}
	a.appended = max(a.appended, r.Last)
	a.changed = true
	return fresh
}

// scattered reports whether one more hole would make the row too large.
func (a *account) scattered(r sentinel.SeqRange) bool {
	return len(a.received) >= maxRanges && !a.received.contains(r.First) &&
		(r.First == 1 || !a.received.contains(r.First-1)) && !a.received.contains(r.Last+1)
}

// lose counts a declared loss, but for what was settled before, and returns how
// many numbers it settled: none where it would scatter the row too far.
func (a *account) lose(l sentinel.Loss) int {
	if a.scattered(l.Range) {
		return 0
	}
	n := int64(count(a.settle(l.Range)))
	a.lost[l.Reason] += n
	return int(n)
}

// mark says what of the epoch is settled, the first ranges where there are many.
func (a *account) mark(epoch sentinel.Epoch) sentinel.Mark {
	n := min(len(a.received), maxMarkRanges)
	return sentinel.Mark{Epoch: epoch, Settled: slices.Clone(a.received[:n])}
}

func count(rs []sentinel.SeqRange) (n uint64) {
	for _, r := range rs {
		n += r.Count()
	}
	return n
}
