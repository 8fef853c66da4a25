package broker_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// TestP26TwoOwnersCannotForkAnIncident: who does not know the last change cannot write
// the next; who tries the same again finds it written.
func TestP26TwoOwnersCannotForkAnIncident(t *testing.T) {
	b, ctx := inProcess(t), t.Context()
	one := []broker.Alert{{Fingerprint: "aa", Data: []byte("1")}, {Fingerprint: "bb", Data: []byte("1")}}
	if err := b.PublishAlerts(ctx, 3, one); err != nil || one[0].Seq == 0 || one[1].Seq == one[0].Seq {
		t.Fatalf("%v, %+v", err, one)
	}
	again := []broker.Alert{{Fingerprint: "aa", Data: []byte("1")}} // whose answer got lost
	if err := b.PublishAlerts(ctx, 3, again); err != nil || again[0].Seq != one[0].Seq {
		t.Errorf("the same once more: %v, %+v", err, again)
	}
	if err := b.PublishAlerts(ctx, 3, []broker.Alert{{Fingerprint: "aa", Data: []byte("other")}}); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Errorf("another owner's change: %v", err)
	}
	next := []broker.Alert{{Fingerprint: "aa", Data: []byte("2"), Seq: one[0].Seq}}
	if err := b.PublishAlerts(ctx, 3, next); err != nil {
		t.Fatal(err)
	}
	list, err := b.Incidents(ctx, 3)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %+v", err, list)
	}
	for _, a := range list {
		if want := map[string]string{"aa": "2", "bb": "1"}[a.Fingerprint]; string(a.Data) != want {
			t.Errorf("%s stands at %s, want %s", a.Fingerprint, a.Data, want)
		}
	}
	if list, err := b.Incidents(ctx, 2); err != nil || len(list) != 0 {
		t.Errorf("another partition has %+v, %v", list, err)
	}
	if err := b.ForgetAlerts(ctx, 3, "aa", next[0].Seq+1); err != nil {
		t.Fatal(err)
	}
	lost := []broker.Alert{{Fingerprint: "aa", Data: []byte("3"), Seq: next[0].Seq}}
	if err := b.PublishAlerts(ctx, 3, lost); sentinel.CodeOf(err) != sentinel.Unavailable {
		t.Errorf("a store that has forgotten what its owner wrote: %v, want Unavailable", err)
	}
	if list, err := b.Incidents(ctx, 3); err != nil || len(list) != 1 {
		t.Errorf("after one was forgotten there are %+v, %v", list, err)
	}
}

// TestReadersMissNothing: first the last change of each incident, then all that come.
func TestReadersMissNothing(t *testing.T) {
	b, ctx := inProcess(t), t.Context()
	last := map[string]uint64{}
	write := func(fp, data string) {
		t.Helper()
		list := []broker.Alert{{Fingerprint: fp, Data: []byte(data), Seq: last[fp]}}
		if err := b.PublishAlerts(ctx, 0, list); err != nil {
			t.Fatal(err)
		}
		last[fp] = list[0].Seq
	}
	for i := range 5 {
		write("aa", fmt.Sprint(i))
	}
	write("bb", "0")
	r := b.Alerts()
	var got []string
	read := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); len(got) < n; {
			list, err := r.Fetch(ctx, 2, 100*time.Millisecond)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%v, %v", got, err)
			}
			for _, rec := range list {
				got = append(got, broker.FingerprintOf(rec)+string(rec.Data))
			}
		}
	}
	read(2)
	if r.Left() != 0 {
		t.Errorf("%d are left", r.Left())
	}
	for i := range 7 {
		write("bb", fmt.Sprint(i+1))
	}
	read(9)
	if want := "[aa4 bb0 bb1 bb2 bb3 bb4 bb5 bb6 bb7]"; fmt.Sprint(got) != want {
		t.Errorf("read %v, want %s", got, want)
	}
}

