// Package atomicfile replaces files as a whole.
package atomicfile

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Replace writes a file, or puts another one in its place: whatever happens on the
// way, there is the old one or the new one. When it returns nil the new one is on the
// disk under its name. The folder must be there. perm holds whatever the umask.
func Replace(path string, content []byte, perm fs.FileMode) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err == nil {
		err = os.Chmod(tmp.Name(), perm)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = Rename(tmp.Name(), path)
	}
	if err == nil {
		err = syncFolder(dir)
	}
	return err
}
