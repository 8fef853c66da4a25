package alerting

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// State is what an incident is said to be.
type State string

// The states. Resolved is Inactive with a past: what firing ends with.
const (
	Inactive State = "inactive"
	Pending  State = "pending"
	Firing   State = "firing"
	Resolved State = "resolved"
	Unknown  State = "unknown"
)

// Reason says why a transition came about.
type Reason string

// The reasons.
const (
	ConditionMet    Reason = "condition_met"
	ConditionEnded  Reason = "condition_ended"
	Recovering      Reason = "recovering"       // the condition ended, keep_firing_for runs
	Relapsed        Reason = "relapsed"         // it holds again before keep_firing_for was over
	TimeUnobserved  Reason = "time_unobserved"  // samples or the clock made a step; it does not count for `for`
	DataBack        Reason = "data_back"        // what was unknown is known again
	AgentSilent     Reason = "agent_silent"     // no session and no data
	AgentStalled    Reason = "agent_stalled"    // a session, but no data
	Backlog         Reason = "backlog"          // the network was cut: what arrives is buffered data, not caught up yet
	CollectorFailed Reason = "collector_failed" // the agent lives, but this metric's collector does not succeed
	ClockWrong      Reason = "clock_wrong"      // data arrives, with event times ahead of the service or running again
	QueryFailed     Reason = "query_failed"     // the expression has not been answered for a while
	SeriesGone      Reason = "series_gone"      // the collector succeeds, without this series: a device was removed
	AgentBack       Reason = "agent_back"
	NetworkBack     Reason = "network_back" // the agent was alive and cut off: it brings buffered data
	RuleRemoved     Reason = "rule_removed"
	RuleChanged     Reason = "rule_changed"
	NotMatching     Reason = "not_matching" // the agent's labels changed
	AgentRemoved    Reason = "agent_removed"
)

// incidentVersion is that of the JSON form of Incident.
const incidentVersion = 1

// Incident is the state of one rule for one series of one agent, or for the agent
// where the rule is about absence. It is all that a new owner needs to go on where
// another stopped, beside the samples of the longest window (Engine.Warm).
type Incident struct {
	Version     int               `json:"v"`
	Fingerprint string            `json:"fingerprint"` // 32 hexadecimal digits, the same for ever
	Rule        string            `json:"rule"`        // group/name
	RuleHash    string            `json:"rule_hash"`
	Agent       sentinel.AgentID  `json:"agent"` // empty where the rule is an expression
	Series      string            `json:"series,omitempty"`
	Labels      map[string]string `json:"labels"`

	State    State     `json:"state"`
	Was      State     `json:"was,omitempty"` // where the state is unknown: pending or firing
	Reason   Reason    `json:"reason"`
	StartsAt time.Time `json:"starts_at"`         // event time at which the condition began
	FiredAt  time.Time `json:"fired_at,omitzero"` // event time at which it fired; with Fingerprint it names this firing
	EndsAt   time.Time `json:"ends_at,omitzero"`  // event time at which it ended
	Value    float64   `json:"value"`             // when last judged
	Judged   time.Time `json:"judged,omitzero"`   // event time up to which its samples were judged, when it last changed
	Machine  Machine   `json:"machine"`           // the engine's own, which may be ahead of State
}

// Machine is how far the engine has followed an incident in event time. Times are
// milliseconds since 1970; Since and Quiet are moved by time that was not observed.
type Machine struct {
	State State `json:"state"`
	Since int64 `json:"since,omitempty"` // from when `for` counts
	Quiet int64 `json:"quiet,omitempty"` // from when `keep_firing_for` counts; 0: it does not
	Start int64 `json:"start,omitempty"`
	Fired int64 `json:"fired,omitempty"`
	End   int64 `json:"end,omitempty"`
}

// Transition is one change of an incident. Where From and To are equal only the
// engine's own state changed: it is to be kept, and nobody is to be told.
type Transition struct {
	Incident                    // after the change
	From     State              `json:"from"`
	To       State              `json:"to"`
	At       time.Time          `json:"at"`  // event time
	Now      time.Time          `json:"now"` // the service's clock
	Severity string             `json:"severity"`
	Values   map[string]float64 `json:"values,omitempty"` // that explain it: value, threshold, baseline, deviations, forecast, eta
	// Annotations are filled in where To is firing or resolved.
	Annotations map[string]string `json:"annotations,omitempty"`
	Runbook     string            `json:"runbook,omitempty"`
}

