// Package broker is Sentinel's view of NATS JetStream: one stream of signed
// batches, one of incidents and their changes, buckets of what processes share, and
// what they say to each other. It owns the NATS client.
//
// The broker is a buffer, not a store of record: agents keep their data until the
// database has committed it, so everything here may be lost and will come again.
// What a caller must do for that is to end its agents' sessions when Resets
// fires, because the agents then start again from what is settled.
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	batchesStream  = "BATCHES"
	batchesSubject = "sentinel.batches."
	marksSubject   = "sentinel.marks"
	layoutsBucket  = "sentinel_layouts"
	partitionsKey  = "sentinel_partitions"
)

// MaxMessageBytes is the largest message that Publish accepts, below the 1 MiB
// that a NATS server allows by default.
const MaxMessageBytes = 900 << 10

// Config says where the broker is.
type Config struct {
	// URL is one or more NATS URLs, separated by commas. tls:// asks for TLS.
	URL string `yaml:"url"`
	// CAFile holds the authorities that may vouch for the broker, in PEM.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile hold a client certificate, where the broker wants one.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// CredentialsFile is a NATS .creds file, where the broker wants one.
	CredentialsFile string `yaml:"credentials_file"`
	// Replicas of the stream: 1, 3 or 5.
	Replicas int `yaml:"replicas"`
	// MaxBytes bounds the stream; a full stream pushes back on the gateways.
	MaxBytes int64 `yaml:"max_bytes"`
	// Partitions of the stream; only the first start counts.
	Partitions int `yaml:"partitions"`

	// InProcess, where set, connects to a server in this process instead of URL.
	InProcess nats.InProcessConnProvider `yaml:"-"`
}

// DefaultConfig returns the settings for a broker on this host.
func DefaultConfig() Config {
	return Config{URL: "nats://127.0.0.1:4222", Replicas: 1, MaxBytes: 4 << 30, Partitions: 16}
}

// Validate says which key is wrong and what is allowed.
func (c Config) Validate() error {
	switch {
	case c.URL == "" && c.InProcess == nil:
		return sentinel.Errorf(sentinel.Invalid, "url: is empty, want a URL such as nats://127.0.0.1:4222")
	case c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5:
		return sentinel.Errorf(sentinel.Invalid, "replicas: %d, want 1, 3 or 5", c.Replicas)
	case c.MaxBytes < 16<<20:
		return sentinel.Errorf(sentinel.Invalid, "max_bytes: %d, want at least 16777216 (16 MiB)", c.MaxBytes)
	case c.Partitions < 1 || c.Partitions > 1024:
		return sentinel.Errorf(sentinel.Invalid, "partitions: %d, want 1 to 1024", c.Partitions)
	case (c.CertFile == "") != (c.KeyFile == ""):
		return sentinel.Errorf(sentinel.Invalid, "cert_file: cert_file and key_file go together")
	}
	return nil
}

// Broker is a connection that mends itself. Safe for concurrent use.
type Broker struct {
	cfg  Config
	log  *slog.Logger
	conn *nats.Conn
	js   jetstream.JetStream

	mu         sync.Mutex
	partitions int
	layouts    jetstream.KeyValue
	created    time.Time     // of the stream that was found last
	resets     chan struct{} // closed and replaced at each reset
}

