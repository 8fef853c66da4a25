//go:build linux

package systemtest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// entryOf writes down what makes a cycle: its time, and a digest of all its
// values. A cycle of one agent is known by its time.
func entryOf(c sentinel.Cycle) string {
	return fmt.Sprintf("%d %s %016x", c.Time.UnixMilli(), c.Layout, wire.Digest(c))
}

// journal reads what an agent's log has acknowledged; a line that a kill cut
// short was acknowledged, but is not known in full, and is left out.
func (s *system) journal(i int) []string {
	s.t.Helper()
	f, err := os.Open(filepath.Join(s.agentDir(i), "journal"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return lines
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

// stored reads what the database holds of an agent.
func (s *system) stored(i int) []string {
	s.t.Helper()
	cycles, err := postgrestest.Cycles(s.t.Context(), s.url, s.agents[i])
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, c := range cycles {
		lines = append(lines, entryOf(c))
	}
	return lines
}

// compare says what is wrong with what is stored, given what was acknowledged.
// Up to unknown stored cycles may be unacknowledged: a kill can fall between the
// log's acknowledgement and the journal.
func compare(acknowledged, stored []string, unknown int) error {
	have := map[string]int{}
	times := map[string]string{}
	for _, e := range stored {
		have[e]++
		if have[e] > 1 {
			return fmt.Errorf("doubled: %s", e)
		}
		at, _, _ := strings.Cut(e, " ")
		times[at] = e
	}
	for _, e := range acknowledged {
		if have[e] == 1 {
			delete(have, e)
			continue
		}
		at, _, _ := strings.Cut(e, " ")
		if other, ok := times[at]; ok {
			return fmt.Errorf("altered: acknowledged %s, stored %s", e, other)
		}
		return fmt.Errorf("missing: %s (%d of %d acknowledged are stored)", e, len(acknowledged)-missing(acknowledged, stored), len(acknowledged))
	}
	if len(have) > unknown {
		return fmt.Errorf("%d cycles are stored that no journal knows, at most %d can be explained", len(have), unknown)
	}
	return nil
}

func missing(acknowledged, stored []string) int {
	n := 0
	for _, e := range acknowledged {
		if !slices.Contains(stored, e) {
			n++
		}
	}
	return n
}

// TestP8CheckerSees shows that the comparison notices what it is there for.
func TestP8CheckerSees(t *testing.T) {
	cycle := func(sec int64, v float64) string {
		return entryOf(sentinel.Cycle{Time: time.Unix(sec, 0), Values: []float64{1, v, sentinel.Absent()}})
	}
	ack := []string{cycle(1, 1), cycle(2, 2), cycle(3, 3)}
	for _, tt := range []struct {
		name   string
		stored []string
		want   string
	}{
		{"all there, in any order", []string{ack[2], ack[0], ack[1]}, ""},
		{"one more, between acknowledgement and journal", append(slices.Clone(ack), cycle(4, 4)), ""},
		{"one missing", ack[:2], "missing"},
		{"one doubled", append(slices.Clone(ack), ack[1]), "doubled"},
		{"one altered by one bit", []string{ack[0], cycle(2, math.Nextafter(2, 3)), ack[2]}, "altered"},
		{"too many unknown", append(slices.Clone(ack), cycle(4, 4), cycle(5, 5)), "no journal knows"},
	} {
		err := compare(ack, tt.stored, 1)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
