package broker

import "testing"

// Lose fetches one message as a Fetch does whose time is over when it comes.
func (r *Reader) Lose(t *testing.T) {
	t.Helper()
	batch, err := r.cons.FetchNoWait(1)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range batch.Messages() {
		n++
	}
	if n != 1 {
		t.Fatalf("%d messages were there to be lost, want one", n)
	}
}
