package filelock_test

import (
	"path/filepath"
	"testing"

	"github.com/sentinelgo/sentinel/internal/filelock"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := filelock.Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filelock.Take(path); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Errorf("a second one: %v", err)
	}
	first.Close()
	second, err := filelock.Take(path)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}
