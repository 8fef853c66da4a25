package collector

import "bytes"

// The parsers here read the kernel's text files without allocating. They take any
// bytes: what is not exactly a number is no value, never a wrong one.

// cutLine returns the first line of b without its end, and what follows.
func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// cutLastLine returns the last line of b without its end, and what stands before.
func cutLastLine(b []byte) (line, rest []byte) {
	b = bytes.TrimSuffix(b, []byte("\n"))
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		return b[i+1:], b[:i]
	}
	return b, nil
}

// cutField returns the first word of a line, split at blanks, and what follows. It
// returns an empty word at the end of the line.
func cutField(b []byte) (field, rest []byte) {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	i := 0
	for i < len(b) && !isBlank(b[i]) {
		i++
	}
	return b[:i], b[i:]
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// parseUint reads decimal digits and nothing else; more than 64 bits are no value.
func parseUint(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	var v uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		next := v*10 + uint64(c-'0')
		if v > (1<<64-1)/10 || next < v*10 {
			return 0, false
		}
		v = next
	}
	return v, true
}

// parseInt is parseUint with an optional minus.
func parseInt(b []byte) (int64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	v, ok := parseUint(b)
	if !ok || v > 1<<63-1 {
		return 0, false
	}
	if neg {
		return -int64(v), true
	}
	return int64(v), true
}

// parseDecimal reads digits with an optional minus and up to 9 decimals.
func parseDecimal(b []byte) (float64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	whole, frac := b, []byte(nil)
	if i := bytes.IndexByte(b, '.'); i >= 0 {
		whole, frac = b[:i], b[i+1:]
		if len(frac) == 0 || len(frac) > 9 {
			return 0, false
		}
	}
	w, ok := parseUint(whole)
	if !ok {
		return 0, false
	}
	// One division of two whole numbers gives the float64 nearest to the decimal.
	den := uint64(1)
	for _, c := range frac {
		if c < '0' || c > '9' || w > (1<<53)/10 {
			return 0, false
		}
		w = w*10 + uint64(c-'0')
		den *= 10
	}
	v := float64(w) / float64(den)
	if neg {
		v = -v
	}
	return v, true
}

// cutUint is cutField and parseUint.
func cutUint(b []byte) (v uint64, ok bool, rest []byte) {
	field, rest := cutField(b)
	v, ok = parseUint(field)
	return v, ok, rest
}
