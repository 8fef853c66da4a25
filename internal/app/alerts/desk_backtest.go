package alerts

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/app/notifiers"
	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const maxShown = 1000

// Backtest implements api.Alerting. One is played at a time.
func (d Desk) Backtest(ctx context.Context, q api.BacktestQuery) (api.Backtest, error) {
	select {
	case d.playing <- struct{}{}:
		defer func() { <-d.playing }()
	default:
		return api.Backtest{}, sentinel.Errorf(sentinel.ResourceExhausted, "another backtest is running, try again when it has ended")
	}
	rows, _, err := d.DB.AlertRules(ctx)
	if err != nil {
		return api.Backtest{}, err
	}
	current, err := alerting.ParseRules("current rules", File(rows))
	if err != nil {
		return api.Backtest{}, err
	}
	rules := current
	if q.YAML != "" {
		if rules, err = readRules("yaml", []byte(q.YAML)); err != nil {
			return api.Backtest{}, err
		}
	}
	if rules, err = only(rules, q.Rule); err != nil {
		return api.Backtest{}, err
	}
	routing, err := d.routing(ctx)
	if err != nil {
		return api.Backtest{}, err
	}
	b, began := Backtest{DB: d.DB, Query: d.Query, From: q.From.UTC(), To: q.To.UTC(), Fine: q.Fine, Agents: q.Agents}, time.Now()
	played, err := b.Play(ctx, rules)
	if err != nil {
		return api.Backtest{}, err
	}
	out := api.Backtest{From: b.From, To: b.To, Minutes: b.Minutes(), Agents: played.Agents, Cycles: played.Cycles, Samples: played.Samples,
		Rules: sums(rules, played.Transitions, routing), Transitions: []api.BacktestChange{}}
	if q.Against {
		same := &alerting.RuleSet{Rules: slices.DeleteFunc(slices.Clone(current.Rules), func(r *alerting.Rule) bool {
			return !slices.ContainsFunc(rules.Rules, func(o *alerting.Rule) bool { return o.ID() == r.ID() })
		})}
		now, err := b.Play(ctx, same)
		if err != nil {
			return api.Backtest{}, err
		}
		for _, sum := range sums(same, now.Transitions, routing) {
			at := slices.IndexFunc(out.Rules, func(r api.BacktestRule) bool { return r.Rule == sum.Rule })
			out.Rules[at].Current = &sum
		}
	}
	for _, t := range played.Transitions[:min(len(played.Transitions), maxShown)] {
		out.Transitions = append(out.Transitions, api.BacktestChange{At: t.At, Fingerprint: t.Fingerprint, Rule: t.Rule, Agent: string(t.Agent), Hostname: t.Labels["hostname"], Series: t.Series,
			From: string(t.From), To: string(t.To), Reason: string(t.Reason), Value: t.Value})
	}
	out.Truncated = len(played.Transitions) - len(out.Transitions)
	out.TookMS = time.Since(began).Milliseconds()
	return out, nil
}

// only returns the set with one rule of this name, or the set where none is named.
func only(rules *alerting.RuleSet, name string) (*alerting.RuleSet, error) {
	if name == "" {
		return rules, nil
	}
	for _, r := range rules.Rules {
		if r.ID() == name || !strings.Contains(name, "/") && r.Alert == name {
			return &alerting.RuleSet{Rules: []*alerting.Rule{r}}, nil
		}
	}
	return nil, sentinel.Errorf(sentinel.NotFound, "there is no rule %.80q among them", name)
}

// sums counts what came of each rule.
func sums(rules *alerting.RuleSet, list []alerting.Transition, routing *notify.Routing) []api.BacktestRule {
	messages, at := Messages(routing, list), map[string]int{}
	out := make([]api.BacktestRule, 0, len(rules.Rules))
	for i, r := range rules.Rules {
		at[r.ID()] = i
		out = append(out, api.BacktestRule{Rule: r.ID(), Messages: messages[r.ID()]})
	}
	for _, t := range list {
		if !t.Pages() {
			continue
		}
		if t.To == alerting.Firing {
			out[at[t.Rule]].Fired++
		} else {
			out[at[t.Rule]].Resolved++
		}
	}
	return out
}

// routing returns that of the notification file.
func (d Desk) routing(ctx context.Context) (*notify.Routing, error) {
	text := NoNotification()
	row, err := d.DB.NotificationConfig(ctx)
	if err == nil {
		text, err = d.Vault.OpenText(NotificationPurpose, row.Sealed)
	} else if sentinel.CodeOf(err) == sentinel.NotFound {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	setup, err := notifiers.Parse("notification file", text)
	if err != nil {
		return nil, err
	}
	return setup.Routing, nil
}
