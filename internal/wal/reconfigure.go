package wal

import "fmt"

// Reconfigure gives an open log other bounds. They hold from the next append on,
// SegmentBytes from the next generation on. A cfg that is not valid is Invalid, and
// a closed log Unavailable; nothing has changed then.
func (l *Log) Reconfigure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("reconfigure log: %w", err)
	}
	l.commitMu.Lock()
	defer l.commitMu.Unlock()
	if l.isClosed() {
		return errClosed("reconfigure log")
	}
	l.cfg = cfg
	return nil
}
