package agent

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What is released leaves the process' memory, and the program runs on with it.
func TestTheProgramIsReleased(t *testing.T) {
	mapped := func() int {
		raw, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(raw)
		if m == nil {
			t.Skip("this kernel does not say RssFile")
		}
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	before := mapped()
	own := cutProgram()
	for _, m := range own {
		if n := pieces(t, m); n < int(m.end-m.start)/pieceBytes {
			t.Errorf("%d kB of the program are mapped in %d pieces", (m.end-m.start)>>10, n)
		}
	}
	own.release()
	if after := mapped(); after > before*3/4 {
		t.Errorf("the program takes %d kB, %d kB before", after, before)
	}
	if got := strings.Repeat("a", 3); got != "aaa" {
		t.Errorf("constants are %q", got)
	}
}

// pieces counts the mappings that lie within m.
func pieces(t *testing.T, m mapping) (n int) {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if at, _, ok := cutMapping([]byte(line)); ok && at.start >= m.start && at.end <= m.end {
			n++
		}
	}
	return n
}

func TestCutMapping(t *testing.T) {
	m, perms, ok := cutMapping([]byte("00400000-00893000 r-xp 00000000 08:01 1234                 /usr/bin/x y"))
	if !ok || m != (mapping{0x400000, 0x893000}) || string(perms) != "r-xp" {
		t.Errorf("got %x, %s, %v", m, perms, ok)
	}
	for _, line := range []string{"", "Rss:  12 kB", "VmFlags: rd ex mr mw me", "400000 r-xp 0 0 0", "x-1 r-xp 0 0 0", "1-x r-xp 0 0 0"} {
		if _, _, ok := cutMapping([]byte(line)); ok {
			t.Errorf("%q is taken for a mapping", line)
		}
	}
}
