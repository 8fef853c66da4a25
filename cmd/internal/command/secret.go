package command

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// ReadSecret reads a secret from a file, or from in where path is -, without the
// line's end. Nothing is ever asked: on a terminal it reads what is typed.
func ReadSecret(in io.Reader, flag, path string) (string, error) {
	const most = 4096
	if path == "" {
		return "", sentinel.Errorf(sentinel.Invalid, "%s: name the file that holds it, or - for standard input", flag)
	}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", sentinel.Errorf(sentinel.NotFound, "%s: %w", flag, err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	text := strings.TrimRight(string(raw), "\r\n")
	if text == "" || len(raw) > most || strings.ContainsAny(text, "\r\n") {
		return "", sentinel.Errorf(sentinel.Invalid, "%s: want one line of up to %d bytes", flag, most)
	}
	return text, nil
}
