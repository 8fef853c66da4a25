package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/broker/embedded"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func start(t *testing.T, cfg embedded.Config) embedded.Server {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := embedded.Start(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func open(t *testing.T, cfg broker.Config) *broker.Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b, err := broker.Open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func inProcess(t *testing.T) *broker.Broker {
	t.Helper()
	cfg := broker.DefaultConfig()
	cfg.InProcess = start(t, embedded.Config{MaxBytes: 5 << 30})
	return open(t, cfg)
}

func TestPublishFetchAckTrim(t *testing.T) {
	b, ctx := inProcess(t), t.Context()
	c := b.Consumer("writer")
	if msgs, err := c.Fetch(ctx, 10, 10*time.Millisecond); err != nil || len(msgs) != 0 {
		t.Fatalf("an empty stream gives %d messages, %v", len(msgs), err)
	}
	for i := range 5 {
		id := fmt.Sprint("id-", min(i, 3)) // the last one repeats the fourth
		if err := b.Publish(ctx, i%b.Partitions(), id, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	msgs, err := c.Fetch(ctx, 10, time.Second)
	if err != nil || len(msgs) != 4 {
		t.Fatalf("got %d messages, %v, want 4: a repeated id is dropped", len(msgs), err)
	}
	for _, m := range msgs[:2] {
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	if err := msgs[2].Nak(0); err != nil {
		t.Fatal(err)
	}
	again, err := c.Fetch(ctx, 10, 5*time.Second)
	if err != nil || len(again) != 1 || again[0].Data[0] != 2 {
		t.Fatalf("a message given back did not come again: %d, %v", len(again), err)
	}
	if err := again[0].Ack(); err != nil {
		t.Fatal(err)
	}
	// Another consumer has seen nothing: the stream keeps everything for it.
	other := b.Consumer("alerter")
	if _, err := other.Fetch(ctx, 1, time.Second); err != nil {
		t.Fatal(err)
	}
	if err := b.Trim(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := other.Pending(ctx); err != nil || n != 4 {
		t.Errorf("after a trim the other consumer has %d messages to see, %v, want 4", n, err)
	}
}

func TestAFullStreamPushesBack(t *testing.T) {
	cfg := broker.DefaultConfig()
	cfg.InProcess, cfg.MaxBytes = start(t, embedded.Config{MaxBytes: 5 << 30}), 16<<20
	b := open(t, cfg)
	big := make([]byte, 800<<10)
	for i := range 100 {
		err := b.Publish(t.Context(), 0, fmt.Sprint(i), big)
		if err == nil {
			continue
		}
		if sentinel.CodeOf(err) != sentinel.ResourceExhausted {
			t.Errorf("a full stream answers %v: %v", sentinel.CodeOf(err), err)
		}
		if i < 10 {
			t.Errorf("full after %d messages", i)
		}
		return
	}
	t.Error("the stream was never full")
}

func TestLayouts(t *testing.T) {
	b, ctx := inProcess(t), t.Context()
	h := sentinel.LayoutHash{1, 2, 3}
	if _, err := b.Layout(ctx, "ag-one", h); sentinel.CodeOf(err) != sentinel.NotFound {
		t.Errorf("an unknown layout: %v", err)
	}
	for range 2 {
		if err := b.PutLayout(ctx, "ag-one", h, []byte("definition")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := b.Layout(ctx, "ag-one", h); err != nil || string(got) != "definition" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := b.Layout(ctx, "ag-two", h); sentinel.CodeOf(err) != sentinel.NotFound {
		t.Errorf("another agent's layout: %v", err)
	}
}

// TestP9AWipedStoreIsAReset wipes the store of a server under a living client:
// the stream is made again by itself, and it is told that messages are gone.
func TestP9AWipedStoreIsAReset(t *testing.T) {
	dir := t.TempDir()
	first, err := embedded.Start(embedded.Config{Dir: dir, Listen: -1, MaxBytes: 5 << 30}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cfg := broker.DefaultConfig()
	cfg.URL = first.ClientURL()
	b := open(t, cfg)
	ctx := t.Context()
	if err := b.Publish(ctx, 0, "a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	port := first.Addr().String()
	reset := b.Resets()
	first.Stop()
	if err := b.Publish(ctx, 0, "b", []byte("b")); sentinel.CodeOf(err) != sentinel.Unavailable {
		t.Errorf("a broker that is down answers %v", err)
	}
	if err := b.Ready(ctx); sentinel.CodeOf(err) != sentinel.Unavailable {
		t.Errorf("a broker that is down is ready: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "jetstream")); err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscanf(port[strings.LastIndexByte(port, ':')+1:], "%d", &n); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{Dir: dir, Listen: n, MaxBytes: 5 << 30})
	select {
	case <-reset:
	case <-time.After(20 * time.Second):
		t.Fatal("no reset was told")
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := b.Publish(ctx, 0, "c", []byte("c"))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the stream did not come back: %v", err)
		}
	}
	c := b.Consumer("writer")
	msgs, err := c.Fetch(ctx, 10, 5*time.Second)
	if err != nil || len(msgs) != 1 || string(msgs[0].Data) != "c" {
		t.Errorf("got %d messages, %v", len(msgs), err)
	}
}

func TestMarksReachWhoListens(t *testing.T) {
	b := inProcess(t)
	ctx, cancel := context.WithCancel(t.Context())
	got, done := make(chan string, 100), make(chan error, 1)
	go func() { done <- b.SubscribeMarks(ctx, func(d []byte) { got <- string(d) }) }()
	for received := false; !received; {
		if err := b.PublishMarks([]byte("marks")); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-got:
			received = m == "marks"
		case <-time.After(10 * time.Millisecond): // not subscribed yet
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConfigValidate(t *testing.T) {
	if err := broker.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*broker.Config){
		func(c *broker.Config) { c.URL = "" }, func(c *broker.Config) { c.Replicas = 2 }, func(c *broker.Config) { c.MaxBytes = 1 },
		func(c *broker.Config) { c.Partitions = 0 }, func(c *broker.Config) { c.CertFile = "x" },
	} {
		c := broker.DefaultConfig()
		change(&c)
		if err := c.Validate(); sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%+v is taken: %v", c, err)
		}
	}
}
