package alerting

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Kind says how a rule judges.
type Kind string

// The kinds of rules.
const (
	Threshold Kind = "threshold" // a function of a series over a window, against a bound
	Absence   Kind = "absence"   // a metric, or without series the agent itself, is missing
	Anomaly   Kind = "anomaly"   // a value's distance from its own past, in robust deviations
	Forecast  Kind = "forecast"  // where a straight line through the window leads
	Expr      Kind = "expr"      // PromQL over all that is stored; see Fleetwide
)

// Function is what a threshold looks at.
type Function string

// The functions. All but Last look at a window.
const (
	Last     Function = "last"
	Avg      Function = "avg"
	Min      Function = "min"
	Max      Function = "max"
	P95      Function = "p95"
	Rate     Function = "rate"     // of a counter, per second
	Increase Function = "increase" // of a counter
	Delta    Function = "delta"    // last minus first, of a gauge
)

// Rule is one alerting rule, as it stands in a file. A Rule that ParseRules returned
// is valid and has its defaults filled in.
type Rule struct {
	Alert string `yaml:"alert" json:"alert"` // its name, unique in its group
	Kind  Kind   `yaml:"kind" json:"kind"`

	Expr     string        `yaml:"expr" json:"expr,omitempty"`         // what the kind expr asks
	Interval time.Duration `yaml:"interval" json:"interval,omitempty"` // and how often

	Series    Selector `yaml:"series" json:"series"`
	DividedBy string   `yaml:"divided_by" json:"divided_by,omitempty"` // a metric of the same labels
	Minus     string   `yaml:"minus" json:"minus,omitempty"`           // a metric of the same labels
	Agents    Selector `yaml:"agents" json:"agents"`
	MaxSeries int      `yaml:"max_series" json:"max_series"` // of one agent

	Function  Function      `yaml:"function" json:"function,omitempty"`
	Window    time.Duration `yaml:"window" json:"window,omitempty"`
	Condition Condition     `yaml:"condition" json:"condition"`
	Recovery  Condition     `yaml:"recovery" json:"recovery"` // empty: the condition's opposite

	Ahead      time.Duration `yaml:"ahead" json:"ahead,omitempty"`             // forecast: how far
	MinHistory time.Duration `yaml:"min_history" json:"min_history,omitempty"` // anomaly: how much past it wants
	Floor      float64       `yaml:"floor" json:"floor,omitempty"`             // anomaly: the smallest deviation that counts, in the value's unit

	For           time.Duration `yaml:"for" json:"for,omitempty"`
	KeepFiringFor time.Duration `yaml:"keep_firing_for" json:"keep_firing_for,omitempty"`

	Severity    string            `yaml:"severity" json:"severity"`
	Labels      map[string]string `yaml:"labels" json:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations" json:"annotations,omitempty"`
	Runbook     string            `yaml:"runbook" json:"runbook,omitempty"`

	Group string       `yaml:"-" json:"group"`
	Lines config.Lines `yaml:"-" json:"-"`

	templates map[string]template
}

// RuleSet is a valid set of rules; their IDs are unique.
type RuleSet struct{ Rules []*Rule }

// maxFileBytes bounds a file of rules or of their tests.
const maxFileBytes = 4 << 20

type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name     string        `yaml:"name"`
	Interval time.Duration `yaml:"interval"` // of its expressions, as in Prometheus
	Rules    []Rule        `yaml:"rules"`
	Lines    config.Lines  `yaml:"-"`
}

// ParseRules reads rules from YAML; name is the file's, for errors. Errors are
// Invalid and name file, line, rule and field, all of them where the form is right.
func ParseRules(name string, raw []byte) (*RuleSet, error) {
	set := &RuleSet{}
	if err := set.parse(name, raw); err != nil {
		return nil, err
	}
	return set, nil
}

// LoadRules reads rules from files; a group may be spread over several. check reads
// their expressions, see RuleSet.CheckExprs.
func LoadRules(check func(expr string) error, paths ...string) (*RuleSet, error) {
	set := &RuleSet{}
	for _, path := range paths {
		raw, err := readFile(path)
		if err != nil {
			return nil, err
		}
		before := len(set.Rules)
		if err := set.parse(path, raw); err != nil {
			return nil, err
		}
		if err := (&RuleSet{set.Rules[before:]}).CheckExprs(path, check); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func readFile(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, sentinel.Errorf(sentinel.NotFound, "file %s does not exist", path)
	}
	if err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "read rules: %w", err)
	}
	return raw, nil
}

// ID names a rule for people and for its state: group/name.
func (r *Rule) ID() string { return r.Group + "/" + r.Alert }

// Hash covers what the state of a rule's incidents depends on. Labels, annotations,
// severity, `for` and `keep_firing_for` may change and the state is kept.
func (r *Rule) Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "1\n%s\n%q\n%q\n%q\n%s\n%d\n%s\n%s\n%d\n%d\n%g", r.Kind, r.Series, r.DividedBy, r.Minus, r.Function,
		r.Window, r.Condition, r.Recovery, r.Ahead, r.MinHistory, r.Floor)
	if r.Kind == Expr {
		fmt.Fprintf(h, "\n%q", r.Expr)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// String returns the rule as a sentence.
func (r *Rule) String() string {
	var b strings.Builder
	what := r.Series.String()
	if r.DividedBy != "" {
		what += " divided by " + r.DividedBy
	}
	if r.Minus != "" {
		what += " minus " + r.Minus
	}
	switch r.Kind {
	case Absence:
		if what == "" {
			what = "agent"
		}
		fmt.Fprintf(&b, "%s absent for %s", what, sentinel.FormatDuration(r.Window))
	case Anomaly:
		fmt.Fprintf(&b, "%s %s deviations from its last %s", what, r.Condition, sentinel.FormatDuration(r.Window))
	case Forecast:
		fmt.Fprintf(&b, "%s %s in %s, as its last %s goes", what, r.Condition, sentinel.FormatDuration(r.Ahead), sentinel.FormatDuration(r.Window))
	case Expr:
		fmt.Fprintf(&b, "%s has a result, asked every %s", strings.Join(strings.Fields(r.Expr), " "), sentinel.FormatDuration(r.Interval))
	default:
		if r.Function != Last {
			fmt.Fprintf(&b, "%s over %s of ", r.Function, sentinel.FormatDuration(r.Window))
		}
		fmt.Fprintf(&b, "%s %s", what, r.Condition)
	}
	if r.For > 0 {
		fmt.Fprintf(&b, " for %s", sentinel.FormatDuration(r.For))
	}
	if len(r.Agents.Matchers) > 0 {
		fmt.Fprintf(&b, " on %s", r.Agents.matchers())
	}
	if r.Recovery.Op != NoOp {
		fmt.Fprintf(&b, ", until %s", r.Recovery)
	}
	if r.KeepFiringFor > 0 {
		fmt.Fprintf(&b, ", at least %s longer", sentinel.FormatDuration(r.KeepFiringFor))
	}
	return b.String()
}
