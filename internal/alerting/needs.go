package alerting

import (
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Longest returns the longest past that any of the rules looks at. One minute is the
// least, so that watermarks and what a collector said last are known.
func (set *RuleSet) Longest() time.Duration {
	longest := time.Minute
	for _, r := range set.Rules {
		if r.Kind != Absence || !r.ofAgent() {
			longest = max(longest, r.Window)
		}
	}
	return longest
}

// Wants reports whether any rule looks at the series, on whichever agent.
func (set *RuleSet) Wants(s sentinel.Series) bool {
	if s.Name == "node_scrape_collector_success" {
		return true
	}
	for _, r := range set.Rules {
		if r.Kind == Expr || r.Kind == Absence && r.ofAgent() {
			continue
		}
		if r.Series.Metric != "" && r.Series.Metric != s.Name && r.DividedBy != s.Name && r.Minus != s.Name {
			continue
		}
		if r.DividedBy == s.Name || r.Minus == s.Name || r.Series.MatchesSeries(s) {
			return true
		}
	}
	return false
}
