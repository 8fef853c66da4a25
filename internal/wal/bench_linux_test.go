package wal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkAppend measures the log against what no log can beat: a write and an
// fdatasync of the same data at the end of one file. The two take turns, so that
// a disk whose speed changes meanwhile is the same for both. of-raw is its rate as a part of the raw one: at least 0.85 for single
// records and 0.7 for groups is what the log promises.
func BenchmarkAppend(b *testing.B) {
	for _, s := range []struct{ size, group int }{{1 << 10, 1}, {20 << 10, 1}, {1 << 10, 128}, {20 << 10, 128}} {
		b.Run(fmt.Sprintf("%dKiB/group=%d", s.size>>10, s.group), func(b *testing.B) {
			dir := b.TempDir()
			cfg := DefaultConfig()
			cfg.MaxBytes = 1 << 40 // the raw file drops nothing either
			l := mustOpen(b, filepath.Join(dir, "log"), cfg)
			e := entry(1, s.size)
			e.Data = e.Data[:s.size]
			batch := make([]Entry, s.group)
			for i := range batch {
				batch[i] = e
			}
			f, err := os.Create(filepath.Join(dir, "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			data := bytes.Repeat(e.Data, s.group)
			var logged, raw time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := l.AppendBatch(batch, nil); err != nil {
					b.Fatal(err)
				}
				middle := time.Now()
				if _, err := f.Write(data); err != nil {
					b.Fatal(err)
				}
				if err := unix.Fdatasync(int(f.Fd())); err != nil {
					b.Fatal(err)
				}
				logged, raw = logged+middle.Sub(start), raw+time.Since(middle)
			}
			b.ReportMetric(float64(logged)/float64(b.N*s.group), "ns/record")
			b.ReportMetric(float64(s.size*s.group*b.N)/1e6/logged.Seconds(), "MB/s")
			b.ReportMetric(float64(raw)/float64(logged), "of-raw")
			b.ReportMetric(0, "ns/op") // of both together: it says nothing
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
