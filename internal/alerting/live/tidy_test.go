package live

import (
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/broker/brokertest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// TestTheStreamForgetsWhatIsOver: the last change of each incident stays, those before
// it go once they are in the database, and all of one that was over long ago goes.
func TestTheStreamForgetsWhatIsOver(t *testing.T) {
	b, _ := brokertest.Open(t)
	now := time.Now()
	p := &journal{broker: b, id: 2, known: map[string]*known{"aa": {at: now}, "bb": {at: now.Add(-2 * keepOver), over: true}}}
	for _, data := range []string{"1", "2", "3"} {
		must(t, p.publish(t.Context(), []said{{"aa", 1, []byte(data), now}, {"bb", 1, []byte(data), now}}))
	}
	history := b.AlertConsumer(HistoryDurable)
	settle := func(n int) {
		t.Helper()
		for n > 0 {
			msgs, err := history.Fetch(t.Context(), n, time.Second)
			must(t, err)
			for _, m := range msgs {
				must(t, m.Ack())
			}
			n -= len(msgs)
		}
	}
	all := func() (n int, last map[string]string) {
		t.Helper()
		list, err := b.Incidents(t.Context(), 2)
		must(t, err)
		last = map[string]string{}
		for _, a := range list {
			last[a.Fingerprint] = string(a.Data)
		}
		c := b.AlertConsumer("counter-" + sentinel.RandomName(5))
		msgs, err := c.Fetch(t.Context(), 100, 100*time.Millisecond)
		must(t, err)
		return len(msgs), last
	}
	p.tidy(t.Context(), now) // nothing is in the database yet
	if n, _ := all(); n != 6 {
		t.Errorf("%d messages are left, want 6", n)
	}
	settle(6)
	for deadline := time.Now().Add(5 * time.Second); ; { // acknowledgements are on their way
		settled, err := b.AlertsSettled(t.Context(), HistoryDurable)
		must(t, err)
		if settled >= p.known["bb"].seq {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the acknowledgements do not arrive")
		}
	}
	p.tidy(t.Context(), now.Add(tidyEvery/2)) // not its time
	if n, _ := all(); n != 6 {
		t.Errorf("%d messages are left, want 6", n)
	}
	p.tidy(t.Context(), now.Add(2*tidyEvery))
	n, last := all()
	if n != 1 || len(last) != 1 || last["aa"] != "3" {
		t.Errorf("%d messages are left, and %v", n, last)
	}
	must(t, p.publish(t.Context(), []said{{"aa", 2, []byte("4"), now}})) // the next change fits
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
