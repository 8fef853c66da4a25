package agent

import (
	"bufio"
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// releaseProgram tells the kernel that the pages of the program's code and constants
// need not be mapped. Those that are used come back from the page cache, without
// the disk where they are still there; the others, such as what only a start needs,
// no longer count as this process' memory. It is of use and not of need: what cannot
// be done is left.
//
// A mapping that has pages of its own, as one that was relocated has, is left alone:
// the file does not hold what is in them.
func releaseProgram() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var start, end uint64
	mine := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Bytes()
		if from, to, perms, rest, ok := cutMapping(line); ok {
			start, end = from, to
			mine = perms[1] == '-' && perms[3] == 'p' && bytes.HasSuffix(rest, []byte(" "+exe))
			continue
		}
		fields := bytes.Fields(line)
		if mine && len(fields) == 3 && string(fields[0]) == "Anonymous:" && string(fields[1]) == "0" {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
		}
	}
}

// cutMapping reads the first line of a mapping, such as
// "00400000-00893000 r-xp 00000000 08:01 1234  /usr/bin/x".
func cutMapping(line []byte) (start, end uint64, perms, rest []byte, ok bool) {
	fields := bytes.Fields(line)
	if len(fields) < 5 || len(fields[1]) != 4 {
		return 0, 0, nil, nil, false
	}
	from, to, ok := bytes.Cut(fields[0], []byte("-"))
	if !ok {
		return 0, 0, nil, nil, false
	}
	start, err := strconv.ParseUint(string(from), 16, 64)
	if err != nil {
		return 0, 0, nil, nil, false
	}
	end, err = strconv.ParseUint(string(to), 16, 64)
	return start, end, fields[1], line, err == nil
}
