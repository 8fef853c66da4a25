package broker

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Judged says how far a partition's batches were judged by alerting.
type Judged struct {
	Store string `json:"store"` // see Broker.Store
	Next  uint64 `json:"next"`  // all messages of the partition before this one
}

// JudgedKey is where a partition's Judged lies in BucketJudged.
func JudgedKey(partition int) string { return "judged." + strconv.Itoa(partition) }

// Trim removes from the stream of batches what every consumer has acknowledged and
// every partition's alerting has judged. Without a consumer it removes nothing. While
// the stream is more than half full, alerting that does not come along holds nothing
// back.
func (b *Broker) Trim(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stream, err := b.js.Stream(ctx, batchesStream)
	if err != nil {
		return unavailable("trim stream", err)
	}
	floor, consumers := uint64(math.MaxUint64), 0
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Config.Durable == "" { // a reader of alerting, whose word is Judged
			continue
		}
		consumers++
		floor = min(floor, info.AckFloor.Stream)
	}
	if err := list.Err(); err != nil {
		return unavailable("trim stream", err)
	}
	info := stream.CachedInfo()
	if limit := info.Config.MaxBytes; limit <= 0 || info.State.Bytes < uint64(limit)/2 {
		judged, err := b.judged(ctx, stream)
		if err != nil {
			return err
		}
		floor = min(floor, judged)
	}
	if consumers == 0 || floor < info.State.FirstSeq {
		return nil
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(floor+1)); err != nil {
		return unavailable("trim stream", err)
	}
	return nil
}

// judged returns the number up to which alerting has judged all partitions.
func (b *Broker) judged(ctx context.Context, stream jetstream.Stream) (uint64, error) {
	floor, bucket, store := uint64(math.MaxUint64), b.Bucket(BucketJudged), b.Store()
	for p := range b.Partitions() {
		var j Judged
		e, err := bucket.Get(ctx, JudgedKey(p))
		switch {
		case err != nil && sentinel.CodeOf(err) != sentinel.NotFound:
			return 0, err
		case err != nil || json.Unmarshal(e.Value, &j) != nil || j.Store != store:
			j.Next = 0
		}
		last, err := stream.GetLastMsgForSubject(ctx, batchesSubject+strconv.Itoa(p))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return 0, unavailable("trim stream", err)
		}
		if j.Next <= last.Sequence {
			floor = min(floor, max(j.Next, 1)-1)
		}
	}
	return floor, nil
}
