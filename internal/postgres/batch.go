package postgres

import (
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Batch is one verified batch of one agent: the records First … First+Count-1 of
// an epoch, and exactly one of Cycles, Losses and Quarantine.
type Batch struct {
	Agent    int64          // agents.id
	Epoch    sentinel.Epoch // not 0
	First    uint64         // at least 1
	Count    uint32         // at least 1
	LayoutID int64          // of all Cycles; from EnsureLayout

	Cycles     []sentinel.Cycle // Count of them, in the order of their numbers
	Losses     []sentinel.Loss  // with Count 1: the record declares losses, of any epoch of this agent
	Quarantine *Quarantine      // the records cannot be used and are settled as quarantined

	Digests []uint64 // one for each record, over its content alone; without them forks go unnoticed

	// For the dead letter, should the batch become one.
	AgentName sentinel.AgentID
	Envelope  []byte // the exact bytes received
	Received  time.Time
}

// Quarantine says why a batch cannot be used.
type Quarantine struct {
	Reason string // one word, a label of metrics
	Detail string // for people
}

// Reasons that Commit gives itself, besides those of callers.
const (
	ReasonForked    = "forked"    // the numbers were settled with another content
	ReasonScattered = "scattered" // the epoch has too many holes to go on
)

// Orphan is a dead letter that can be charged to nobody's ledger: malformed, of
// an unknown agent, or with a signature that does not hold. What it says of
// itself may be a lie.
type Orphan struct {
	AgentName string
	Epoch     uint64
	Seq       uint64
	Count     uint32
	Reason    string
	Detail    string
	Envelope  []byte
	Received  time.Time
}

// Outcome is what a commit did to one epoch of one agent.
type Outcome struct {
	Agent         int64
	Mark          sentinel.Mark // all of the epoch, not only of this commit; at most 256 ranges
	StoredCycles  int
	StoredSamples int
	StoredReports int
	Quarantined   int  // records
	Lost          int  // records newly declared lost
	Duplicates    int  // records that were settled before
	Refused       int  // batches that went to the dead letters without being settled
	Forked        bool // among them one whose numbers name another content
}

// last returns the batch's last sequence number; the batch is valid.
func (b *Batch) last() uint64 { return b.First + uint64(b.Count) - 1 }

func (b *Batch) span() sentinel.SeqRange { return sentinel.SeqRange{First: b.First, Last: b.last()} }

// validate returns an Invalid error for a batch that the ledger cannot hold or
// whose parts contradict each other.
func (b *Batch) validate(oldest, newest time.Time) error {
	if b.Agent <= 0 || !validEpoch(b.Epoch) || b.First == 0 || b.Count == 0 ||
		b.First > maxSeq || uint64(b.Count) > maxSeq-b.First+1 {
		return sentinel.Errorf(sentinel.Invalid, "batch of agent %d, epoch %s, %d records from %d: out of range", b.Agent, b.Epoch, b.Count, b.First)
	}
	if len(b.Digests) != 0 && len(b.Digests) != int(b.Count) {
		return sentinel.Errorf(sentinel.Invalid, "batch has %d digests for %d records", len(b.Digests), b.Count)
	}
	switch {
	case b.Quarantine != nil:
		if len(b.Cycles) != 0 || len(b.Losses) != 0 {
			return sentinel.Errorf(sentinel.Invalid, "batch is both quarantined and used")
		}
	case len(b.Losses) != 0:
		if len(b.Cycles) != 0 || b.Count != 1 {
			return sentinel.Errorf(sentinel.Invalid, "loss report with %d cycles and %d records", len(b.Cycles), b.Count)
		}
		for _, l := range b.Losses {
			if !validEpoch(l.Epoch) || !l.Reason.Valid() || l.Range.First == 0 || l.Range.First > l.Range.Last || l.Range.Last > maxSeq {
				return sentinel.Errorf(sentinel.Invalid, "loss of records %d to %d of epoch %s for reason %d: out of range", l.Range.First, l.Range.Last, l.Epoch, l.Reason)
			}
		}
	default:
		if len(b.Cycles) != int(b.Count) || b.LayoutID <= 0 {
			return sentinel.Errorf(sentinel.Invalid, "batch has %d cycles for %d records, layout %d", len(b.Cycles), b.Count, b.LayoutID)
		}
		for i := range b.Cycles {
			if t := b.Cycles[i].Time; t.Before(oldest) || t.After(newest) {
				return sentinel.Errorf(sentinel.Invalid, "cycle at %s is outside the window that is stored", t.UTC().Format(time.RFC3339))
			}
			if len(b.Cycles[i].Values) == 0 {
				return sentinel.Errorf(sentinel.Invalid, "cycle without values")
			}
		}
	}
	return nil
}

func validEpoch(e sentinel.Epoch) bool { return e != 0 && e <= 1<<63-1 }
