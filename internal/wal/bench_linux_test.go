package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The two benchmarks go together: what the log adds to a write and an fdatasync
// of the same bytes, single and 128 records at a time.
var shapes = []struct{ size, group int }{{1 << 10, 1}, {20 << 10, 1}, {1 << 10, 128}, {20 << 10, 128}}

func BenchmarkAppend(b *testing.B) {
	for _, s := range shapes {
		b.Run(fmt.Sprintf("%dKiB/group=%d", s.size>>10, s.group), func(b *testing.B) {
			l := mustOpen(b, b.TempDir(), DefaultConfig())
			e := entry(1, s.size)
			e.Data = e.Data[:s.size]
			b.SetBytes(int64(s.size))
			b.ReportAllocs()
			b.ResetTimer()
			batch := make([]Entry, s.group)
			for i := range batch {
				batch[i] = e
			}
			for n := 0; n < b.N; n += s.group {
				if _, err := l.AppendBatch(batch[:min(s.group, b.N-n)], nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAppendCallers is the same with 128 callers at the same time.
func BenchmarkAppendCallers(b *testing.B) {
	l := mustOpen(b, b.TempDir(), DefaultConfig())
	e := entry(1, 1<<10)
	b.SetBytes(1 << 10)
	var group sync.WaitGroup
	for caller := range 128 {
		group.Go(func() {
			for n := caller; n < b.N; n += 128 {
				if _, err := l.Append(e, nil); err != nil {
					b.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkRawFdatasync(b *testing.B) {
	for _, s := range shapes {
		b.Run(fmt.Sprintf("%dKiB/group=%d", s.size>>10, s.group), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			data := make([]byte, s.size*s.group)
			b.SetBytes(int64(s.size))
			b.ResetTimer()
			for n := 0; n < b.N; n += s.group {
				if _, err := f.Write(data[:s.size*min(s.group, b.N-n)]); err != nil {
					b.Fatal(err)
				}
				if err := unix.Fdatasync(int(f.Fd())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens a backlog of 1 GiB in 128 generations.
func BenchmarkOpen(b *testing.B) {
	dir := memDir(b)
	cfg := DefaultConfig()
	cfg.MaxBytes = 4 << 30
	l, err := open(dir, cfg, nil, options{now: time.Now, hook: quick})
	if err != nil {
		b.Fatal(err)
	}
	e := entry(1, 100<<10)
	for range 10 << 10 {
		if _, err := l.Append(e, nil); err != nil {
			b.Fatal(err)
		}
	}
	l.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		l, err := Open(dir, cfg, nil)
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)), "heap-bytes")
		l.Close()
	}
}
