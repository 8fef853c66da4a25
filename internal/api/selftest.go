package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// SelfTest is how one marked sample fared on its way through the service.
type SelfTest struct {
	OK        bool            `json:"ok" doc:"Every stage passed"`
	Error     string          `json:"error,omitempty" doc:"The first stage that did not pass, and what to look at"`
	StartedAt time.Time       `json:"started_at"`
	TookMS    float64         `json:"took_ms" doc:"From the sample's making to the query's answer"`
	Stages    []SelfTestStage `json:"stages" doc:"In the order of the way; alerting begins when store does"`
}

// SelfTestStage is one part of the way.
type SelfTestStage struct {
	Name  string  `json:"name" enum:"admit,broker,store,query,alerting"`
	What  string  `json:"what"`
	State string  `json:"state" enum:"passed,failed,skipped" doc:"Skipped where one before it failed"`
	MS    float64 `json:"ms" doc:"The stage's own time"`
	Error string  `json:"error,omitempty"`
}

func (r resources) selfTest() {
	var one sync.Mutex // test at a time
	type output struct{ Body SelfTest }
	op := operation(postgres.Operator, http.MethodPost, "/pipeline/self-test", "test-pipeline", "Send one marked sample through every stage and time it")
	op.Description += " Answers 200 where a stage failed too: the test itself worked. The sample belongs to no host and is in no books."
	op.Errors = append(op.Errors, http.StatusConflict)
	huma.Register(r.api, op, func(ctx context.Context, _ *struct{}) (*output, error) {
		if !one.TryLock() {
			return nil, r.fail(ctx, sentinel.Errorf(sentinel.Conflict, "a self-test runs already, it takes at most 15 seconds: try again then"))
		}
		defer one.Unlock()
		result := r.deps.SelfTest(ctx)
		by := entry(ctx, "pipeline.self_test", "")
		by.Details = map[string]any{"ok": result.OK}
		if err := r.deps.DB.Audit(ctx, by); err != nil && result.OK {
			return nil, r.fail(ctx, err)
		} else if err != nil { // which the result says already
			r.deps.Log.Warn("a self-test is not in the audit log", "request", requestID(ctx), "error", err)
		}
		return &output{result}, nil
	})
}

// SelfTest sends one marked sample through every stage of the service.
func (c *Client) SelfTest(ctx context.Context) (SelfTest, error) {
	var s SelfTest
	err := c.call(ctx, http.MethodPost, "/pipeline/self-test", nil, nil, &s)
	return s, err
}