// Open connects and makes sure that the stream and the bucket exist. It waits for
// a broker that does not answer yet until ctx ends. The caller closes it.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Broker, error) {
	b := &Broker{cfg: cfg, log: log, resets: make(chan struct{})}
	opts := []nats.Option{
		nats.Name("sentinel"),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1), // what cannot be sent fails at once; nothing queues unseen
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("broker connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			log.Info("broker connection restored")
			b.reset()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("broker reported an error", "error", err)
		}),
	}
	if cfg.CAFile != "" {
		opts = append(opts, nats.RootCAs(cfg.CAFile), nats.Secure(&tls.Config{MinVersion: tls.VersionTLS13}))
	}
	if cfg.CertFile != "" {
		opts = append(opts, nats.ClientCert(cfg.CertFile, cfg.KeyFile))
	}
	if cfg.CredentialsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredentialsFile))
	}
	if cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(cfg.InProcess))
	}
	conn, err := nats.Connect(cfg.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to broker: %w", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to broker: %w", err)
	}
	b.conn, b.js = conn, js
	for warned := false; ; {
		err := b.Setup(ctx)
		if err == nil {
			return b, nil
		}
		if !warned && ctx.Err() == nil {
			log.Warn("broker is not ready, waiting", "error", err)
			warned = true
		}
		select {
		case <-ctx.Done():
			conn.Close()
			return nil, fmt.Errorf("set up broker: %w", err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// Close ends the connection.
func (b *Broker) Close() { b.conn.Close() }

// Setup makes sure that the stream and the bucket exist; doing it again is
// harmless. A stream that turns out to be another one than before is a reset.
func (b *Broker) Setup(ctx context.Context) error {
	if err := b.connected(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := b.js.Stream(ctx, batchesStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = b.js.CreateStream(ctx, jetstream.StreamConfig{
			Name:        batchesStream,
			Description: "signed batches on their way to the database",
			Subjects:    []string{batchesSubject + "*"},
			Storage:     jetstream.FileStorage,
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardNew,
			MaxBytes:    b.cfg.MaxBytes,
			Replicas:    b.cfg.Replicas,
			Duplicates:  2 * time.Minute,
			Metadata:    map[string]string{partitionsKey: strconv.Itoa(b.cfg.Partitions)},
		})
	}
	if err != nil {
		return unavailable("find stream "+batchesStream, err)
	}
	info := stream.CachedInfo()
	partitions, err := strconv.Atoi(info.Config.Metadata[partitionsKey])
	if err != nil || partitions < 1 {
		return sentinel.Errorf(sentinel.Invalid, "stream %s exists but was not made by Sentinel (no %s in its metadata)", batchesStream, partitionsKey)
	}
	layouts, err := b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: layoutsBucket, Description: "layouts that batches name", Replicas: b.cfg.Replicas,
		Storage: jetstream.FileStorage, History: 1, MaxValueSize: 2 << 20, MaxBytes: 512 << 20,
	})
	if err != nil {
		return unavailable("find bucket "+layoutsBucket, err)
	}
	if err := b.setupAlerts(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	other := !b.created.IsZero() && !b.created.Equal(info.Created)
	b.created, b.partitions, b.layouts = info.Created, partitions, layouts
	b.mu.Unlock()
	if other {
		b.log.Warn("broker's stream is a new one, agents will send again what is not settled")
		b.reset()
	}
	return nil
}

// Resets returns a channel that is closed at the next event after which messages
// that were acknowledged may be gone: the connection came back, or the stream is
// a new one. Ask again after each.
func (b *Broker) Resets() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.resets
}

func (b *Broker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.resets)
	b.resets = make(chan struct{})
}

// Ready returns an Unavailable error where the broker or its stream does not
// answer.
func (b *Broker) Ready(ctx context.Context) error {
	if err := b.connected(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := b.js.Stream(ctx, batchesStream); err != nil {
		return unavailable("ask for stream "+batchesStream, err)
	}
	return nil
}

// connected returns an Unavailable error that says why there is no connection.
func (b *Broker) connected() error {
	if b.conn.IsConnected() {
		return nil
	}
	if err := b.conn.LastError(); err != nil {
		return unavailable("no connection", err)
	}
	return sentinel.Errorf(sentinel.Unavailable, "no connection: the broker does not answer")
}

// Partitions returns the number of partitions of the stream.
func (b *Broker) Partitions() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.partitions
}

// Partition returns the partition of an agent among n: FNV-1a of its name.
func Partition(agent sentinel.AgentID, n int) int {
	h := fnv.New32a()
	h.Write([]byte(agent))
	return int(h.Sum32() % uint32(n))
}

// Publish stores one message and returns after JetStream acknowledged it. id is
// the same for every try at the same message, so that a repeated try within two
// minutes is dropped. A ResourceExhausted error means that the stream is full,
// Unavailable that the outcome is unknown or nothing happened; both may be tried
// again.
func (b *Broker) Publish(ctx context.Context, partition int, id string, data []byte) error {
	if len(data) > MaxMessageBytes {
		return sentinel.Errorf(sentinel.Invalid, "message has %d bytes, at most %d fit", len(data), MaxMessageBytes)
	}
	_, err := b.js.Publish(ctx, batchesSubject+strconv.Itoa(partition), data,
		jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
	if err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == errCodeStreamStoreFailed || api.ErrorCode == errCodeInsufficient) {
		return sentinel.Errorf(sentinel.ResourceExhausted, "the broker's stream is full: %w", err)
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) && ctx.Err() == nil {
		// The stream is gone: make it again, so that the next try finds it.
		if serr := b.Setup(ctx); serr != nil {
			return serr
		}
	}
	return unavailable("publish batch", err)
}

// JetStream's answers to a publish that does not fit (server/errors.json).
const (
	errCodeStreamStoreFailed = 10077
	errCodeInsufficient      = 10023
)

// PutLayout makes a layout known to the workers.
func (b *Broker) PutLayout(ctx context.Context, agent sentinel.AgentID, h sentinel.LayoutHash, definition []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := b.bucket().Create(ctx, layoutKey(agent, h), definition); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return unavailable("put layout", err)
	}
	return nil
}

// Layout returns a layout's definition, or a NotFound error.
func (b *Broker) Layout(ctx context.Context, agent sentinel.AgentID, h sentinel.LayoutHash) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	entry, err := b.bucket().Get(ctx, layoutKey(agent, h))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, sentinel.Errorf(sentinel.NotFound, "layout %s of agent %s is not known to the broker", h, agent)
	}
	if err != nil {
		return nil, unavailable("get layout", err)
	}
	return entry.Value(), nil
}

func (b *Broker) bucket() jetstream.KeyValue {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.layouts
}

func layoutKey(agent sentinel.AgentID, h sentinel.LayoutHash) string {
	return string(agent) + "." + h.String()
}

// PublishMarks tells every gateway that listens now. It is a hint: a mark that
// gets lost is repeated by the next one of that agent, or asked for.
func (b *Broker) PublishMarks(data []byte) error {
	if err := b.conn.Publish(marksSubject, data); err != nil {
		return unavailable("publish marks", err)
	}
	return nil
}

// SubscribeMarks calls f, one call at a time, with what PublishMarks sends, until
// ctx ends.
func (b *Broker) SubscribeMarks(ctx context.Context, f func(data []byte)) error {
	sub, err := b.conn.Subscribe(marksSubject, func(m *nats.Msg) { f(m.Data) })
	if err != nil {
		return unavailable("subscribe to marks", err)
	}
	<-ctx.Done()
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("unsubscribe from marks: %w", err)
	}
	return nil
}

func unavailable(what string, err error) error {
	return sentinel.Errorf(sentinel.Unavailable, "%s: %w", what, err)
}
