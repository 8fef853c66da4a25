package collector

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A file that stays open says what is the case now, and is gone when what it is about
// is gone.
func TestFilesThatStayOpen(t *testing.T) {
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var f file
	path := fmt.Sprintf("/proc/%d/oom_score_adj", child.Process.Pid)
	for _, want := range []int64{7, 13} {
		if err := os.WriteFile(path, []byte(fmt.Sprint(want)), 0); err != nil {
			t.Fatal(err)
		}
		if got, err := f.readInt(path); err != nil || got != want {
			t.Fatalf("read %d, %v, want %d", got, err, want)
		}
	}
	if len(f.open) != 1 {
		t.Errorf("%d files are open", len(f.open))
	}
	if err := errors.Join(in.Close(), child.Wait()); err != nil {
		t.Fatal(err)
	}
	if got, err := f.readInt(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the process is gone, read %d, %v", got, err)
	}
	if len(f.open) != 0 {
		t.Errorf("%d files are open", len(f.open))
	}
}

// A long file is read whole, each time from its beginning.
func TestALongFileThatStaysOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "long")
	var f file
	for _, n := range []int{5000, 20, 70000} {
		want := strings.Repeat("x", n)
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil { // the same file, not another one
			t.Fatal(err)
		}
		if got, err := f.read(path); err != nil || string(got) != want {
			t.Fatalf("read %d bytes, %v, want %d", len(got), err, n)
		}
	}
}

// However many there are, few stay open.
func TestFewFilesStayOpen(t *testing.T) {
	dir := t.TempDir()
	var f file
	for range 2 {
		for i := range 2 * maxOpen {
			path := filepath.Join(dir, fmt.Sprint(i))
			if err := os.WriteFile(path, []byte(fmt.Sprint(i)), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := f.readInt(path); err != nil || got != int64(i) {
				t.Fatalf("read %d, %v, want %d", got, err, i)
			}
		}
	}
	if len(f.open) != maxOpen {
		t.Errorf("%d files are open, want %d", len(f.open), maxOpen)
	}
	f = file{comes: true}
	if _, err := f.read(filepath.Join(dir, "1")); err != nil || len(f.open) > 0 {
		t.Errorf("%v, %d files are open", err, len(f.open))
	}
}
