package alerts

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/notify"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Backtest is stored history that rules are played over.
type Backtest struct {
	DB       *postgres.DB
	Query    *query.Engine // for expressions
	From, To time.Time
	// Fine asks for every cycle; else older ones are taken minute by minute.
	Fine bool
	// Agents are those whose history is played; none: all.
	Agents []sentinel.AgentID
}

// BacktestResult is what came of it. Transitions are those that people may hear of,
// in the order of their event times.
type BacktestResult struct {
	Agents, Cycles int
	Samples        int64
	Transitions    []alerting.Transition
}

// fineDays is how long a history is played cycle by cycle by itself.
const fineDays = 2

// Minutes reports whether the history is played minute by minute.
func (b Backtest) Minutes() bool { return !b.Fine && b.To.Sub(b.From) > fineDays*24*time.Hour }

// Play plays the history through the engine that judges live data. Each agent is
// played by itself, which is all that most kinds of rules look at, as many at a time as
// there are processors; expressions are asked of all that is stored.
func (b Backtest) Play(ctx context.Context, rules *alerting.RuleSet) (BacktestResult, error) {
	members, err := b.DB.FleetMembers(ctx)
	if err != nil {
		return BacktestResult{}, err
	}
	var out BacktestResult
	var mu sync.Mutex
	parent := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for _, m := range members {
		if len(b.Agents) > 0 && !slices.Contains(b.Agents, m.Name) {
			continue
		}
		group.Go(func() error {
			one, err := b.play(ctx, rules, m)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			out.Agents++
			out.Cycles += one.Cycles
			out.Samples += one.Samples
			out.Transitions = append(out.Transitions, one.Transitions...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return BacktestResult{}, fmt.Errorf("play history: %w", err)
	}
	if err := b.ask(parent, rules, &out); err != nil {
		return BacktestResult{}, err
	}
	slices.SortStableFunc(out.Transitions, func(x, y alerting.Transition) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Fingerprint, y.Fingerprint))
	})
	return out, nil
}

func (b Backtest) play(ctx context.Context, rules *alerting.RuleSet, m postgres.FleetMember) (out BacktestResult, err error) {
	opts := alerting.DefaultOptions()
	replay := alerting.NewReplay(rules, opts, b.From)
	agent := alerting.Agent{ID: m.Name, Hostname: m.Hostname, Labels: m.Labels}
	wanted := memo(rules.Wants)
	for day := b.From.Add(-rules.Longest()); day.Before(b.To); day = day.Add(24 * time.Hour) {
		end := day.Add(24 * time.Hour)
		if end.After(b.To) {
			end = b.To
		}
		fine := day
		if b.Minutes() {
			fine = end
		}
		cycles, err := b.DB.Past(ctx, m.ID, day, fine, end, wanted)
		if err != nil {
			return out, err
		}
		for _, c := range cycles {
			out.Samples += int64(len(c.Values))
			out.note(replay.Feed(alerting.Cycle{Agent: agent, Layout: c.Layout.Hash, Series: c.Layout.Asked, Time: c.Time, Values: c.Values}))
		}
		out.Cycles += len(cycles)
		if out.Cycles > 0 { // one that was never heard of is not silent
			out.note(replay.Until(end))
		}
	}
	return out, nil
}

// ask plays the rules of kind expr: each is evaluated at its interval over what is
// stored, beginning so long before From that what it says then does not depend on it.
func (b Backtest) ask(ctx context.Context, rules *alerting.RuleSet, out *BacktestResult) error {
	machine := alerting.NewFleetwide(rules, alerting.DefaultOptions())
	for _, r := range machine.Rules() {
		begin := b.From.Add(-r.For - r.KeepFiringFor - 2*r.Interval).Truncate(r.Interval)
		err := b.Query.AskRange(ctx, r.Expr, begin, b.To, r.Interval, func(t time.Time, answer []sentinel.Labelled) error {
			list, err := machine.Answer(r, answer, t, t)
			out.Samples += int64(len(answer))
			out.note(slices.DeleteFunc(list, func(tr alerting.Transition) bool { return t.Before(b.From) }))
			return err
		})
		if err != nil {
			return fmt.Errorf("play the expression of %s: %w", r.ID(), err)
		}
	}
	return nil
}

// note keeps what is said; the engine's own notes are nobody's business here.
func (r *BacktestResult) note(list []alerting.Transition) {
	for _, t := range list {
		if t.From != t.To {
			r.Transitions = append(r.Transitions, t)
		}
	}
}

// memo remembers what was asked before.
func memo(f func(sentinel.Series) bool) func(sentinel.Series) bool {
	known := map[string]bool{}
	return func(s sentinel.Series) bool {
		key := s.String()
		answer, ok := known[key]
		if !ok {
			answer = f(s)
			known[key] = answer
		}
		return answer
	}
}

// Messages counts the messages that a routing would make of transitions, by rule: a
// group's first after its wait, and one for all changes within its interval. Repeats,
// silences, inhibition and time intervals are left out of account.
func Messages(routing *notify.Routing, list []alerting.Transition) map[string]int {
	type group struct {
		due   time.Time // of a message about changes so far; zero: none waits
		last  time.Time // of the message before
		rules map[string]bool
	}
	groups, sent := map[string]*group{}, map[string]int{}
	flush := func(g *group) {
		for rule := range g.rules {
			sent[rule]++
		}
		g.last, g.due, g.rules = g.due, time.Time{}, nil
	}
	for _, t := range list {
		if !t.Pages() {
			continue
		}
		for _, rt := range routing.Match(t.Labels) {
			key := rt.Path() + ":" + rt.GroupKey(t.Labels)
			g := groups[key]
			if g == nil {
				g = &group{}
				groups[key] = g
			}
			if !g.due.IsZero() && t.At.After(g.due) {
				flush(g)
			}
			if g.due.IsZero() {
				g.due, g.rules = t.At.Add(rt.Wait), map[string]bool{}
				if next := g.last.Add(rt.Interval); !g.last.IsZero() && next.After(g.due) {
					g.due = next
				}
			}
			g.rules[t.Rule] = true
		}
	}
	for _, g := range groups {
		if !g.due.IsZero() {
			flush(g)
		}
	}
	return sent
}
