package agent

import (
	"bufio"
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// pieceBytes is the size of the mappings that the program is cut into. Where a page of
// a file is used, the kernel also maps its neighbours within 64 KB, though none beyond
// the ends of the mapping; and as the linker lays code out by package, most of these
// neighbours are never used. In pieces of 16 KB a third less of the program is mapped,
// and a piece costs the kernel some 250 bytes: 0.2 MB for the agent's 800.
const pieceBytes = 16 << 10

// program is where this process' code and constants are mapped.
type program []mapping

// mapping is a range of addresses, end excluded.
type mapping struct{ start, end uintptr }

// cutProgram finds the program and cuts it into pieces. It is of use and not of need:
// what cannot be done is left.
//
// A mapping that has pages of its own, as one that was relocated has, is left out: the
// file does not hold what is in them.
func cutProgram() program {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil
	}
	defer f.Close()
	var found program
	var at mapping
	mine := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Bytes()
		if m, perms, ok := cutMapping(line); ok {
			at = m
			mine = perms[1] == '-' && perms[3] == 'p' && bytes.HasSuffix(line, []byte(" "+exe))
			continue
		}
		fields := bytes.Fields(line)
		if mine && len(fields) == 3 && string(fields[0]) == "Anonymous:" && string(fields[1]) == "0" {
			found = append(found, at)
		}
	}
	for _, m := range found {
		// Every other piece is told apart by a mark that means nothing to a program which
		// is in its file anyway: leave it out of core dumps.
		for start := m.start; start < m.end; start += 2 * pieceBytes {
			advise(mapping{start, min(start+pieceBytes, m.end)}, unix.MADV_DONTDUMP)
		}
	}
	return found
}

// release tells the kernel that the program's pages need not be mapped. Those that are
// used come back from the page cache, without the disk where they are still there; the
// others, such as what only a start needs, no longer count as this process' memory.
func (p program) release() {
	for _, m := range p {
		advise(m, unix.MADV_DONTNEED)
	}
}

func advise(m mapping, advice int) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, uintptr(advice))
}

// cutMapping reads the first line of a mapping, such as
// "00400000-00893000 r-xp 00000000 08:01 1234  /usr/bin/x".
func cutMapping(line []byte) (m mapping, perms []byte, ok bool) {
	fields := bytes.Fields(line)
	if len(fields) < 5 || len(fields[1]) != 4 {
		return m, nil, false
	}
	from, to, ok := bytes.Cut(fields[0], []byte("-"))
	if !ok {
		return m, nil, false
	}
	start, err := strconv.ParseUint(string(from), 16, 64)
	if err != nil {
		return m, nil, false
	}
	end, err := strconv.ParseUint(string(to), 16, 64)
	return mapping{uintptr(start), uintptr(end)}, fields[1], err == nil
}
