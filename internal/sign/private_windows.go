package sign

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// checkPrivate only asks whether the file is there: its access list is set by
// the folder it lives in.
func checkPrivate(path string) error {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sentinel.Errorf(sentinel.NotFound, "read secret: %w", err)
	}
	if err != nil {
		return fmt.Errorf("read secret: %w", err)
	}
	return nil
}

// systemSealer is the Data Protection API with the machine's key: the service and
// an administrator's commands read the same file, a stolen disk gives nothing away.
func systemSealer() (sealer, bool) {
	const flags = windows.CRYPTPROTECT_LOCAL_MACHINE | windows.CRYPTPROTECT_UI_FORBIDDEN
	return sealer{
		seal: func(raw []byte) ([]byte, error) {
			var out windows.DataBlob
			err := windows.CryptProtectData(blob(raw), nil, nil, 0, nil, flags, &out)
			return take(out, err)
		},
		open: func(raw []byte) ([]byte, error) {
			var out windows.DataBlob
			err := windows.CryptUnprotectData(blob(raw), nil, nil, 0, nil, flags, &out)
			return take(out, err)
		},
	}, true
}

func blob(raw []byte) *windows.DataBlob {
	if len(raw) == 0 {
		return &windows.DataBlob{}
	}
	return &windows.DataBlob{Size: uint32(len(raw)), Data: &raw[0]}
}

// take copies what Windows allocated and gives it back.
func take(out windows.DataBlob, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer windows.LocalFree(windows.Handle(unsafe.Pointer(out.Data))) //nolint:errcheck // nothing to do about it
	return append([]byte(nil), unsafe.Slice(out.Data, out.Size)...), nil
}
