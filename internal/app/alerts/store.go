package alerts

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// store is the notifier's notify.Store on a bucket of the broker. Silences are those of
// the database, as the courier brought them. Where the broker loses the bucket under a
// running notifier, what was in it is written again from memory: nobody is told twice.
// Safe for concurrent use.
type store struct {
	broker *broker.Broker
	bucket *broker.Bucket

	mu       sync.Mutex
	name     string          // of the broker's store that the bucket is in
	entries  map[string]kept // everything that was read or written here
	silences []notify.Entry  // as they came last
}

// kept is a value and the two revisions of it: the dispatcher's, and the bucket's, which
// begins anew with the bucket.
type kept struct {
	value         []byte
	revision, now uint64
}

func newStore(b *broker.Broker) *store {
	return &store{broker: b, bucket: b.Bucket(broker.BucketNotify), name: b.Store(), entries: map[string]kept{}}
}

const silencePrefix = "silence."

// setSilences takes the list that the courier brought.
func (s *store) setSilences(raw []byte) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return
	}
	var entries []notify.Entry
	for _, body := range list {
		var sil notify.Silence
		if json.Unmarshal(body, &sil) == nil && sil.ID != "" {
			entries = append(entries, notify.Entry{Key: silencePrefix + sil.ID, Value: body, Revision: 1})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silences = entries
}

// All implements notify.Store.
func (s *store) All(ctx context.Context, prefix string) ([]notify.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(prefix, silencePrefix) {
		return s.silences, nil
	}
	if err := s.renew(ctx); err != nil {
		return nil, err
	}
	var list []broker.BucketEntry
	var err error
	if strings.HasSuffix(prefix, ".") {
		list, err = s.bucket.All(ctx, prefix)
	} else {
		var e broker.BucketEntry
		if e, err = s.bucket.Get(ctx, prefix); err == nil {
			list = append(list, e)
		} else if sentinel.CodeOf(err) == sentinel.NotFound {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	out := make([]notify.Entry, 0, len(list))
	for _, e := range list {
		k, ok := s.entries[e.Key]
		if !ok || k.now != e.Revision {
			k = kept{e.Value, max(e.Revision, k.revision+1), e.Revision}
			s.entries[e.Key] = k
		}
		out = append(out, notify.Entry{Key: e.Key, Value: e.Value, Revision: k.revision})
	}
	return out, nil
}

// Put implements notify.Store.
func (s *store) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(key, silencePrefix) {
		return 0, sentinel.Errorf(sentinel.Invalid, "silences are kept in the database")
	}
	if err := s.renew(ctx); err != nil {
		return 0, err
	}
	k := s.entries[key]
	if k.revision != revision {
		return 0, sentinel.Errorf(sentinel.Conflict, "the revision of %s is %d", key, k.revision)
	}
	now, err := s.bucket.Swap(ctx, key, value, k.now)
	if err != nil {
		return 0, err
	}
	s.entries[key] = kept{value, max(revision+1, now), now}
	return s.entries[key].revision, nil
}

// Delete implements notify.Store. Silences that are over go from the database.
func (s *store) Delete(ctx context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, key)
	if strings.HasPrefix(key, silencePrefix) {
		return nil
	}
	return s.bucket.Delete(ctx, key)
}

// look makes the next call look whether the bucket is another one, also where the
// broker's store has no other name yet.
func (s *store) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name = ""
}

// renew writes everything again where the broker's store is another one than before.
func (s *store) renew(ctx context.Context) error {
	name := s.broker.Store()
	if name == s.name {
		return nil
	}
	list, err := s.bucket.All(ctx, "")
	if err != nil {
		return err
	}
	there := map[string]uint64{}
	for _, e := range list {
		there[e.Key] = e.Revision
	}
	for key, k := range s.entries {
		if there[key] == k.now {
			continue
		}
		now, err := s.bucket.Swap(ctx, key, k.value, 0)
		if err != nil && sentinel.CodeOf(err) != sentinel.Conflict {
			return err
		}
		if err == nil {
			k.now = now
			s.entries[key] = k
		}
	}
	s.name = name
	return nil
}
