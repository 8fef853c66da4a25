package broker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// The buckets that alerting keeps things in. What must survive the loss of a bucket
// lies in the database as well, or with whoever wrote it.
const (
	// BucketOwners holds leases. An entry goes by itself LeaseTime after it was written.
	BucketOwners = "sentinel_owners"
	// BucketAlerting holds what people have written: rules, receivers, silences.
	BucketAlerting = "sentinel_alerting"
	// BucketJudged holds how far each partition was judged, and what is known of its agents.
	BucketJudged = "sentinel_judged"
	// BucketFleet holds what workers have to know of each agent.
	BucketFleet = "sentinel_fleet"
	// BucketNotify holds what was told to whom.
	BucketNotify = "sentinel_notify"
)

// LeaseTime is how long an entry of BucketOwners lasts.
const LeaseTime = 5 * time.Second

// BucketEntry is one value of a bucket.
type BucketEntry struct {
	Key      string
	Value    []byte // nil: the key was removed
	Revision uint64
}

// Bucket is a set of values with keys. It is made when it is first used, and made
// again where it is gone. Safe for concurrent use.
type Bucket struct {
	b    *Broker
	name string

	mu sync.Mutex
	kv jetstream.KeyValue
}

// Bucket returns the bucket of this name.
func (b *Broker) Bucket(name string) *Bucket { return &Bucket{b: b, name: name} }

func (k *Bucket) open(ctx context.Context) (jetstream.KeyValue, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kv != nil {
		return k.kv, nil
	}
	if err := k.b.connected(); err != nil {
		return nil, err
	}
	cfg := jetstream.KeyValueConfig{Bucket: k.name, Replicas: k.b.cfg.Replicas, Storage: jetstream.FileStorage, History: 1}
	if k.name == BucketOwners {
		cfg.TTL, cfg.Storage = LeaseTime, jetstream.MemoryStorage
	}
	kv, err := k.b.js.CreateOrUpdateKeyValue(ctx, cfg)
	if err != nil {
		return nil, unavailable("find bucket "+k.name, err)
	}
	k.kv = kv
	return kv, nil
}

// do runs f on the bucket. A bucket that is gone is looked for anew at the next call.
func (k *Bucket) do(ctx context.Context, doing string, f func(context.Context, jetstream.KeyValue) error) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	kv, err := k.open(ctx)
	if err != nil {
		return err
	}
	err = f(ctx, kv)
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return sentinel.Errorf(sentinel.NotFound, "%s: %w", doing, err)
	case errors.Is(err, jetstream.ErrKeyExists), errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return sentinel.Errorf(sentinel.Conflict, "%s: %w", doing, err)
	}
	k.mu.Lock()
	k.kv = nil
	k.mu.Unlock()
	return unavailable(doing, err)
}

// Get returns a value, or a NotFound error.
func (k *Bucket) Get(ctx context.Context, key string) (e BucketEntry, err error) {
	err = k.do(ctx, "get "+key, func(ctx context.Context, kv jetstream.KeyValue) error {
		got, err := kv.Get(ctx, key)
		if err == nil {
			e = BucketEntry{key, got.Value(), got.Revision()}
		}
		return err
	})
	return e, err
}

// Put writes a value, whatever was there.
func (k *Bucket) Put(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	err = k.do(ctx, "put "+key, func(ctx context.Context, kv jetstream.KeyValue) error {
		revision, err = kv.Put(ctx, key, value)
		return err
	})
	return revision, err
}

// Swap writes a value where the key's revision is the given one, 0 for a key that is
// not there, and returns the new revision. Otherwise the error is Conflict.
func (k *Bucket) Swap(ctx context.Context, key string, value []byte, revision uint64) (now uint64, err error) {
	err = k.do(ctx, "put "+key, func(ctx context.Context, kv jetstream.KeyValue) error {
		if revision == 0 {
			now, err = kv.Create(ctx, key, value)
		} else {
			now, err = kv.Update(ctx, key, value, revision)
		}
		return err
	})
	return now, err
}

// Delete removes a key. One that is not there is no error.
func (k *Bucket) Delete(ctx context.Context, key string) error {
	return k.do(ctx, "delete "+key, func(ctx context.Context, kv jetstream.KeyValue) error { return kv.Purge(ctx, key) })
}

// Give removes a key where its revision is the given one.
func (k *Bucket) Give(ctx context.Context, key string, revision uint64) error {
	return k.do(ctx, "delete "+key, func(ctx context.Context, kv jetstream.KeyValue) error {
		return kv.Purge(ctx, key, jetstream.LastRevision(revision))
	})
}

// All returns the entries whose keys begin with prefix. Where that ends in a point it
// is taken for whole words of the keys, which is cheaper.
func (k *Bucket) All(ctx context.Context, prefix string) (list []BucketEntry, err error) {
	err = k.do(ctx, "read bucket "+k.name, func(ctx context.Context, kv jetstream.KeyValue) error {
		list = nil
		filter := ">"
		if strings.HasSuffix(prefix, ".") {
			filter = prefix + ">"
		}
		w, err := kv.Watch(ctx, filter, jetstream.IgnoreDeletes())
		if err != nil {
			return err
		}
		defer func() { _ = w.Stop() }() // the connection may be gone
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case e, ok := <-w.Updates():
				switch {
				case !ok:
					return errors.New("the watch ended")
				case e == nil:
					return nil
				case strings.HasPrefix(e.Key(), prefix):
					list = append(list, BucketEntry{e.Key(), e.Value(), e.Revision()})
				}
			}
		}
	})
	return list, err
}

// Watch calls f with every entry there is and then with every change, until ctx
// ends; then it returns nil. ready is called when f has seen all that was there.
// After an interruption it begins anew: f sees again what there is, and reset is called
// before, so that what went meanwhile can be forgotten.
func (k *Bucket) Watch(ctx context.Context, f func(BucketEntry), reset, ready func()) error {
	for ctx.Err() == nil {
		if err := k.watch(ctx, f, reset, ready); err != nil {
			k.mu.Lock()
			k.kv = nil
			k.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	return nil
}

// watch ends with an error where the bucket may have become another one.
func (k *Bucket) watch(ctx context.Context, f func(BucketEntry), reset, ready func()) error {
	resets := k.b.Resets()
	kv, err := k.open(ctx)
	if err != nil {
		return err
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return unavailable("watch bucket "+k.name, err)
	}
	defer func() { _ = w.Stop() }() // the connection may be gone
	reset()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-resets:
			return sentinel.Errorf(sentinel.Unavailable, "the broker was reset")
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return sentinel.Errorf(sentinel.Unavailable, "the watch ended")
			case e == nil:
				ready()
			case e.Operation() == jetstream.KeyValuePut:
				f(BucketEntry{e.Key(), e.Value(), e.Revision()})
			default:
				f(BucketEntry{Key: e.Key(), Revision: e.Revision()})
			}
		}
	}
}
