//go:build linux

package systemtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// A self-test goes the whole way, names the stage that does not answer, and leaves
// neither a host nor anything in the books.
func TestP13SelfTestLeavesTheBooksAlone(t *testing.T) {
	s := newSystem(t, 1)
	s.startAll()
	token, err := s.registry.CreateToken(t.Context(), "test", postgres.Operator, 0)
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(api.ClientConfig{Server: fmt.Sprint("https://127.0.0.1:", s.ports["api"]), CAFile: s.certs.CA, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, time.Minute, "the agent's samples do not arrive", func() bool {
		status, err := client.Status(t.Context())
		return err == nil && status.Records.Stored > 0
	})
	s.procs["agent-0"].kill() // the books stand still
	var before api.Status
	waitFor(t, time.Minute, "the books do not come to rest", func() bool {
		last := before
		before, err = client.Status(t.Context())
		waits := func(c api.ConsumerStatus) bool { return c.Pending > 0 }
		return err == nil && before.Records == last.Records && before.Broker != nil && !slices.ContainsFunc(before.Broker.Consumers, waits)
	})

	states := func(st api.SelfTest) string {
		var list []string
		for _, stage := range st.Stages {
			list = append(list, stage.Name+" "+stage.State)
		}
		return strings.Join(list, ", ")
	}
	var well api.SelfTest
	waitFor(t, time.Minute, "no self-test passes", func() bool { // alerting takes its partitions over by and by
		if well, err = client.SelfTest(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %+v", well.Error, well.Stages)
		return well.OK
	})
	if got := states(well); got != "admit passed, broker passed, store passed, query passed, alerting passed" || well.TookMS <= 0 {
		t.Errorf("%s in %v ms", got, well.TookMS)
	}
	for range 3 {
		if st, err := client.SelfTest(t.Context()); err != nil || !st.OK {
			t.Errorf("again: %+v, %v", st, err)
		}
	}

	after, err := client.Status(t.Context())
	if err != nil || after.Records != before.Records || after.DeadLetters != before.DeadLetters || fmt.Sprint(after.Agents) != fmt.Sprint(before.Agents) {
		t.Errorf("the books changed: %+v, before %+v (%v)", after, before, err)
	}
	agents, err := client.Agents(t.Context(), "")
	if err != nil || len(agents) != 1 {
		t.Errorf("agents: %+v, %v", agents, err)
	}
	if _, err := client.Agent(t.Context(), string(sentinel.SelfTestAgent)); sentinel.CodeOf(err) != sentinel.NotFound {
		t.Errorf("the identity of the self-test is shown: %v", err)
	}
	metrics, err := s.db.Metrics(t.Context(), "sentinel_self_test", 0)
	found, findErr := s.db.FindSeries(t.Context(), []postgres.SeriesMatch{{Field: postgres.FieldName, Values: []string{"sentinel_self_test"}}}, 10)
	if err != nil || findErr != nil || len(metrics) != 0 || len(found) != 0 {
		t.Errorf("its series are shown: %v, %v", metrics, found)
	}
	if left, err := postgrestest.Cycles(t.Context(), s.url, sentinel.SelfTestAgent); err != nil || len(left) != 0 {
		t.Errorf("samples are left: %v, %v", left, err)
	}

	// Without a worker it says so, and what comes later disturbs nothing.
	s.procs["worker"].kill()
	st, err := client.SelfTest(t.Context())
	if err != nil || st.OK || states(st) != "admit passed, broker passed, store failed, query skipped, alerting failed" || !strings.HasPrefix(st.Error, "store: no worker committed the sample within 10s") {
		t.Errorf("without a worker: %+v, %v", st, err)
	}
	s.start(s.procs["worker"])
	row, err := s.db.AgentByName(t.Context(), sentinel.SelfTestAgent)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, 2*time.Minute, "the late sample is not stored", func() bool {
		books, err := s.db.Books(context.WithoutCancel(t.Context()), row.ID)
		return err == nil && books.Total.StoredCycles > 0
	})
	after, err = client.Status(t.Context())
	if err != nil || after.Records != before.Records {
		t.Errorf("a late sample is in the books: %+v, before %+v (%v)", after.Records, before.Records, err)
	}

	// Without a broker there is nothing to wait for.
	s.procs["nats"].kill()
	waitFor(t, time.Minute, "the server does not notice", func() bool { return !strings.Contains(s.get("server", "/readyz"), "broker: ok") })
	begun := time.Now()
	st, err = client.SelfTest(t.Context())
	if failed := slices.IndexFunc(st.Stages, func(stage api.SelfTestStage) bool { return stage.State == "failed" }); err != nil || st.OK || failed > 1 || failed < 0 {
		t.Errorf("without a broker after %s: %+v, %v", time.Since(begun), st, err)
	}
	t.Log(st.Error)
}