// Pages reports whether the transition is one that people are told of: the begin of a
// firing, once, and its end.
func (t Transition) Pages() bool {
	return t.From != t.To && (t.To == Firing && t.Reason != DataBack || t.To == Resolved)
}

// Fingerprint names the incident of a rule for a series of an agent.
func Fingerprint(ruleID string, agent sentinel.AgentID, series string) string {
	sum := sha256.Sum256([]byte(ruleID + "\x00" + string(agent) + "\x00" + series))
	return hex.EncodeToString(sum[:16])
}

// ParseIncident reads an incident as json.Marshal wrote it, alone or in a Transition.
// Errors are Invalid.
func ParseIncident(raw []byte) (Incident, error) {
	var in Incident
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&in); err != nil {
		return in, sentinel.Errorf(sentinel.Invalid, "incident: %w", err)
	}
	if in.Version != incidentVersion {
		return in, sentinel.Errorf(sentinel.Invalid, "incident: version %d is not known, only %d", in.Version, incidentVersion)
	}
	return in, in.check()
}

func (in Incident) check() error {
	if err := in.Agent.Validate(); err != nil && in.Agent != "" {
		return sentinel.Errorf(sentinel.Invalid, "incident: %w", err)
	}
	if in.Fingerprint != Fingerprint(in.Rule, in.Agent, in.Series) {
		return sentinel.Errorf(sentinel.Invalid, "incident: fingerprint %.40q is not that of its rule, agent and series", in.Fingerprint)
	}
	active := func(s State) bool { return s == Pending || s == Firing }
	known := in.State == Inactive || in.State == Resolved || active(in.State) || in.State == Unknown && active(in.Was)
	if !known || in.State != Unknown && in.Was != "" || !active(in.Machine.State) && in.Machine.State != Inactive {
		return sentinel.Errorf(sentinel.Invalid, "incident: states %.20q, %.20q and %.20q do not fit", in.State, in.Was, in.Machine.State)
	}
	m := in.Machine
	for _, t := range [...]int64{m.Since, m.Quiet, m.Start, m.Fired, m.End} {
		if t < 0 || t > 1<<45 { // the year 3084
			return sentinel.Errorf(sentinel.Invalid, "incident: time %d is out of range", t)
		}
	}
	return nil
}

// verdict is what a rule says of one sample.
type verdict uint8

const (
	noAnswer  verdict = iota // too little is known: everything stays as it is
	holds                    // the condition holds
	undecided                // neither the condition nor the recovery condition holds
	recovered
)

func (r *Rule) judge(res result) verdict {
	switch {
	case !res.ok || !res.covered:
		return noAnswer
	case r.Condition.Holds(res.value):
		return holds
	case r.Recovery.Op == NoOp || r.Recovery.Holds(res.value):
		return recovered
	}
	return undecided
}

// step moves the machine on. t is the event time, o the observed time: t less what was
// not observed, from which Since and Quiet are counted.
func (m *Machine) step(r *Rule, v verdict, t, o int64) {
	switch m.State {
	case Pending:
		switch {
		case v == holds && o-m.Since >= r.For.Milliseconds():
			m.State, m.Fired = Firing, t
		case v == undecided || v == recovered:
			*m = Machine{State: Inactive, End: t}
		}
	case Firing:
		switch v {
		case holds, undecided:
			m.Quiet = 0
		case recovered:
			if m.Quiet == 0 {
				m.Quiet = max(o, 1)
			}
			if o-m.Quiet >= r.KeepFiringFor.Milliseconds() {
				m.State, m.End, m.Quiet = Inactive, t, 0
			}
		}
	default:
		if v == holds {
			*m = Machine{State: Pending, Since: o, Start: t, End: m.End}
			if r.For == 0 {
				m.State, m.Fired = Firing, t
			}
		}
	}
}
