package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	backtestPath = "/api/v1/backtests"
	// backtestPatience is for a history of a month to be played.
	backtestPatience = 5 * time.Minute
	maxBacktest      = 400 * 24 * time.Hour
)

// NewBacktest says which rules are played over which history.
type NewBacktest struct {
	YAML    string     `json:"yaml,omitempty" maxLength:"900000" doc:"A file of rules; none: those that hold"`
	Rule    string     `json:"rule,omitempty" maxLength:"300" doc:"Only this one of them, group/alert"`
	Since   string     `json:"since,omitempty" doc:"How far back, such as 30d; 24h where from is missing, too"`
	From    *time.Time `json:"from,omitempty"`
	To      *time.Time `json:"to,omitempty" doc:"Now, where it is missing"`
	Agents  []string   `json:"agents,omitempty" maxItems:"1000" doc:"Identities; none: all agents"`
	Fine    bool       `json:"fine,omitempty" doc:"Play every cycle, also where more than two days are asked for: else minutes are played"`
	Against bool       `json:"against,omitempty" doc:"Play the rules that hold, too, and compare"`
}

// BacktestRule is what would have come of one rule.
type BacktestRule struct {
	Rule     string `json:"rule"`
	Fired    int    `json:"fired"`
	Resolved int    `json:"resolved"`
	Messages int    `json:"messages" doc:"That people would have got, as the notification file is now; repeats, silences and the like are not counted"`
	// Current is what the rule that holds would have done.
	Current *BacktestRule `json:"current,omitempty"`
}

// BacktestChange is one transition that would have come about.
type BacktestChange struct {
	At          time.Time `json:"at"`
	Fingerprint string    `json:"fingerprint"`
	Rule        string    `json:"rule"`
	Agent       string    `json:"agent"`
	Hostname    string    `json:"hostname"`
	Series      string    `json:"series,omitempty"`
	From        string    `json:"from"`
	To          string    `json:"to"`
	Reason      string    `json:"reason"`
	Value       float64   `json:"value"`
}

// Backtest is what would have come of rules.
type Backtest struct {
	From        time.Time        `json:"from"`
	To          time.Time        `json:"to"`
	Minutes     bool             `json:"minutes" doc:"Minutes were played, not every cycle"`
	Agents      int              `json:"agents"`
	Cycles      int              `json:"cycles"`
	Samples     int64            `json:"samples"`
	TookMS      int64            `json:"took_ms"`
	Rules       []BacktestRule   `json:"rules"`
	Transitions []BacktestChange `json:"transitions" doc:"The first 1000"`
	Truncated   int              `json:"truncated,omitempty" doc:"How many more there are"`
}

func (r resources) backtests() {
	type input struct{ Body NewBacktest }
	type output struct{ Body Backtest }
	op := operation(postgres.Operator, http.MethodPost, strings.TrimPrefix(backtestPath, "/api/v1"), "run-backtest", "Play rules over stored history: what would have fired, and who would have been told")
	huma.Register(r.api, op, func(ctx context.Context, in *input) (*output, error) {
		q := BacktestQuery{YAML: in.Body.YAML, Rule: in.Body.Rule, Fine: in.Body.Fine, Against: in.Body.Against, To: time.Now()}
		if in.Body.To != nil {
			q.To = *in.Body.To
		}
		switch since, err := sentinel.ParseDuration(in.Body.Since); {
		case in.Body.From != nil && in.Body.Since != "":
			return nil, r.fail(ctx, wrong("body.since", "want either since or from"))
		case in.Body.From != nil:
			q.From = *in.Body.From
		case in.Body.Since == "":
			q.From = q.To.Add(-24 * time.Hour)
		case err != nil || since <= 0:
			return nil, r.fail(ctx, wrong("body.since", "want a duration such as 30d, not %.40q", in.Body.Since))
		default:
			q.From = q.To.Add(-since)
		}
		if !q.From.Before(q.To) || q.To.Sub(q.From) > maxBacktest {
			return nil, r.fail(ctx, wrong("body.from", "want a time before the end, and at most %d days before it", int(maxBacktest.Hours()/24)))
		}
		for _, a := range in.Body.Agents {
			if err := sentinel.AgentID(a).Validate(); err != nil {
				return nil, r.fail(ctx, wrong("body.agents", "%w", err))
			}
			q.Agents = append(q.Agents, sentinel.AgentID(a))
		}
		out, err := r.deps.Alerting.Backtest(ctx, q)
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		by := entry(ctx, "rule.backtest", in.Body.Rule)
		by.Details = map[string]any{"from": q.From, "to": q.To, "rules": len(out.Rules)}
		if err := r.deps.DB.Audit(ctx, by); err != nil {
			return nil, r.fail(ctx, err)
		}
		return &output{out}, nil
	})
}

// BacktestQuery says what is played.
type BacktestQuery struct {
	YAML, Rule    string
	From, To      time.Time
	Agents        []sentinel.AgentID
	Fine, Against bool
}

// Backtest plays rules over stored history. It may take minutes: see
// ClientConfig.Timeout.
func (c *Client) Backtest(ctx context.Context, in NewBacktest) (Backtest, error) {
	var out Backtest
	err := c.call(ctx, http.MethodPost, "/backtests", nil, in, &out)
	return out, err
}
