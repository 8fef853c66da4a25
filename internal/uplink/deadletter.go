package uplink

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sentinelgo/sentinel/internal/atomicfile"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// DeadLetters is the folder where an agent keeps batches that the service refused
// for good, one JSON file each, up to MaxBytes; beyond that the oldest go.
type DeadLetters struct {
	Dir      string
	MaxBytes int64
}

type deadLetter struct {
	Epoch   string    `json:"epoch"`
	Seq     uint64    `json:"seq"`
	Count   int       `json:"count"`
	Codec   string    `json:"codec"`
	Reason  string    `json:"reason"`
	Time    time.Time `json:"time"`
	Payload []byte    `json:"payload"`
}

// Put keeps one batch. It returns after the file is on disk; putting the same
// batch again replaces it.
func (d DeadLetters) Put(epoch sentinel.Epoch, seq uint64, count int, codec, reason string, payload []byte) error {
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	raw, err := json.Marshal(deadLetter{epoch.String(), seq, count, codec, reason, time.Now().UTC(), payload})
	if err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	if err := d.makeRoom(int64(len(raw))); err != nil {
		return err
	}
	path := filepath.Join(d.Dir, fmt.Sprintf("%s-%020d.json", epoch, seq))
	if err := atomicfile.Replace(path, raw, 0o600); err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	return nil
}

// makeRoom removes the oldest letters until n more bytes fit.
func (d DeadLetters) makeRoom(n int64) error {
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	type letter struct {
		name string
		size int64
		time time.Time
	}
	var letters []letter
	total := n
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			letters = append(letters, letter{e.Name(), info.Size(), info.ModTime()})
			total += info.Size()
		}
	}
	slices.SortFunc(letters, func(a, b letter) int { return a.time.Compare(b.time) })
	for _, l := range letters {
		if total <= d.MaxBytes {
			break
		}
		if err := os.Remove(filepath.Join(d.Dir, l.name)); err != nil {
			return fmt.Errorf("put dead letter: %w", err)
		}
		total -= l.size
	}
	return nil
}
