// Package sentinel holds the nouns that every other package speaks in: agents,
// series, layouts, cycles and the names of batches, and the one vocabulary of
// errors. It imports the standard library alone and does no I/O.
package sentinel

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
)

// AgentID names one agent for the life of its registration: 1 to 64 characters
// of a–z, 0–9 and '-', so that it is safe in a subject, a path and a label.
type AgentID string

// SelfTestAgent is the identity under which the service sends itself marked samples.
// No host has it.
const SelfTestAgent AgentID = "sentinel-self-test"

// NewAgentID returns a fresh random identity (80 bits, "ag-" and 16 characters).
func NewAgentID() AgentID {
	return AgentID("ag-" + RandomName(10))
}

// RandomName returns n random bytes as lower-case base32 without padding.
func RandomName(n int) string {
	raw := make([]byte, n)
	rand.Read(raw) // crypto/rand.Read never fails since Go 1.24
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw))
}

// Validate returns an Invalid error that says what an identity may look like.
func (id AgentID) Validate() error {
	if len(id) < 1 || len(id) > 64 {
		return Errorf(Invalid, "agent id has %d characters, want 1 to 64", len(id))
	}
	for _, r := range id {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return Errorf(Invalid, "agent id %q: only a-z, 0-9 and '-' are allowed", string(id))
		}
	}
	return nil
}

// Epoch names one generation of an agent's write-ahead log. It is drawn at
// random when the generation is opened for writing and lies in 1 … 2^63-1, so
// it fits a signed 64-bit column. Epochs have no order.
type Epoch uint64

// NewEpoch returns a fresh random epoch.
func NewEpoch() Epoch {
	for {
		var raw [8]byte
		rand.Read(raw[:])
		var e uint64
		for _, b := range raw {
			e = e<<8 | uint64(b)
		}
		if e &= 1<<63 - 1; e != 0 {
			return Epoch(e)
		}
	}
}

// String returns the epoch as 16 hexadecimal digits.
func (e Epoch) String() string { return fmt.Sprintf("%016x", uint64(e)) }

// SeqRange is a closed range of sequence numbers, First ≤ Last. The sequence
// numbers of an epoch start at 1 and have no holes where the log is whole.
type SeqRange struct{ First, Last uint64 }

// Count returns how many sequence numbers the range holds.
func (r SeqRange) Count() uint64 { return r.Last - r.First + 1 }

// Contains reports whether seq lies in the range.
func (r SeqRange) Contains(seq uint64) bool { return r.First <= seq && seq <= r.Last }

// Mark says which records of one epoch the service has settled for good
// (stored, quarantined or declared lost, committed in the database), as
// ascending ranges that neither overlap nor touch. The agent may free these.
type Mark struct {
	Epoch   Epoch
	Settled []SeqRange
}

// Through returns the last sequence number of the settled run that starts at 1,
// or 0 where the first record is not settled yet.
func (m Mark) Through() uint64 {
	if len(m.Settled) == 0 || m.Settled[0].First > 1 {
		return 0
	}
	return m.Settled[0].Last
}

// Loss declares that records of an epoch will never come, and why.
type Loss struct {
	Epoch  Epoch
	Range  SeqRange
	Reason LossReason
}

// LossReason says why an agent gave records up.
type LossReason uint8

const (
	LossUnspecified LossReason = iota
	LossBytes                  // dropped by the log's size bound
	LossAge                    // dropped by the log's age bound
	LossDiskFull               // dropped because the file system was full
	LossDamaged                // unreadable on disk
	LossRejected               // refused by the service, kept in the agent's dead letters
)

var lossNames = [...]string{"unspecified", "bytes", "age", "disk_full", "damaged", "rejected"}

// String returns the reason as it stands in metrics and tables.
func (r LossReason) String() string {
	if int(r) < len(lossNames) {
		return lossNames[r]
	}
	return lossNames[LossUnspecified]
}

// Valid reports whether r is a reason an agent may declare.
func (r LossReason) Valid() bool { return r > LossUnspecified && int(r) < len(lossNames) }

// Position says how far an agent has appended to one epoch.
type Position struct {
	Epoch    Epoch
	Appended uint64
}
