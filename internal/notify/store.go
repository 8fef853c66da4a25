package notify

import "context"

// Entry is one value of a Store.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64
}

// Store keeps what must survive the process: the notification log, silences,
// acknowledgements and dead letters. Keys are made of a-z, 0-9, '.', '_' and '-', as
// a NATS key-value bucket wants them; values are JSON of at most MaxValue bytes.
type Store interface {
	// All returns the entries whose keys begin with prefix.
	All(ctx context.Context, prefix string) ([]Entry, error)
	// Put writes a value if the key's revision is the given one, 0 for a key that is
	// not there, and returns the new revision. Otherwise the error is Conflict.
	Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Delete removes a key. One that is not there is no error.
	Delete(ctx context.Context, key string) error
}

// MaxValue bounds every value that is put into a Store.
const MaxValue = 900 << 10

const (
	logPrefix     = "log."
	silencePrefix = "silence."
	ackPrefix     = "ack."
	letterPrefix  = "letter."
)
