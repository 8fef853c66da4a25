package atomicfile

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// Rename puts a file in the place of another. Where somebody has one of the two open just
// now, as who reads it or a virus scanner has, Windows refuses: it is tried again for
// two seconds.
func Rename(from, to string) error {
	for wait := 5 * time.Millisecond; ; wait *= 2 {
		err := os.Rename(from, to)
		busy := errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
		if !busy || wait > time.Second {
			return err
		}
		time.Sleep(wait)
	}
}
