package live

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/broker/brokertest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// slowAsker answers expressions of "slow" when it is told to, and all others at once.
type slowAsker struct {
	release chan struct{}
	mu      sync.Mutex
	asked   map[string]int
}

func (a *slowAsker) Ask(ctx context.Context, expr string, _ time.Time) ([]sentinel.Labelled, error) {
	a.mu.Lock()
	a.asked[expr]++
	a.mu.Unlock()
	if strings.HasPrefix(expr, "slow") {
		select {
		case <-a.release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return []sentinel.Labelled{{Value: 1}}, nil
}

func (a *slowAsker) times(expr string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[expr]
}

type noHistory struct{ History }

func (noHistory) Incidents(context.Context, []sentinel.AgentID) ([][]byte, error) { return nil, nil }

// TestASlowExpressionHoldsUpNoOther: while one is asked, which takes until the test
// wants its answer, the other goes on being asked and its incident comes; the slow one
// is not asked twice meanwhile, and what it says after its rule was changed is nothing.
func TestASlowExpressionHoldsUpNoOther(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	b, _ := brokertest.Open(t)
	version := int64(0)
	put := func(slow string) {
		t.Helper()
		version++
		rules, err := StoreRules(version, []byte("groups:\n- name: g\n  interval: 1s\n  rules:\n  - {alert: Slow, expr: "+slow+"}\n  - {alert: Quick, expr: quick}\n"))
		must(t, err)
		raw, err := json.Marshal(rules)
		must(t, err)
		_, err = b.Bucket(broker.BucketAlerting).Put(t.Context(), KeyRules, raw)
		must(t, err)
	}
	put("slow")
	asker := &slowAsker{release: make(chan struct{}), asked: map[string]int{}}
	rules := NewRules(b, log)
	f := NewFleetwide(FleetwideDeps{Broker: b, Rules: rules, History: noHistory{}, Asker: asker, Options: alerting.DefaultOptions(), Metrics: telemetry.NewRegistry(), Log: log})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = rules.Run(ctx) })
	var ended error
	running.Go(func() { ended = f.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		must(t, ended)
	})
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
		}
	}
	firing := func() (names []string) {
		list, err := b.Incidents(t.Context(), broker.Fleetwide)
		must(t, err)
		for _, a := range list {
			c, err := ParseChange(a.Data)
			must(t, err)
			if c.To == alerting.Firing {
				names = append(names, c.Rule)
			}
		}
		return names
	}
	until("the quick one is not asked beside the slow one", func() bool { return asker.times("quick") >= 3 })
	until("its incident does not come", func() bool { return len(firing()) == 1 })
	if n := asker.times("slow"); n != 1 {
		t.Errorf("the slow one was asked %d times before it answered", n)
	}
	put("slower")
	until("the changed one is not asked, nor the one after it", func() bool { return asker.times("quick") >= 6 })
	asker.release <- struct{}{} // for "slow", which is not asked any more
	until("the changed one is not asked", func() bool { return asker.times("slower") == 1 })
	if names := firing(); len(names) != 1 {
		t.Errorf("%v fire on an answer to what is not asked any more", names)
	}
	asker.release <- struct{}{}
	until("the slow one's incident does not come", func() bool { return len(firing()) == 2 })
}
