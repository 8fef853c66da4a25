// Package pack holds the rules that every fleet can start with. tests.yml beside them
// shows when each of them fires, and when not.
package pack

import (
	_ "embed"

	"github.com/sentinelgo/sentinel/internal/alerting"
)

//go:embed rules.yml
var rules []byte

// YAML returns the rules as a file, with comments that say how they were chosen.
func YAML() []byte { return append([]byte(nil), rules...) }

// Rules returns the rules. They are valid: an error is a bug in this package.
func Rules() (*alerting.RuleSet, error) { return alerting.ParseRules("pack/rules.yml", rules) }