// TestP26ReadersFindWhatGotLostOnTheWay: also where nothing comes after it.
func TestP26ReadersFindWhatGotLostOnTheWay(t *testing.T) {
	b, ctx := inProcess(t), t.Context()
	r := b.Alerts()
	if list, err := r.Fetch(ctx, 2, 0); err != nil || len(list) != 0 {
		t.Fatal(list, err)
	}
	if err := b.PublishAlerts(ctx, 0, []broker.Alert{{Fingerprint: "aa", Data: []byte("last")}}); err != nil {
		t.Fatal(err)
	}
	r.Lose(t)
	for deadline := time.Now().Add(10 * time.Second); ; {
		list, err := r.Fetch(ctx, 2, 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 && string(list[0].Data) == "last" {
			break
		}
		if len(list) > 0 || time.Now().After(deadline) {
			t.Fatalf("read %v, want the one that got lost", list)
		}
	}
	if list, err := r.Fetch(ctx, 2, 2*time.Second); err != nil || len(list) != 0 {
		t.Errorf("once more: %v, %v", list, err)
	}
	if err := b.PublishAlerts(ctx, 0, []broker.Alert{{Fingerprint: "bb", Data: []byte("last")}}); err != nil {
		t.Fatal(err)
	}
	between := b.AlertsFrom(0)
	if list, err := between.Fetch(ctx, 1, 0); err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	between.Lose(t)
	if err := b.PublishAlerts(ctx, 0, []broker.Alert{{Fingerprint: "cc", Data: []byte("after it")}}); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for deadline := time.Now().Add(10 * time.Second); len(texts) < 2; { // the number of what follows shows it at once
		list, err := between.Fetch(ctx, 5, 100*time.Millisecond)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("read %q, %v, want what got lost and what follows", texts, err)
		}
		for _, rec := range list {
			texts = append(texts, string(rec.Data))
		}
	}
	if fmt.Sprint(texts) != "[last after it]" {
		t.Errorf("read %q", texts)
	}
	all := b.AlertsFrom(0)
	if list, err := all.Fetch(ctx, 1, 0); err != nil || len(list) != 1 || all.Left() != 2 {
		t.Fatal(list, err, all.Left())
	}
	all.Lose(t)
	for deadline := time.Now().Add(10 * time.Second); all.Left() > 0; { // who does not wait finds it as well
		if _, err := all.Fetch(ctx, 1, 0); err != nil || time.Now().After(deadline) {
			t.Fatal("it is not found", err)
		}
	}
}

// TestLeasesEndByThemselves: nobody else gets one before, and its owner can prolong it.
func TestLeasesEndByThemselves(t *testing.T) {
	b, ctx := inProcess(t), t.Context()
	owners := b.Bucket(broker.BucketOwners)
	revision, err := owners.Swap(ctx, "partition.0", []byte("one"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owners.Swap(ctx, "partition.0", []byte("two"), 0); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Errorf("a second owner: %v", err)
	}
	if revision, err = owners.Swap(ctx, "partition.0", []byte("one"), revision); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); ; <-time.After(100 * time.Millisecond) {
		_, err := owners.Swap(ctx, "partition.0", []byte("two"), 0)
		if err == nil {
			if took := time.Since(begun); took > 2*broker.LeaseTime {
				t.Errorf("it took %s", took)
			}
			break
		}
		if time.Since(begun) > 3*broker.LeaseTime {
			t.Fatalf("the lease does not end: %v", err)
		}
	}
	if _, err := owners.Swap(ctx, "partition.0", []byte("one"), revision); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Errorf("the owner before still has it: %v", err)
	}
	if err := owners.Give(ctx, "partition.0", revision); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Errorf("the owner before gave what it does not have: %v", err)
	}
}

// TestTrimWaitsForAlerting: what was stored and not judged stays.
func TestTrimWaitsForAlerting(t *testing.T) {
	b, ctx := inProcess(t), t.Context()
	c := b.Consumer("writer")
	for i := range 4 {
		if err := b.Publish(ctx, i%2, fmt.Sprint(i), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	msgs, err := c.Fetch(ctx, 10, time.Second)
	if err != nil || len(msgs) != 4 {
		t.Fatal(len(msgs), err)
	}
	for _, m := range msgs {
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	left := func() uint64 {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); ; { // an acknowledgement is on its way
			if err := b.Trim(ctx); err != nil {
				t.Fatal(err)
			}
			s, err := b.Stats(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if s.Consumers[0].Pending == 0 || time.Now().After(deadline) {
				return s.Messages
			}
		}
	}
	note := func(partition int, next uint64, store string) {
		t.Helper()
		raw, err := json.Marshal(broker.Judged{Store: store, Next: next})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Bucket(broker.BucketJudged).Put(ctx, broker.JudgedKey(partition), raw); err != nil {
			t.Fatal(err)
		}
	}
	if n := left(); n != 4 {
		t.Errorf("%d messages are left before anything was judged, want 4", n)
	}
	note(0, 4, b.Store())
	note(1, 2, b.Store())
	if n := left(); n != 3 {
		t.Errorf("%d messages are left, want 3: partition 1 is at its first", n)
	}
	note(1, 5, "another")
	if n := left(); n != 3 {
		t.Errorf("%d messages are left, want 3: the note is of another store", n)
	}
	note(1, 5, b.Store())
	if n := left(); n != 0 {
		t.Errorf("%d messages are left, want none", n)
	}
}
