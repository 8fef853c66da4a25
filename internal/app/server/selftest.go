package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/wire"
)

const (
	selfTestPatience  = 15 * time.Second // for all of it
	stagePatience     = 10 * time.Second // for one stage
	selfTestMetric    = "sentinel_self_test"
	firstLook         = 5 * time.Millisecond
	longestLook       = 100 * time.Millisecond
	selfTestHowToLook = "; `sentinelctl pipeline status` shows how far each part is behind"
)

// selfTest sends one marked sample through every stage.
type selfTest struct {
	registry *fleet.Registry
	gateway  *ingest.Gateway
	broker   *broker.Broker
	db       *postgres.DB
	engine   *query.Engine
}

// marked is one sample on its way.
type marked struct {
	selfTest
	agent  int64
	epoch  sentinel.Epoch
	at     time.Time
	value  float64
	layout []byte
	batch  *sentinelpb.Envelope

	acknowledged func(context.Context) error
	judged       chan struct{} // closed when alerting has read it
}

// run never fails: what does not work is in its answer.
func (t selfTest) run(ctx context.Context) api.SelfTest {
	ctx, cancel := context.WithTimeout(ctx, selfTestPatience)
	defer cancel()
	m := &marked{selfTest: t, epoch: sentinel.NewEpoch(), at: time.Now().Truncate(time.Millisecond), value: float64(rand.IntN(1 << 50)), judged: make(chan struct{})}
	m.listen(ctx)
	out := api.SelfTest{StartedAt: m.at.UTC(), OK: true}
	begun := time.Now()
	failed := false
	stage := func(name, what string, needed bool, since time.Time, f func(context.Context) error) {
		s := api.SelfTestStage{Name: name, What: what, State: "skipped"}
		if needed {
			s.State = "passed"
			ctx, cancel := context.WithTimeout(ctx, stagePatience)
			err := f(ctx)
			cancel()
			s.MS = milliseconds(time.Since(since))
			if err != nil {
				s.State, s.Error, failed = "failed", err.Error(), true
				if out.OK {
					out.OK, out.Error = false, name+": "+err.Error()
				}
			}
		}
		out.Stages = append(out.Stages, s)
	}
	stage("admit", "Signature, limits and rates are checked, as the gateway does", true, time.Now(), m.admit)
	stage("broker", "The broker acknowledges the batch", !failed, time.Now(), m.acknowledge)
	sent, published := time.Now(), !failed
	heard := make(chan error, 1)
	var heardAt time.Time
	go func() {
		ctx, cancel := context.WithTimeout(ctx, stagePatience)
		defer cancel()
		err := m.judge(ctx, published)
		heardAt = time.Now()
		heard <- err
	}()
	stage("store", "A worker verifies it again and commits it to the database", published, sent, m.store)
	stage("query", "A query in PromQL finds it", published && !failed, time.Now(), m.find)
	out.TookMS = milliseconds(time.Since(begun))
	err := <-heard
	stage("alerting", "The worker that judges has read and verified it", published, sent, func(context.Context) error { return err })
	if last := &out.Stages[len(out.Stages)-1]; published {
		last.MS = milliseconds(heardAt.Sub(sent))
	}
	if m.agent != 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		// What is left behind is in no book, and the next test removes it.
		_ = m.db.ForgetEpoch(ctx, m.agent, m.epoch, m.at)
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// admit makes the batch and takes it as the gateway takes those of agents.
func (m *marked) admit(ctx context.Context) error {
	agent, cred, err := m.registry.SelfTest(ctx)
	if err != nil {
		return explain(err, "the database does not answer")
	}
	m.agent = agent
	m.layout = wire.EncodeLayout(sentinel.Layout{sentinel.NewSeries(selfTestMetric, sentinel.Gauge, "")})
	payload, err := wire.EncodeCycles([]sentinel.Cycle{{Layout: wire.HashLayout(m.layout), Time: m.at, Values: []float64{m.value}}})
	if err != nil {
		return err
	}
	m.batch = &sentinelpb.Envelope{AgentId: string(cred.Agent), KeyId: cred.Key.ID, Epoch: uint64(m.epoch), Seq: 1, Count: 1,
		Codec: sentinelpb.Codec_CODEC_CYCLES_V1, Payload: payload}
	cred.Key.Batch(m.batch)
	m.acknowledged, err = m.gateway.Probe(ctx, cred.Agent, m.layout, m.batch)
	return explain(err, "the database or the broker does not answer")
}

func (m *marked) acknowledge(ctx context.Context) error {
	return explain(m.acknowledged(ctx), "the broker did not acknowledge the batch within "+stagePatience.String())
}

// store waits for the ledger: it changes with the commit of the sample, and only then.
func (m *marked) store(ctx context.Context) error {
	for look := firstLook; ; look = min(2*look, longestLook) {
		stored, quarantined, err := m.db.SettledEpoch(ctx, m.agent, m.epoch)
		switch {
		case stored > 0:
			return nil
		case quarantined > 0:
			return errors.New("the worker could not use the batch and made it a dead letter: `sentinelctl dlq ls` says why")
		case err != nil && ctx.Err() == nil:
			return explain(err, "the database does not answer")
		}
		if !pause(ctx, look) {
			return fmt.Errorf("no worker committed the sample within %s: is sentinel-worker running?%s", stagePatience, selfTestHowToLook)
		}
	}
}

// find asks for the sample as people ask.
func (m *marked) find(ctx context.Context) error {
	r, err := m.engine.Instant(ctx, selfTestMetric+`{agent="`+string(sentinel.SelfTestAgent)+`"}`, m.at)
	if err != nil {
		return explain(err, "the query was not answered within "+stagePatience.String())
	}
	defer r.Close()
	if v, ok := r.Number(); !ok || v != m.value {
		return errors.New("the sample is in the database, and the query does not find it")
	}
	return nil
}

// judge waits for alerting.
func (m *marked) judge(ctx context.Context, published bool) error {
	if !published {
		return nil
	}
	select {
	case <-m.judged:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no worker that judges has read the sample within %s%s", stagePatience, selfTestHowToLook)
	}
}

// listen begins to wait for alerting's word, until ctx ends, and returns when it would be
// heard, or can hardly be.
func (m *marked) listen(ctx context.Context) {
	ready, own := make(chan struct{}), strconv.FormatUint(uint64(m.epoch), 10)
	var isReady, isJudged sync.Once
	go func() {
		// An error is that there is no broker: publishing says so.
		_ = m.broker.Listen(ctx, broker.TopicSelfTest, func(data []byte) {
			switch string(data) {
			case "hello " + own:
				isReady.Do(func() { close(ready) })
			case own:
				isJudged.Do(func() { close(m.judged) })
			}
		})
	}()
	for range 20 {
		_ = m.broker.Say(broker.TopicSelfTest, []byte("hello "+own)) // likewise
		select {
		case <-ready:
			return
		case <-ctx.Done():
			return
		case <-time.After(longestLook):
		}
	}
}

// pause waits, and reports whether there is still time.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// explain says in people's words what an outage is.
func explain(err error, outage string) error {
	if errors.Is(err, context.DeadlineExceeded) || err != nil && sentinel.CodeOf(err) == sentinel.Unavailable {
		return fmt.Errorf("%s%s (%w)", outage, selfTestHowToLook, err)
	}
	return err
}
