package service

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

// Events is a log that an operating system keeps, such as Windows' event log.
type Events interface {
	Warning(id uint32, text string) error
	Error(id uint32, text string) error
}

// eventID is the same for all: EventCreate.exe, which shows them, knows 1 to 1000.
const eventID = 1

// NewEventHandler returns a handler that writes what has at least the level, and is
// a warning or worse, into events.
func NewEventHandler(events Events, level slog.Leveler) slog.Handler {
	out := &eventWriter{events: events}
	return eventHandler{slog.NewTextHandler(&out.line, &slog.HandlerOptions{Level: level}), out}
}

type eventWriter struct {
	mu     sync.Mutex
	line   bytes.Buffer
	events Events
}

type eventHandler struct {
	slog.Handler
	out *eventWriter
}

func (h eventHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

func (h eventHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.line.Reset()
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	text := strings.TrimRight(h.out.line.String(), "\n")
	if r.Level >= slog.LevelError {
		return h.out.events.Error(eventID, text)
	}
	return h.out.events.Warning(eventID, text)
}

func (h eventHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return eventHandler{h.Handler.WithAttrs(attrs), h.out}
}

func (h eventHandler) WithGroup(name string) slog.Handler {
	return eventHandler{h.Handler.WithGroup(name), h.out}
}
