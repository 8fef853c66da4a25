package alerts_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// TestP20TheNotificationFileMovesToANewMasterKey under a worker that tells by it:
// afterwards the old key is of no use, nobody is told twice, and ends are told.
func TestP20TheNotificationFileMovesToANewMasterKey(t *testing.T) {
	r := newRig(t, 1, postgrestest.URL(t))
	line := func(id string, b byte) string {
		return id + ":" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) + "\n"
	}
	vault := func(lines ...string) *sign.Vault {
		v, err := sign.ParseVault(strings.Join(lines, ""))
		must(t, err)
		return v
	}
	old, alone := r.vault, vault(line("m-new", 8))
	if n, err := alerts.Reseal(t.Context(), r.db, alone); err != nil || n != 0 {
		t.Errorf("without a file: %d, %v", n, err)
	}
	r.rules(hotRule)
	r.tell()
	r.vault = vault(line("m-new", 8), line("m-test", 0)) // what the worker has
	r.work()
	r.ready()
	now := time.Now()
	r.send(0, now, 35, 1)
	r.hook.until(t, 20*time.Second, "nobody is told", func(n []note) bool { return len(n) == 1 })
	before, err := r.db.NotificationConfig(t.Context())
	must(t, err)
	if _, err := alerts.Reseal(t.Context(), r.db, alone); sentinel.CodeOf(err) != sentinel.Invalid || !strings.Contains(err.Error(), `"m-test"`) {
		t.Errorf("without the old master key: %v", err)
	}
	for _, want := range []int{1, 0} {
		if n, err := alerts.Reseal(t.Context(), r.db, r.vault); err != nil || n != want {
			t.Errorf("sealed %d texts anew, want %d: %v", n, want, err)
		}
	}
	after, err := r.db.NotificationConfig(t.Context())
	must(t, err)
	if _, err := alone.OpenText(alerts.NotificationPurpose, after.Sealed); err != nil || after.Version != before.Version || after.MasterKeyID != "m-new" {
		t.Errorf("%v: version %d, was %d, under %q", err, after.Version, before.Version, after.MasterKeyID)
	}
	if _, err := old.OpenText(alerts.NotificationPurpose, after.Sealed); err == nil {
		t.Error("the old master key still opens it")
	}
	waitFor(t, 20*time.Second, "the broker keeps what the old key sealed", func() bool {
		e, err := r.b.Bucket("sentinel_alerting").Get(t.Context(), "notification")
		return err == nil && bytes.Contains(e.Value, []byte(base64.StdEncoding.EncodeToString(after.Sealed)))
	})
	r.send(0, now.Add(2*time.Second), 21, 1)
	got := r.hook.until(t, 20*time.Second, "the end is not told", func(n []note) bool { return told(n, "host-0", "resolved") == 1 })
	if len(got) != 2 {
		t.Errorf("told %+v", got)
	}
}
