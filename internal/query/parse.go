package query

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	maxExpression = 16 << 10 // bytes
	maxNesting    = 100      // brackets in brackets, and signs before a number
	// maxGrowth is how often functions that make labels out of labels may repeat
	// these: nested, they multiply.
	maxGrowth = 64
	// maxParts and maxSelectors bound how long an expression is: the engine's work grows
	// with the square of the one, and each of the others is a look into the database.
	maxParts     = 2000
	maxSelectors = 200
	// maxSteps is at how many times a subquery may be evaluated: the engine makes room
	// for all of them before it begins.
	maxSteps = 500_000
)

// defaultStep is the step of a subquery that names none.
const defaultStep = time.Minute

// parse reads an expression that is evaluated over a time, and refuses what would be
// read or evaluated for ever.
func (e *Engine) parse(expression string, over time.Duration) (parser.Expr, error) {
	if len(expression) > maxExpression {
		return nil, sentinel.Errorf(sentinel.Invalid, "the expression has %d bytes, at most %d are read", len(expression), maxExpression)
	}
	if nesting(expression) > maxNesting {
		return nil, sentinel.Errorf(sentinel.Invalid, "the expression is nested deeper than %d times", maxNesting)
	}
	expr, err := e.parser.ParseExpr(expression)
	if err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "%w", err)
	}
	if growth(expr) > maxGrowth {
		return nil, sentinel.Errorf(sentinel.Invalid, "label_replace and label_join may repeat labels %d times, one in another multiplied", maxGrowth)
	}
	switch parts, selectors := size(expr); {
	case parts > maxParts:
		return nil, sentinel.Errorf(sentinel.Invalid, "the expression has %d parts, at most %d are evaluated", parts, maxParts)
	case selectors > maxSelectors:
		return nil, sentinel.Errorf(sentinel.Invalid, "the expression has %d selectors, at most %d are read", selectors, maxSelectors)
	}
	return expr, checkSteps(expr, over)
}

// size counts the parts of an expression, and those that select series.
func size(expr parser.Node) (parts, selectors int) {
	parts = 1
	if _, ok := expr.(*parser.VectorSelector); ok {
		selectors = 1
	}
	for child := range parser.ChildrenIter(expr) {
		p, s := size(child)
		parts, selectors = parts+p, selectors+s
	}
	return parts, selectors
}

// selector reads what series are selected by. One that would select everything is
// refused.
func (e *Engine) selector(text string) ([]*labels.Matcher, error) {
	if len(text) > maxExpression {
		return nil, sentinel.Errorf(sentinel.Invalid, "the selector has %d bytes, at most %d are read", len(text), maxExpression)
	}
	matchers, err := e.parser.ParseMetricSelector(text)
	if err != nil {
		return nil, sentinel.Errorf(sentinel.Invalid, "%w", err)
	}
	if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches("") }) {
		return nil, sentinel.Errorf(sentinel.Invalid, "the selector selects everything: name a metric or a label")
	}
	return matchers, nil
}

// nesting returns an upper bound for how deep brackets and signs are nested. What
// stands in quotes counts too: an honest expression has little of it.
func nesting(expression string) int {
	depth, signs, most := 0, 0, 0
	for i := range len(expression) {
		switch expression[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(0, depth-1)
		case '+', '-':
			signs++
		case ' ', '\t', '\r', '\n':
			continue
		default:
			signs = 0
		}
		most = max(most, depth+signs)
	}
	return most
}

// checkSteps refuses subqueries that are evaluated too often, in an expression that is
// evaluated over a time.
func checkSteps(expr parser.Node, over time.Duration) error {
	if sub, ok := expr.(*parser.SubqueryExpr); ok {
		over = longer(over, sub.Range)
		step := sub.Step
		if step <= 0 {
			step = defaultStep
		}
		if over/step > maxSteps {
			return sentinel.Errorf(sentinel.Invalid, "the subquery %.80s is evaluated %d times, at most %d are done: give it a larger step", sub, over/step, maxSteps)
		}
	}
	if ranged, ok := expr.(*parser.MatrixSelector); ok {
		over = longer(over, ranged.Range)
	}
	for child := range parser.ChildrenIter(expr) {
		if err := checkSteps(child, over); err != nil {
			return err
		}
	}
	return nil
}

// longer adds, up to the longest time there is.
func longer(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// growth returns how often the text of a label may be repeated in one label of the
// answer.
func growth(expr parser.Node) int {
	most := 1
	for child := range parser.ChildrenIter(expr) {
		most = max(most, growth(child))
	}
	call, ok := expr.(*parser.Call)
	if !ok || most > maxGrowth {
		return most
	}
	switch call.Func.Name {
	case "label_replace":
		if s, ok := call.Args[2].(*parser.StringLiteral); ok {
			most *= max(1, strings.Count(s.Val, "$"))
		}
	case "label_join":
		most *= max(1, len(call.Args)-3)
	}
	return most
}

// For returns the storage for an expression. Where in it a subquery encloses an
// offset, or a selector looks beyond its range, it is not known what an evaluation
// needs: then everything is read as it came.
func (s *Storage) For(expr parser.Expr) *Storage {
	shifted := false
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		inside := false
		for _, p := range path {
			_, sub := p.(*parser.SubqueryExpr)
			inside = inside || sub
		}
		switch n := node.(type) {
		case *parser.VectorSelector:
			shifted = shifted || n.Anchored || n.Smoothed || inside && (n.OriginalOffset != 0 || n.Timestamp != nil || n.StartOrEnd != 0)
		case *parser.SubqueryExpr:
			shifted = shifted || inside || n.OriginalOffset != 0
		}
		return nil
	})
	if !shifted {
		return s
	}
	exact := *s
	exact.exact = true
	return &exact
}
